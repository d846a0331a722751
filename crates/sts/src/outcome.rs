//! What a command says, and its exit code. Text is written once, at the end, by [`Outcome::write`]: no command prints.

use std::io::{ErrorKind, IsTerminal as _, Write};
use std::process::ExitCode;

use super::arguments::Color;

/// There are problems, or the answer is no.
const PROBLEMS: u8 = 1;
/// The command was used in a way that makes no sense, or a file cannot be read or written.
const USAGE: u8 = 2;

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// For standard output.
    out: String,
    /// For standard error.
    notes: String,
    code: u8,
}

/// Why a command came to nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The caller has to ask otherwise.
    Usage(String),
    /// What was asked cannot be done.
    Failed(String),
}

impl Outcome {
    pub(crate) fn success(out: String) -> Self {
        Self { out, notes: String::new(), code: 0 }
    }

    /// As [`Outcome::success`], or with the code for problems.
    pub(crate) fn verdict(out: String, is_fine: bool) -> Self {
        Self { out, notes: String::new(), code: if is_fine { 0 } else { PROBLEMS } }
    }

    /// What a command that was run came to; it has written for itself.
    pub(crate) fn of_a_command(code: u8) -> Self {
        Self { out: String::new(), notes: String::new(), code }
    }

    pub(crate) fn with_notes(self, notes: String) -> Self {
        Self { notes, ..self }
    }

    pub(crate) fn write(self, terminal: &Terminal) -> ExitCode {
        let out = write_all(&mut std::io::stdout().lock(), &self.out);
        let notes = write_all(&mut std::io::stderr().lock(), &self.notes);
        match out.and(notes) {
            Ok(()) => ExitCode::from(self.code),
            Err(error) => {
                let message = format!("{} cannot write: {error}\n", terminal.notes.error("error:"));
                match write_all(&mut std::io::stderr().lock(), &message) {
                    Ok(()) | Err(_) => ExitCode::from(USAGE),
                }
            }
        }
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        let (message, code) = match failure {
            Failure::Usage(message) => (message, USAGE),
            Failure::Failed(message) => (message, PROBLEMS),
        };
        Self { out: String::new(), notes: format!("error: {message}\n"), code }
    }
}

/// A reader that has seen enough (`sts … | head`) is no failure: the verdict stands.
fn write_all(stream: &mut impl Write, text: &str) -> std::io::Result<()> {
    match stream.write_all(text.as_bytes()).and_then(|()| stream.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// How each stream is coloured.
#[derive(Debug)]
pub(crate) struct Terminal {
    pub(crate) out: Style,
    pub(crate) notes: Style,
}

impl Terminal {
    pub(crate) fn from_environment(color: Color, variable: &dyn Fn(&str) -> Option<String>) -> Self {
        // https://no-color.org: present and not empty.
        let is_refused = variable("NO_COLOR").is_some_and(|value| !value.is_empty())
            || variable("TERM").is_some_and(|terminal| terminal == "dumb");
        let style = |is_terminal: bool| Style {
            coloured: match color {
                Color::Always => true,
                Color::Never => false,
                Color::Auto => is_terminal && !is_refused,
            },
        };
        Self { out: style(std::io::stdout().is_terminal()), notes: style(std::io::stderr().is_terminal()) }
    }
}

/// Colours, or none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    coloured: bool,
}

impl Style {
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self { coloured: false };

    fn paint(self, code: &str, text: &str) -> String {
        if self.coloured { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    pub(crate) fn error(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    pub(crate) fn warning(self, text: &str) -> String {
        self.paint("1;33", text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.paint("1;32", text)
    }

    pub(crate) fn strong(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Rulers, arrows, and what else frames the text.
    pub(crate) fn frame(self, text: &str) -> String {
        self.paint("1;34", text)
    }
}
