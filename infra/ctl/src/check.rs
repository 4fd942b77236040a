//! `portcall check`: the whole grading on the participant's own machine.

use std::{collections::BTreeMap, io::IsTerminal, path::PathBuf, time::Duration};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use portcall_shared::{
    domain::{
        event::Event,
        event_file,
        evidence::{CheckEvidence, Evidence},
        image::ImageRef,
        place::Place,
        state::Step,
        submission::Participant,
        text::{Answer, Handle, Name, PlaceLabel},
        verdict::Fault,
    },
    settings::Reader,
    shutdown,
};
use portcall_worker::{
    check::{self, CheckError, CheckRequest, Checked, Listener},
    settings::program_beside,
};

use crate::{
    event::read,
    failure::{Failure, chain},
};

#[derive(Args)]
pub(crate) struct CheckArgs {
    /// The event file (TOML) with the rules.
    #[arg(long, value_name = "FILE")]
    event: PathBuf,
    /// Your name, as you will submit it.
    #[arg(long, default_value = "Gordon")]
    name: Name,
    /// Your handle, as you will submit it.
    #[arg(long)]
    handle: Option<Handle>,
    /// Your place, as you will submit it.
    #[arg(long, default_value = "San Francisco, CA, USA")]
    place: PlaceLabel,
    /// An answer to one of the event's questions; where a choice is given and you give no answer,
    /// the first choice is taken.
    #[arg(long = "answer", value_name = "QUESTION=ANSWER")]
    answers: Vec<String>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    /// The images, in the order in which you will submit them. Those on this machine are taken as
    /// they are here; others are pulled.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<ImageRef>,
}

pub(crate) async fn run(args: CheckArgs, reader: Reader) -> Result<(), Failure> {
    let source = read(&args.event)?;
    let event = event_file::parse(&source)
        .map_err(|e| Failure::Usage(format!("{}:\n{e}", args.event.display())))?;
    let (min, max) = (event.images.min, event.images.max);
    if !(min..=max).contains(&args.images.len()) {
        let count = args.images.len();
        return Err(Failure::Usage(format!("the event takes {min} to {max} images, not {count}")));
    }
    let answers = answers(&event, &args.answers)?;
    let docker_host = reader.text("PORTCALL_DOCKER_HOST");
    let prober = reader
        .optional("PORTCALL_PROBER_BIN")
        .map_or_else(|| program_beside("prober"), PathBuf::from);
    let http_registries = reader.list("PORTCALL_HTTP_REGISTRIES");
    reader.finish().map_err(|e| Failure::Usage(e.to_string()))?;
    let request = CheckRequest {
        event,
        images: args.images,
        answers,
        participant: Participant { name: args.name, handle: args.handle, contact: None },
        place: Place { label: args.place, point: None, country: None },
        docker_host,
        prober,
        http_registries,
    };
    let stop = shutdown::on_signal().map_err(|e| Failure::Internal(e.to_string()))?;
    let progress = Progress::new();
    let checked = check::check(request, &progress, stop).await;
    progress.bar.finish_and_clear();
    match checked {
        Ok(checked) if args.json => show_json(&checked),
        Ok(checked) => show(&checked),
        Err(CheckError::Fleet(error)) => Err(Failure::Unavailable(chain(&error))),
        Err(CheckError::Stopped) => Err(Failure::Failed("stopped; nothing is left behind".into())),
    }
}

/// The answers that were given, and the first choice or a word for all others.
pub(crate) fn answers(
    event: &Event,
    given: &[String],
) -> Result<BTreeMap<String, Answer>, Failure> {
    let mut answers = BTreeMap::new();
    for pair in given {
        let Some((question, answer)) = pair.split_once('=') else {
            return Err(Failure::Usage(format!("--answer {pair}: expected QUESTION=ANSWER")));
        };
        if !event.answers.iter().any(|rule| rule.name == question) {
            return Err(Failure::Usage(format!("the event has no question `{question}`")));
        }
        let answer = answer
            .parse::<Answer>()
            .map_err(|e| Failure::Usage(format!("--answer {question}: {e}")))?;
        answers.insert(question.to_owned(), answer);
    }
    for rule in &event.answers {
        let first = rule.one_of.as_ref().and_then(|all| all.first());
        match (answers.get(&rule.name), &rule.one_of) {
            (Some(answer), Some(all)) if !all.iter().any(|a| a == answer.as_str()) => {
                let all = all.join(", ");
                let question = &rule.name;
                return Err(Failure::Usage(format!("--answer {question}: expected one of {all}")));
            }
            (None, _) => {
                let default = first.map_or("answer", String::as_str);
                if let Ok(answer) = default.parse() {
                    answers.insert(rule.name.clone(), answer);
                }
            }
            (Some(_), _) => {}
        }
    }
    Ok(answers)
}

