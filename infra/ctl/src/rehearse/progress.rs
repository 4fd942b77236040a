//! What goes on, on one line of the terminal; where there is none, a line for each part of it.

use std::{io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(super) fn new() -> Self {
        let bar = if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = ProgressBar::new_spinner().with_style(style);
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        } else {
            ProgressBar::hidden()
        };
        Self { bar }
    }

    /// Another part has begun.
    #[expect(clippy::print_stderr, reason = "this is what the command says to its user")]
    pub(super) fn part(&self, what: &str) {
        match self.bar.is_hidden() {
            true => eprintln!("{what} …"),
            false => self.bar.set_message(what.to_owned()),
        }
    }

    /// How far the part is.
    pub(super) fn far(&self, what: String) {
        self.bar.set_message(what);
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
