//! What the specification lists, and where each of its rows is: in this corpus, in other tests, or
//! nowhere with a reason.

use std::collections::BTreeSet;

use super::row::Row;

/// The rows of the specification, by letter and number.
const LISTED: &[(char, &[u8])] = &[
    ('A', &[1, 2, 3, 5, 6, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23]),
    (
        'B',
        &[1, 2, 3, 4, 5, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27],
    ),
    ('C', &[1, 2, 3, 5, 6, 7, 8, 9, 10, 12, 14]),
    ('D', &[1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13]),
    ('E', &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20]),
    (
        'F',
        &[
            1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 16, 17, 18, 19, 20, 21, 22, 23, 24, 26, 27,
            28, 29, 30, 31,
        ],
    ),
];

/// Rows that are elsewhere, and where.
pub const ELSEWHERE: &[(&str, &str)] = &[
    (
        "F17",
        "names are the tables of shared/src/domain/image/tests.rs and the fuzz target image_ref",
    ),
    (
        "F18",
        "hosts are posted in tests/tests/admission/hosts.rs, beside a listener nobody may reach",
    ),
];

/// Rows that cannot run here, and why.
pub const IMPOSSIBLE: &[(&str, &str)] =
    &[("E20", "speculative execution is out of scope; the README says so")];

/// Every id of the specification.
#[must_use]
pub fn listed() -> BTreeSet<String> {
    let of = |(letter, numbers): &(char, &[u8])| {
        numbers.iter().map(|n| format!("{letter}{n:02}")).collect::<Vec<_>>()
    };
    LISTED.iter().flat_map(of).collect()
}

/// The ids that are said not to be here, and are.
#[must_use]
pub fn here_after_all(rows: &[Row]) -> Vec<&'static str> {
    let away = ELSEWHERE.iter().chain(IMPOSSIBLE).map(|(id, _)| *id);
    away.filter(|id| rows.iter().any(|row| row.id == *id)).collect()
}

/// The ids that are neither in the rows nor accounted for.
#[must_use]
pub fn missing(rows: &[Row], canary: &[&str]) -> Vec<String> {
    let mut there: BTreeSet<&str> = rows.iter().map(|row| row.id).collect();
    there.extend(canary);
    there.extend(ELSEWHERE.iter().chain(IMPOSSIBLE).map(|(id, _)| *id));
    listed().into_iter().filter(|id| !there.contains(id.as_str())).collect()
}
