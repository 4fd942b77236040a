//! B and C: hostile answers. The prober alone meets them in its own tests; here they go through the
//! whole system.

use portcall_hostile::answers::{self, Expect};

use crate::corpus::row::{Expected, ORDINARY, Row, Rules, STRICT, Stage, Submits};

/// One row for each answer, under the profiles in turn: what answers is the same under both.
pub(super) fn rows() -> Vec<Row> {
    let row = |(n, row): (usize, &answers::Row)| Row {
        id: row.id,
        what: row.what,
        profiles: if n % 2 == 0 { ORDINARY } else { STRICT },
        rules: Rules::Answers,
        stage: Stage::Any,
        submits: Submits::Answer(row.mode),
        expected: match row.expect {
            Expect::Passed => Expected::Passed,
            Expect::Failed(code) => Expected::Failed(code),
        },
    };
    answers::ROWS.iter().enumerate().map(row).collect()
}
