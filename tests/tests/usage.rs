//! Every program says how it is used, and refuses what it does not know, before anything else.

use std::time::Duration;

use anyhow::Result;
use portcall_tests::parts::{
    given,
    process::{Ended, Finished, ask},
};

const PATIENCE: Duration = Duration::from_secs(30);
const UNKNOWN: &str = "--no-such-argument";

/// The commands that there are at least; others are found in the help.
const COMMANDS: [&str; 8] = [
    "portcall event",
    "portcall event apply",
    "portcall event list",
    "portcall event show",
    "portcall check",
    "portcall status",
    "portcall store",
    "portcall store init-replica-set",
];

#[tokio::test]
async fn help_is_given_and_what_is_unknown_is_refused() -> Result<()> {
    let mut wrong = Vec::new();
    let mut commands = Vec::new();
    for name in ["portcall-api", "portcall-worker"] {
        told(&given::program(name)?, &[name], &mut wrong).await?;
    }
    told(&given::static_program("prober")?, &["prober"], &mut wrong).await?;
    let portcall = given::program("portcall")?;
    let mut open = vec![vec!["portcall".to_owned()]];
    while let Some(words) = open.pop() {
        let spoken: Vec<&str> = words.iter().map(String::as_str).collect();
        let help = told(&portcall, &spoken, &mut wrong).await?;
        for command in commands_of(&help) {
            open.push(words.iter().cloned().chain([command]).collect());
        }
        commands.push(words.join(" "));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let unseen: Vec<_> =
        COMMANDS.iter().filter(|c| !commands.contains(&(**c).to_owned())).collect();
    assert!(unseen.is_empty(), "not in the help: {unseen:?}");
    Ok(())
}

/// Asks one command for its help and for what it does not know; its help.
async fn told(
    program: &std::path::Path,
    words: &[&str],
    wrong: &mut Vec<String>,
) -> Result<String> {
    let run = |last: &'static str| {
        let arguments: Vec<&str> = words[1..].iter().copied().chain([last]).collect();
        async move { ask(program, &arguments, &[], PATIENCE).await }
    };
    let mut expect = |what: &str, good: bool, told: &Finished| {
        if !good {
            wrong.push(format!("{} {what}: {told:#?}", words.join(" ")));
        }
    };
    let help = run("--help").await?;
    let good = help.ended == Ended::Code(0) && help.stderr.is_empty();
    expect("--help", good && help.stdout.lines().count() >= 3, &help);
    let short = run("-h").await?;
    expect("-h", short.ended == Ended::Code(0) && short.stdout.len() > 20, &short);
    let unknown = run(UNKNOWN).await?;
    let named = unknown.stderr.contains(UNKNOWN) && unknown.stdout.is_empty();
    expect(UNKNOWN, unknown.ended == Ended::Code(64) && named, &unknown);
    if words.len() == 1 {
        let version = run("--version").await?;
        let number = version.stdout.contains(env!("CARGO_PKG_VERSION"));
        expect("--version", version.ended == Ended::Code(0) && number, &version);
    }
    Ok(help.stdout)
}

/// What stands in a help under "Commands:".
fn commands_of(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    // A description may go on in the next line, further in.
    let names = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !name.is_empty() && *name != "help").map(str::to_owned).collect()
}