/// A line on the terminal that says what goes on; plain lines where there is none.
struct Progress {
    bar: ProgressBar,
}

impl Progress {
    fn new() -> Self {
        let bar = if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = ProgressBar::new_spinner().with_style(style);
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        } else {
            ProgressBar::hidden()
        };
        let progress = Self { bar };
        progress.tell("making a slot");
        progress
    }

    #[expect(clippy::print_stderr, reason = "this is what the command says to its user")]
    fn tell(&self, what: &'static str) {
        if self.bar.is_hidden() {
            eprintln!("{what} …");
        } else {
            self.bar.set_message(what);
        }
    }
}

impl Listener for Progress {
    fn step(&self, step: Step) {
        self.tell(step.as_str());
    }
}

#[expect(clippy::print_stdout, reason = "this is what the command says to its user")]
fn show_json(checked: &Checked) -> Result<(), Failure> {
    let reason = checked.outcome.as_ref().err().map(Fault::reason);
    let passed = reason.is_none();
    let shown = serde_json::json!({
        "outcome": if passed { "passed" } else { "failed" },
        "reason": reason,
        "evidence": checked.evidence,
    });
    println!("{shown:#}");
    if passed { Ok(()) } else { Err(Failure::Told) }
}

#[expect(clippy::print_stdout, reason = "this is what the command says to its user")]
fn show(checked: &Checked) -> Result<(), Failure> {
    match &checked.outcome {
        Ok(()) => {
            let held = checked.evidence.checks.iter().filter(|check| check.passed).count();
            println!("passed: {held} {} held", if held == 1 { "check" } else { "checks" });
            Ok(())
        }
        Err(fault) => {
            let reason = fault.reason();
            println!("failed: {}: {}", reason.code, reason.message);
            if let Some(limit) = &reason.limit {
                println!("  limit: {} {} {}", limit.name, limit.value, limit.unit);
            }
            if let Some(hint) = &reason.hint {
                println!("  hint: {hint}");
            }
            show_evidence(&checked.evidence);
            match fault {
                Fault::Participant(_) => Err(Failure::Told),
                Fault::Registry(_) | Fault::Platform(_) => {
                    Err(Failure::Unavailable("this is no fault of the image".to_owned()))
                }
            }
        }
    }
}

#[expect(clippy::print_stdout, reason = "this is what the command says to its user")]
fn show_evidence(evidence: &Evidence) {
    for check in evidence.checks.iter().filter(|check| !check.passed) {
        println!("  check {} at image {}:", check.name, check.image);
        show_check(check);
    }
    for container in &evidence.containers {
        if let Some(code) = container.exit_code {
            println!("  {} ended with exit code {code}", container.alias);
        }
        for line in container.log.lines() {
            println!("  {} | {line}", container.alias);
        }
    }
}

#[expect(clippy::print_stdout, reason = "this is what the command says to its user")]
fn show_check(check: &CheckEvidence) {
    for failure in &check.failures {
        println!("    {}: expected {}, got {}", failure.path, failure.expected, failure.got);
    }
    for transcript in check.transcripts.iter().take(1) {
        println!("    > {} to {}", transcript.request, transcript.address);
        if let Some(status) = transcript.status {
            println!("    < {status} ({} ms)", transcript.ms);
        }
        for (name, value) in &transcript.headers {
            println!("    < {name}: {value}");
        }
        for line in transcript.body.lines() {
            println!("    {line}");
        }
        if let Some(error) = &transcript.error {
            println!("    ! {error}");
        }
    }
}
