//! Every row of the catalogue of hostile answers against the prober alone, with its exact reason,
//! under the limits that participants are promised.

use std::{sync::Arc, time::Duration};

use portcall_hostile::answers::{self, Row};
use portcall_shared::domain::verdict::Limit;
use portcall_shared::domain::{
    evidence::{EXCERPT, HEADER, HEADERS},
    text::{MAX_MARKS, is_hidden},
};
use portcall_worker::judge::Judgement;
use serde_json::Value;
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};
use unicode_normalization::{char::is_combining_mark, is_nfc};

use crate::judged::{code, judged};

/// Rows that are a matter of time wait together; of the others only so many run at once, so that
/// nobody is late for want of a processor.
const QUICK_AT_ONCE: usize = 4;

/// For all rows together.
const BUDGET: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_has_its_exact_reason() {
    let start = Instant::now();
    let room = Arc::new(Semaphore::new(QUICK_AT_ONCE));
    let mut running = JoinSet::new();
    for row in answers::ROWS {
        let room = (!slow(row)).then(|| Arc::clone(&room));
        running.spawn(async move {
            let _room = match &room {
                Some(room) => room.acquire().await.ok(),
                None => None,
            };
            (row, judged(row.mode).await)
        });
    }
    let mut wrong = Vec::new();
    for (row, judgement) in running.join_all().await {
        let got = code(&judgement);
        if got != row.expect.code() {
            let message = judgement.outcome.as_ref().err().map(|fault| fault.message.clone());
            wrong.push(format!(
                "{} {} ({}): {got} instead of {}: {message:?}",
                row.id,
                row.mode,
                row.what,
                row.expect.code()
            ));
        }
        let hit = judgement.outcome.as_ref().err().and_then(|fault| fault.limit.clone());
        if hit != limit_of(row) {
            wrong.push(format!("{} {}: {hit:?} instead of {:?}", row.id, row.mode, limit_of(row)));
        }
        for fault in unfit_to_show(&judgement) {
            wrong.push(format!("{} {}: {fault}", row.id, row.mode));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), answers::ROWS.len(), wrong.join("\n"));
    assert!(start.elapsed() < BUDGET, "{:?}", start.elapsed());
}

/// Every row of the catalogue that a web server can play is there.
#[test]
fn no_row_is_missing() {
    let numbers = |letter: &str, all: &[u32]| -> Vec<String> {
        all.iter().map(|number| format!("{letter}{number:02}")).collect()
    };
    let b =
        [1, 2, 3, 4, 5, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27];
    let c = [1, 2, 3, 5, 6, 7, 8, 9, 10, 12, 14];
    for id in [numbers("B", &b), numbers("C", &c)].concat() {
        assert!(answers::ROWS.iter().any(|row| row.id == id), "{id}");
    }
    assert!(answers::ROWS.len() > 200, "{}", answers::ROWS.len());
}

/// A limit that an answer can go over.
struct Over {
    /// The code of its reason.
    code: &'static str,
    /// The rows that do, by id or by mode.
    rows: &'static [&'static str],
    /// Name, value and unit.
    limit: (&'static str, u64, &'static str),
}

const LIMITS: &[Over] = &[
    Over {
        code: "answer_timeout",
        rows: &["B01", "B22", "delay:3300"],
        limit: ("headers", 3, "s"),
    },
    Over { code: "answer_timeout", rows: &["B02", "body-delay:5300"], limit: ("request", 5, "s") },
    Over { code: "answer_too_large", rows: &["B03", "C01", "C10"], limit: ("body", 64, "KiB") },
    Over {
        code: "answer_headers_too_large",
        rows: &["B04", "reason-endless", "trailer-huge"],
        limit: ("headers", 16, "KiB"),
    },
    Over {
        code: "answer_headers_too_large",
        rows: &["B05", "interim-fields", "trailer-many"],
        limit: ("header fields", 64, "fields"),
    },
    Over { code: "json_too_deep", rows: &["C01"], limit: ("depth", 32, "levels") },
    Over { code: "json_invalid", rows: &["C13"], limit: ("string", 4096, "bytes") },
];

impl Over {
    fn is(&self, row: &Row) -> bool {
        row.expect.code() == self.code && [row.id, row.mode].iter().any(|n| self.rows.contains(n))
    }
}

/// The limit that a row's reason must name, if it is about one.
fn limit_of(row: &Row) -> Option<Limit> {
    let (name, value, unit) = LIMITS.iter().find(|over| over.is(row))?.limit;
    Some(Limit::new(name, value, unit))
}

/// Whatever goes over a limit says which: the codes that are about one, in every row.
#[test]
fn every_row_over_a_limit_has_one_to_name() {
    let about_one =
        ["answer_timeout", "answer_too_large", "answer_headers_too_large", "json_too_deep"];
    for row in answers::ROWS.iter().filter(|row| about_one.contains(&row.expect.code())) {
        assert!(limit_of(row).is_some(), "{} {} {}", row.id, row.mode, row.expect.code());
    }
    for over in LIMITS {
        for name in over.rows {
            let mut own = answers::ROWS.iter().filter(|row| [row.id, row.mode].contains(name));
            assert!(own.any(|row| over.is(row)), "no row {name} is for {}", over.code);
        }
    }
}

fn slow(row: &Row) -> bool {
    matches!(row.id, "B01" | "B02" | "B22" | "B23")
}

/// What of a judgement could not be stored and shown as it is.
fn unfit_to_show(judgement: &Judgement) -> Vec<String> {
    let mut unfit = Vec::new();
    for check in &judgement.checks {
        for transcript in &check.transcripts {
            if transcript.body.len() > EXCERPT || transcript.headers.len() > HEADERS {
                unfit.push("more is kept than may be".to_owned());
            }
            let long = |(name, value): &(String, String)| name.len().max(value.len()) > HEADER;
            if transcript.headers.iter().any(long) {
                unfit.push("more of a header field is kept than may be".to_owned());
            }
        }
    }
    let mut texts = Vec::new();
    collect(&serde_json::to_value(&judgement.checks).unwrap(), &mut texts);
    if let Err(fault) = &judgement.outcome {
        texts.extend([fault.message.clone(), fault.hint.clone().unwrap_or_default()]);
    }
    unfit.extend(texts.iter().filter(|text| !is_plain(text)).map(|text| format!("{text:?}")));
    unfit
}

fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(fields) => fields.values().for_each(|item| collect(item, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether a text is in the form that may be stored.
pub(crate) fn is_plain(text: &str) -> bool {
    let mut marks = 0;
    let few_marks = text.chars().all(|c| {
        marks = if is_combining_mark(c) { marks + 1 } else { 0 };
        marks <= MAX_MARKS
    });
    few_marks && is_nfc(text) && text.chars().all(|c| !is_hidden(c) || c == '\n' || c == '\t')
}
