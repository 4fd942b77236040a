//! `portcall`: what operators and participants type.

mod backup;
mod check;
mod database;
mod deploy;
mod deploy_store;
mod event;
mod failure;
mod images;
mod nodes;
mod orders;
mod rehearse;
mod scale;
mod scaler;
mod status;
mod store;
mod token;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use portcall_shared::{
    settings::{EXIT_USAGE, Reader},
    tls,
};

use self::{
    database::{For, with},
    failure::Failure,
};

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
    /// Makes, lists and revokes the tokens of those who run events over HTTP.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Grades images on this machine, by the rules of an event, before you push them.
    Check(check::CheckArgs),
    /// Lists the machines that containers run on, and says of each whether it takes work.
    Nodes(nodes::NodesArgs),
    /// Lists images that machines went down under, and says what is to be done with one.
    Images(images::ImagesArgs),
    /// Shows how many slots there are on each machine, or says how many there are to be, or how many
    /// workers.
    Scale(scale::ScaleArgs),
    /// Shows what is being graded, by whom, and whether anything is overdue.
    Status,
    /// Says how many grader nodes there should be, and has an operator's command make and remove
    /// them.
    Scaler(scaler::ScalerArgs),
    /// Tries an event under load and attack before its doors open, and says what it would take.
    Rehearse(Box<rehearse::RehearseArgs>),
    /// Puts a version onto a swarm without anybody noticing, or goes back to the one before.
    Deploy(deploy::DeployArgs),
    /// Writes all that the database holds, as it is at one moment, into a folder.
    Backup(backup::BackupArgs),
    /// Writes a backup into an empty database.
    Restore(backup::RestoreArgs),
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
        Command::Event(command) => {
            with(reader, For::Use, async |store| command.run(store).await).await
        }
        Command::Token(command) => {
            with(reader, For::Use, async |store| command.run(store).await).await
        }
        Command::Check(args) => check::run(args, reader).await,
        Command::Nodes(args) => {
            with(reader, For::Use, async |store| nodes::run(args, store).await).await
        }
        Command::Images(args) => {
            with(reader, For::Use, async |store| images::run(args, store).await).await
        }
        Command::Scale(args) => scale::run(args, reader).await,
        Command::Status => with(reader, For::Use, status::run).await,
        Command::Scaler(args) => scaler::run(args, reader).await,
        Command::Rehearse(args) => rehearse::run(*args, reader).await,
        Command::Deploy(args) => deploy::run(args, reader).await,
        Command::Backup(args) => {
            with(reader, For::Care, async |store| backup::back_up(args, store).await).await
        }
        Command::Restore(args) => {
            with(reader, For::Care, async |store| backup::restore(args, store).await).await
        }
        Command::Store(command) => command.run(reader).await,
    }
}
