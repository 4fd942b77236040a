//! Why the store could not do something, and whether the same may go better soon.

use mongodb::error::{Error as DriverError, ErrorKind, WriteFailure};

use super::{CALL, SCHEMA};
use crate::retry::Again;

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address is not one.
    #[error("the MongoDB address is not valid")]
    Address(#[source] DriverError),
    /// The driver gave up.
    #[error("cannot {doing}")]
    Driver {
        /// What was being done.
        doing: &'static str,
        /// Why not.
        #[source]
        source: DriverError,
    },
    /// No answer in time.
    #[error("no answer within {} s while trying to {doing}", CALL.as_secs())]
    Timeout {
        /// What was being done.
        doing: &'static str,
    },
    /// As many calls are under way as may be.
    #[error("too many wait for the database already to {doing}")]
    Busy {
        /// What was to be done.
        doing: &'static str,
    },
    /// The task of a call ended in a panic.
    #[error("the task that should {doing} ended early")]
    Task {
        /// What was being done.
        doing: &'static str,
    },
    /// A document is not what this version writes.
    #[error("document {id} has an unknown {what}")]
    Corrupt {
        /// Its id.
        id: String,
        /// The field.
        what: &'static str,
    },
    /// A document has something that only a newer version can read.
    #[error("document {id} is of version {schema}, and this is version {SCHEMA}")]
    Newer {
        /// Its id.
        id: String,
        /// What it is stamped with.
        schema: i32,
    },
    /// What this version needs was taken away from the database.
    #[error("the database is for version {needs} and later, and this is version {own}")]
    TooOld {
        /// The lowest version that may use it.
        needs: i32,
        /// The version of this process.
        own: i32,
    },
    /// Whoever asks may not bring it to this version, and nobody has.
    #[error(
        "the database has no {lacks} yet: it waits for `portcall store prepare` of this version"
    )]
    Unprepared {
        /// What is not there.
        lacks: String,
    },
    /// A member of the replica set does not catch up.
    #[error(
        "{member} has not caught up yet: it goes on by itself, without a vote; repeat this later"
    )]
    Behind {
        /// Its address.
        member: String,
    },
    /// A backup is being restored into the database.
    #[error(
        "the database is being restored, or a restore of it did not end: drop it, restore again"
    )]
    Restoring,
    /// A document could not be read.
    #[error("cannot read a document")]
    Decode(#[source] bson::error::Error),
    /// A stored event file is not valid to this version.
    #[error("event {slug} version {version} cannot be read")]
    Event {
        /// The event.
        slug: String,
        /// The version of its rules.
        version: i32,
        /// Why not.
        #[source]
        source: crate::domain::event_file::InvalidEvent,
    },
}

impl StoreError {
    /// Whether the same call may go better soon: an election, a lost connection, a full pool.
    #[must_use]
    pub fn again(&self) -> Again {
        match self {
            Self::Timeout { .. } | Self::Busy { .. } | Self::Unprepared { .. } => Again::Yes,
            Self::Driver { source, .. } if transient(source) => Again::Yes,
            _ => Again::No,
        }
    }

    /// What a call comes to whose connection broke: nobody knows whether it was carried out.
    #[must_use]
    pub fn broken(doing: &'static str, source: std::io::Error) -> Self {
        Self::Driver { doing, source: source.into() }
    }

    /// What a process waits for that met this while it started, for operators.
    #[must_use]
    pub fn obstacle(&self) -> String {
        match self {
            Self::Unprepared { .. } => self.to_string(),
            Self::Driver { source, .. } if is_refusal(source) => {
                "the database lets this user not in, or not do what this version does: it waits for \
                 `portcall store prepare` of this version"
                    .to_owned()
            }
            _ => "the database does not answer".to_owned(),
        }
    }

    /// Whether a unique index refused the write.
    pub(super) fn is_duplicate(&self) -> bool {
        let Self::Driver { source, .. } = self else { return false };
        match source.kind.as_ref() {
            ErrorKind::Write(WriteFailure::WriteError(e)) => e.code == 11000,
            ErrorKind::Command(e) => e.code == 11000,
            _ => false,
        }
    }
}

/// Codes after which the same operation may succeed: not primary, shutting down, host unreachable,
/// network timeouts, exceeded time limits, write concern timeouts (`RetryableWriteError` of the
/// retryable writes specification, and what its single retry leaves over).
const TRANSIENT: [i32; 17] =
    [6, 7, 24, 50, 64, 89, 91, 100, 112, 134, 189, 262, 9001, 10107, 11600, 11602, 13435];
/// The server's word to a user whose role does not allow it.
const UNAUTHORIZED: i32 = 13;

fn transient(error: &DriverError) -> bool {
    if error.contains_label("RetryableWriteError")
        || error.contains_label("TransientTransactionError")
    {
        return true;
    }
    // A user may be about to be made, or to get the password or the role that comes with a new version.
    if is_refusal(error) {
        return true;
    }
    match error.kind.as_ref() {
        ErrorKind::Io(_)
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::ServerSelection { .. }
        | ErrorKind::DnsResolve { .. } => true,
        ErrorKind::Command(e) => TRANSIENT.contains(&e.code) || e.code == 13436,
        ErrorKind::Write(WriteFailure::WriteConcernError(_)) => true,
        ErrorKind::Write(WriteFailure::WriteError(e)) => TRANSIENT.contains(&e.code),
        _ => false,
    }
}

/// Whether it is the user who is not let in, or may not do it.
fn is_refusal(error: &DriverError) -> bool {
    match error.kind.as_ref() {
        ErrorKind::Authentication { .. } => true,
        ErrorKind::Command(e) => e.code == UNAUTHORIZED,
        _ => false,
    }
}
