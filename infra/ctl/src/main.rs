//! `portcall`: what operators and participants type.

mod check;
mod event;
mod failure;
mod nodes;
mod status;
mod store;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use portcall_shared::{
    settings::{Common, EXIT_USAGE, LogSettings, Reader},
    store::Store,
    telemetry, tls,
};

use self::failure::Failure;

/// Runs events of Portcall, and checks images the way Portcall will.
///
/// Settings come from the environment (PORTCALL_MONGODB_URI, PORTCALL_MONGODB_DATABASE, …), as
/// for the api and the worker; infra/env.sample lists them.
///
/// Exit codes: 0 it went well; 1 what was asked for failed (a check did not pass); 64 wrong usage,
/// setting or file; 69 a service that is needed is not there; 70 a fault of Portcall itself.
#[derive(Parser)]
#[command(name = "portcall", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Applies, lists and shows events.
    #[command(subcommand)]
    Event(event::EventCommand),
    /// Grades images on this machine, by the rules of an event, before you push them.
    Check(check::CheckArgs),
    /// Lists the machines that containers run on, and says of each whether it takes work.
    Nodes(nodes::NodesArgs),
    /// Shows what is being graded, by whom, and whether anything is overdue.
    Status,
    /// Looks after the database.
    #[command(subcommand)]
    Store(store::StoreCommand),
}

#[tokio::main]
async fn main() -> ExitCode {
    tls::install_provider();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` come this way too, and are no failure.
            let code = if error.use_stderr() { EXIT_USAGE } else { 0 };
            // A closed terminal is nobody to tell.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match run(cli.command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell();
            ExitCode::from(failure.code())
        }
    }
}

async fn run(command: Command) -> Result<(), Failure> {
    let reader = Reader::from_environment();
    match command {
        Command::Event(command) => command.run(&open(reader).await?).await,
        Command::Check(args) => check::run(args, reader).await,
        Command::Nodes(args) => nodes::run(args, &open(reader).await?).await,
        Command::Status => status::run(&open(reader).await?).await,
        Command::Store(command) => command.run().await,
    }
}

/// The store that the settings name.
async fn open(reader: Reader) -> Result<Store, Failure> {
    let common = Common::read(&reader);
    reader.finish().map_err(|e| Failure::Usage(e.to_string()))?;
    telemetry::log(&LogSettings { filter: "error".to_owned(), ..common.log });
    let store = Store::open(&common.mongodb_uri, &common.database, "portcall").await?;
    store.migrate().await?;
    Ok(store)
}
