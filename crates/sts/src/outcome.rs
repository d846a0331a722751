//! A command's output, and its exit code. [`Outcome::write`] writes all text once, at the end: no command prints by
//! itself, and everything is escaped there.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::io::{ErrorKind, IsTerminal as _, Write};
use std::process::ExitCode;

use super::arguments::Color;
use super::escape;

/// There are problems, or the answer is no.
const PROBLEMS: u8 = 1;
/// Wrong usage, or a file cannot be read or written.
const USAGE: u8 = 2;

/// The result of a command.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// For standard output.
    out: Text,
    /// For standard error.
    notes: String,
    code: u8,
}

/// Text by who reads it.
#[derive(Debug)]
enum Text {
    /// People, perhaps in a runner's log.
    Plain(String),
    /// Programs.
    Json(String),
    /// The runner: workflow commands, whose values are already escaped.
    Commands(String),
    /// Shells and others; none of it comes from outside.
    Verbatim(String),
}

/// Why a command failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The caller has to change the command.
    Usage(String),
    /// The request cannot be fulfilled.
    Failed(String),
}

impl Outcome {
    pub(crate) fn success(out: String) -> Self {
        Self { out: Text::Plain(out), notes: String::new(), code: 0 }
    }

    /// Text from this program alone, or a requested token.
    pub(crate) fn verbatim(out: String) -> Self {
        Self { out: Text::Verbatim(out), notes: String::new(), code: 0 }
    }

    /// As [`Outcome::success`], or with the code for problems.
    pub(crate) fn verdict(out: String, is_fine: bool) -> Self {
        Self { out: Text::Plain(out), notes: String::new(), code: if is_fine { 0 } else { PROBLEMS } }
    }

    /// As [`Outcome::verdict`], with a JSON document.
    pub(crate) fn document(out: String, is_fine: bool) -> Self {
        Self { out: Text::Json(out), ..Self::verdict(String::new(), is_fine) }
    }

    /// As [`Outcome::verdict`], with workflow commands.
    pub(crate) fn commands(out: String, is_fine: bool) -> Self {
        Self { out: Text::Commands(out), ..Self::verdict(String::new(), is_fine) }
    }

    /// Wrong usage, with a complete text.
    pub(crate) fn misused(notes: String) -> Self {
        Self { out: Text::Plain(String::new()), notes, code: USAGE }
    }

    /// The result of a child command, which has written its own output.
    pub(crate) fn of_a_command(code: u8) -> Self {
        Self { out: Text::Plain(String::new()), notes: String::new(), code }
    }

    pub(crate) fn with_notes(self, notes: String) -> Self {
        Self { notes, ..self }
    }

    pub(crate) fn write(self, terminal: &Terminal) -> ExitCode {
        let out = match &self.out {
            Text::Plain(text) => terminal.out.plain(text),
            Text::Json(text) => escape::json(text),
            Text::Commands(text) => escape::redacted(text).into_owned(),
            Text::Verbatim(text) => text.clone(),
        };
        let out = write_all(&mut std::io::stdout().lock(), &out);
        let notes = write_all(&mut std::io::stderr().lock(), &terminal.notes.plain(&self.notes));
        match out.and(notes) {
            Ok(()) => ExitCode::from(self.code),
            Err(error) => {
                let message = format!("{} cannot write: {error}\n", terminal.notes.error("error:"));
                match write_all(&mut std::io::stderr().lock(), &terminal.notes.plain(&message)) {
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
        Self { out: Text::Plain(String::new()), notes: format!("error: {message}\n"), code }
    }
}

/// A reader that closes early (`sts … | head`) is not a failure: the verdict stands.
fn write_all(stream: &mut impl Write, text: &str) -> std::io::Result<()> {
    match stream.write_all(text.as_bytes()).and_then(|()| stream.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Whether each stream is colored.
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
        let mark = RandomState::new().hash_one(0u8);
        let style = |is_terminal: bool| Style {
            mark,
            coloured: match color {
                Color::Always => true,
                Color::Never => false,
                Color::Auto => is_terminal && !is_refused,
            },
        };
        Self { out: style(std::io::stdout().is_terminal()), notes: style(std::io::stderr().is_terminal()) }
    }
}

/// Colors, or none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    coloured: bool,
    /// Distinguishes our colors from those in other people's text, because nobody can guess it.
    mark: u64,
}

impl Style {
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self { coloured: false, mark: 0 };

    fn paint(self, code: &str, text: &str) -> String {
        if self.coloured { format!("{}{code}m{text}{}0m", self.sign(), self.sign()) } else { text.to_owned() }
    }

    /// Stands for the start of a color until the text is written.
    fn sign(self) -> String {
        format!("<{:016x}>", self.mark)
    }

    /// Text for people as written to the terminal: escaped, with our own colors.
    fn plain(self, text: &str) -> String {
        let text = escape::plain(text);
        if self.coloured { text.replace(&self.sign(), "\u{1b}[") } else { text }
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

    /// Rulers, arrows and other framing.
    pub(crate) fn frame(self, text: &str) -> String {
        self.paint("1;34", text)
    }
}
