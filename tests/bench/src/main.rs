//! Runs benchmarks by their names, and prints what they found; `./infra/bench` gives it what it needs.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it is for")]

use std::{env, process::ExitCode};

use anyhow::{Context as _, Result};
use portcall_bench::{
    Bench, Size, machine,
    report::{Report, missed, table},
};

/// Wrong usage, as everywhere.
const WRONG_USE: u8 = 64;

const HELP: &str = "usage: portcall-bench [--tiny] NAME…

Measures grading, swarm, accepting, claims, map or verdict, with what ./infra/bench starts for it.
";

fn main() -> ExitCode {
    let (mut size, mut chosen) = (Size::Usual, Vec::new());
    for argument in env::args().skip(1) {
        match (argument.as_str(), Bench::named(&argument)) {
            ("--tiny", _) => size = Size::Tiny,
            ("--help", _) => {
                print!("{HELP}");
                return ExitCode::SUCCESS;
            }
            (_, Some(bench)) => chosen.push(bench),
            (_, None) => {
                eprintln!("portcall-bench: there is no benchmark {argument}\n{HELP}");
                return ExitCode::from(WRONG_USE);
            }
        }
    }
    portcall_shared::tls::install_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let measured =
        runtime.context("no runtime").and_then(|runtime| runtime.block_on(measure(size, &chosen)));
    match measured {
        Ok(code) => code,
        Err(error) => {
            eprintln!("portcall-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures them one after the other; what cannot be measured is told, and keeps none of the others
/// from being.
async fn measure(size: Size, chosen: &[Bench]) -> Result<ExitCode> {
    let machine = machine::line().await?;
    println!("Machine: {machine}");
    let mut reports: Vec<Report> = Vec::new();
    let mut code = ExitCode::SUCCESS;
    for bench in chosen {
        println!("\n== {}", bench.name());
        match bench.run(size).await {
            Ok(report) => {
                println!("{}", report.table());
                reports.push(report);
            }
            Err(error) => {
                eprintln!("portcall-bench: {} could not be measured: {error:#}", bench.name());
                code = ExitCode::FAILURE;
            }
        }
    }
    if reports.is_empty() {
        return Ok(code);
    }
    println!("\n== Summary\n\n{}\n\n{machine}\n", table(&reports));
    let missed = missed(&reports);
    match missed.len() {
        0 => println!("All that is wanted is reached."),
        _ => println!("Not reached:\n- {}", missed.join("\n- ")),
    }
    Ok(code)
}
