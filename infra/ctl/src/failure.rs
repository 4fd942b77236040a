//! Why a command failed, and what the shell is told.

use portcall_shared::{
    domain::text::defused_line,
    retry::Again,
    settings::{EXIT_SOFTWARE, EXIT_UNAVAILABLE, EXIT_USAGE},
    store::StoreError,
};

/// The longest line that is told, in bytes.
const LINE: usize = 4096;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was asked for failed, and has been told already.
    Told,
    /// What was asked for failed.
    Failed(String),
    /// Wrong usage, setting or file.
    Usage(String),
    /// A service that is needed is not there.
    Unavailable(String),
    /// A fault of ours.
    Internal(String),
}

impl Failure {
    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Told | Self::Failed(_) => 1,
            Self::Usage(_) => EXIT_USAGE,
            Self::Unavailable(_) => EXIT_UNAVAILABLE,
            Self::Internal(_) => EXIT_SOFTWARE,
        }
    }

    /// Tells it on stderr.
    #[expect(clippy::print_stderr, reason = "this is what the command says to its user")]
    pub(crate) fn tell(&self) {
        match self {
            Self::Told => {}
            Self::Failed(message)
            | Self::Usage(message)
            | Self::Unavailable(message)
            | Self::Internal(message) => {
                for line in message.lines() {
                    // An engine's or a registry's words may quote a stranger's.
                    eprintln!("portcall: {}", defused_line(line, LINE));
                }
            }
        }
    }
}

/// An error with its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match (error.again(), &error) {
            (_, StoreError::Address(_)) => {
                Self::Usage(format!("PORTCALL_MONGODB_URI: {}", chain(&error)))
            }
            (Again::Yes, _) => Self::Unavailable(chain(&error)),
            (Again::No, _) => Self::Internal(chain(&error)),
        }
    }
}
