//! The runbook: that every command, script, option and file that it names is there.

use std::{collections::BTreeSet, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use portcall_tests::parts::{
    given,
    process::{self, Ended},
};

const PATIENCE: Duration = Duration::from_secs(30);

fn runbook() -> Result<String> {
    Ok(std::fs::read_to_string(given::checkout().join("infra/runbook.md"))?)
}

/// The lines for a shell, without their comments; lines that stand in the text come as well.
fn lines(text: &str) -> Vec<String> {
    let (mut lines, mut inside) = (Vec::new(), false);
    for line in text.lines() {
        if line.starts_with("```") {
            inside = line == "```sh";
        } else if inside {
            lines.push(line.split(" # ").next().unwrap_or_default().trim().to_owned());
        }
    }
    let plain: String = lines_outside(text);
    lines.extend(plain.split('`').skip(1).step_by(2).map(|code| code.replace('\n', " ")));
    lines
}

fn lines_outside(text: &str) -> String {
    let mut inside = false;
    let outside = text.lines().filter(|line| {
        let fence = line.starts_with("```");
        inside ^= fence;
        !inside && !fence
    });
    outside.collect::<Vec<_>>().join("\n")
}

/// What a line asks of `portcall`: its words. Our own scripts that end in a command of it count too.
fn asked(line: &str) -> Option<Vec<String>> {
    // What is quoted is one value, whatever stands in it.
    let plain: String = line.split('\'').step_by(2).collect::<Vec<_>>().join("quoted");
    let words: Vec<String> = plain.split_whitespace().map(str::to_owned).collect();
    let assignments = words.iter().take_while(|word| word.contains('=') && !word.starts_with('-'));
    let mut rest = words[assignments.count()..].iter();
    match rest.next()?.as_str() {
        "portcall" => Some(rest.cloned().collect()),
        "infra/operate" => {
            let mut rest: Vec<String> = rest.cloned().collect();
            while rest.first().is_some_and(|word| word.starts_with("--")) {
                rest.drain(..2.min(rest.len()));
            }
            Some(rest)
        }
        _ => None,
    }
}

/// What `--help` says of these words; none if there is no such command.
async fn help(words: &[&str]) -> Result<Option<String>> {
    let program = given::program("portcall")?;
    let (ended, told) =
        process::run(&program, &[words, &["--help"]].concat(), &[], PATIENCE).await?;
    Ok((ended == Ended::Code(0)).then_some(told))
}

/// An option that a line gives to `infra/operate` itself, and that is not in its `--help`.
fn strange_to_operate(line: &str) -> Result<Option<&str>> {
    let script = std::fs::read_to_string(given::checkout().join("infra/operate"))?;
    let rest = line.strip_prefix("infra/operate ").unwrap_or_default();
    let mut own = rest.split_whitespace().step_by(2).take_while(|word| word.starts_with("--"));
    Ok(own.find(|option| !script.contains(&format!("\n#   {option} "))))
}

/// What is wrong with a line, if it asks `portcall` for something that is not there.
async fn complaint(line: &str) -> Result<Option<String>> {
    let Some(words) = asked(line) else { return Ok(None) };
    if let Some(option) = strange_to_operate(line)? {
        return Ok(Some(format!("{line}: infra/operate has no {option}")));
    }
    let is_word = |word: &&String| word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    let plain: Vec<&str> = words
        .iter()
        .take_while(|word| !word.starts_with('-'))
        .take_while(is_word)
        .map(String::as_str)
        .collect();
    // The longest beginning that is a command; a word after a command that has subcommands is one.
    let mut command: Vec<&str> = Vec::new();
    let mut told = help(&[]).await?.context("portcall --help")?;
    for word in plain {
        let has = told.contains("\nCommands:");
        if !has {
            break;
        }
        command.push(word);
        match help(&command).await? {
            Some(help) => told = help,
            None => return Ok(Some(format!("{line}: there is no portcall {}", command.join(" ")))),
        }
    }
    let options = words.iter().filter_map(|word| {
        let name = word.split('=').next().unwrap_or_default();
        name.starts_with("--").then_some(name)
    });
    for option in options {
        let known = told.split(|c: char| c.is_whitespace() || c == ',' || c == '=');
        if !known.into_iter().any(|word| word == option) {
            return Ok(Some(format!("{line}: portcall {} has no {option}", command.join(" "))));
        }
    }
    Ok(None)
}

/// The paths of this checkout that a text names.
fn paths(text: &str) -> BTreeSet<String> {
    let part = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    text.split(|c| !part(c))
        .map(|word| word.trim_start_matches("./").trim_end_matches(['.', '/']))
        .filter(|word| word.starts_with("infra/") || word.starts_with("tests/"))
        .map(str::to_owned)
        .collect()
}

fn missing(text: &str, root: &Path) -> Vec<String> {
    paths(text).into_iter().filter(|path| !root.join(path).exists()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_that_it_names_is_there() -> Result<()> {
    let lines = lines(&runbook()?);
    let mut complaints = Vec::new();
    let mut looked_at = 0;
    for line in &lines {
        looked_at += usize::from(asked(line).is_some());
        complaints.extend(complaint(line).await?);
    }
    ensure!(complaints.is_empty(), "{}", complaints.join("\n"));
    ensure!(looked_at > 30, "only {looked_at} lines of it are commands of ours");
    Ok(())
}

#[test]
fn every_file_that_it_names_is_there() -> Result<()> {
    let text = runbook()?;
    let missing = missing(&text, given::checkout());
    ensure!(missing.is_empty(), "{missing:?}");
    ensure!(paths(&text).len() > 5);
    Ok(())
}

/// What is given on a command line is stronger than the files that the scaler's command writes: graders
/// that are in them and not on the line would be destroyed undrained.
#[test]
fn no_line_gives_terraform_a_variable() -> Result<()> {
    let lines = lines(&runbook()?);
    let given: Vec<&String> = lines
        .iter()
        .filter(|line| line.starts_with("terraform ") && line.contains(" -var"))
        .collect();
    ensure!(given.is_empty(), "{given:#?}");
    ensure!(lines.iter().filter(|line| line.starts_with("terraform apply")).count() >= 4);
    Ok(())
}

/// The options that a line gives to a script of ours, and that its `--help` does not have. What stands in
/// quotes is looked at by itself: it may be a line for another script.
fn strange_to_scripts(line: &str) -> Result<Vec<String>> {
    let mut strange = Vec::new();
    for line in line.split('\'') {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_script = |word: &&str| word.starts_with("infra/") && *word != "infra/operate";
        let Some(at) = words.iter().take(2).position(is_script) else { continue };
        let script = given::checkout().join(words[at]);
        let Ok(text) = std::fs::read_to_string(&script) else { continue };
        let head = text.lines().skip(1).take_while(|line| line.starts_with('#'));
        let help: Vec<&str> =
            head.flat_map(|line| line.split(|c: char| " ,|[]".contains(c))).collect();
        let options = words[at + 1..].iter().filter(|word| word.starts_with("--"));
        let unknown = options.filter(|option| !help.contains(option));
        strange.extend(unknown.map(|option| format!("{} has no {option}", words[at])));
    }
    Ok(strange)
}

#[test]
fn every_option_of_a_script_that_it_names_is_there() -> Result<()> {
    let (mut looked_at, mut strange) = (0, Vec::new());
    for line in &lines(&runbook()?) {
        looked_at += usize::from(line.contains("infra/") && line.contains(" --"));
        strange.extend(strange_to_scripts(line)?);
    }
    ensure!(strange.is_empty(), "{strange:#?}");
    ensure!(looked_at > 12, "only {looked_at} lines give options to scripts");
    for (line, none) in [
        ("infra/terraform/scale --dry-run --min 2", true),
        ("infra/terraform/scale --dry --min 2", false),
        ("infra/terraform/scale --hook 'infra/terraform/graders --clouds x'", false),
        ("A=b infra/mongo/secrets --make portcall secrets", false),
    ] {
        ensure!(strange_to_scripts(line)?.is_empty() == none, "{line}");
    }
    Ok(())
}

/// What a deploy refuses to go without stands before it, and what shows that it serves after it.
#[test]
fn the_first_version_is_set_up_in_an_order_that_works() -> Result<()> {
    let text = runbook()?;
    let (_, rest) = text.split_once("\n## Set up\n").context("no Set up")?;
    let (part, _) = rest.split_once("\n## ").context("no end of Set up")?;
    let at = |words: &str| part.find(words).with_context(|| format!("Set up has no {words:?}"));
    let deploy = at("portcall deploy --settings deploy.env")?;
    for before in [
        "portcall.trusted=1",
        "*Add a grader node*",
        "docker login",
        "PORTCALL_STACK_IMAGES=",
        "infra/mongo/secrets --create portcall secrets",
    ] {
        ensure!(at(before)? < deploy, "{before} comes too late");
    }
    for after in ["https://portcall.example/api/v1/events", "event apply /folder/"] {
        ensure!(at(after)? > deploy, "{after} comes too early");
    }
    ensure!(!text.contains("curl http://"), "plain HTTP answers with a redirect");
    Ok(())
}

/// The control: what is not there is told.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_told() -> Result<()> {
    for line in [
        "portcall nodes evict g1",
        "portcall node drain g1",
        "portcall store members --quick",
        "infra/operate --folder /x backup --zip /folder/y",
        "infra/operate --stack a --directory /x backup /folder/y",
        "A=b portcall deploy --rolback",
    ] {
        ensure!(complaint(line).await?.is_some(), "{line}");
    }
    for line in [
        "portcall nodes drain g1 --wait",
        "infra/operate --folder /x backup /folder/y",
        "A=b portcall deploy --rollback",
        "docker node ls",
    ] {
        ensure!(complaint(line).await?.is_none(), "{line}: {:?}", complaint(line).await?);
    }
    let text = "see `infra/nothing/here`, and ./infra/test.";
    ensure!(missing(text, given::checkout()) == ["infra/nothing/here"]);
    Ok(())
}
