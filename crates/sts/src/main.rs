//! The `sts` command: checks trust policies, explains decisions, writes policies. It runs the same code as the
//! exchange. The commands about policies need no network (except `explain --verify`) and never print a token; those
//! that request tokens print nothing else.
//!
//! | module | owns |
//! | --- | --- |
//! | `arguments` | the command line |
//! | `outcome`, `escape` | a command's output and exit code; colors; what no terminal, log or reader may get |
//! | `files` | which files of a folder are policies, and which rules apply to them |
//! | `validate`, `report` | problems in files, as text for people, JSON, SARIF or workflow commands |
//! | `fix` | repairs of what can have only one meaning |
//! | `explain`, `token`, `difference`, `amendment` | a decision, why not, and what would have to change |
//! | `upstream`, `wrangler` | the proxy's upstreams in `wrangler.toml` |
//! | `upstream_check` | one upstream of a running service, step by step |
//! | `yaml` | a policy as text |
//! | `ask` | tokens: of a job, of the service; and their revocation |
//! | `init` | a new policy, from flags or questions |
//! | `app` | the GitHub App: created, planned |
//! | `doctor` | checks of a running service, from outside and from GitHub's side |

mod amendment;
mod app;
mod arguments;
mod ask;
mod ask_arguments;
mod difference;
mod doctor;
mod escape;
mod explain;
mod files;
mod fix;
mod init;
mod origin;
mod outcome;
mod report;
mod token;
mod upstream;
mod upstream_check;
mod validate;
mod wrangler;
mod yaml;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use octo_sts_policy::schema::Schema;
use octo_sts_verifier::oidc::Quoted;

use arguments::{Arguments, Color, Command, SchemaName};
use init::Questions;
use outcome::{Failure, Outcome, Terminal};

fn main() -> ExitCode {
    let variable = |name: &str| std::env::var(name).ok();
    // Before anything can repeat it.
    if std::env::args_os().skip(1).any(|argument| is_secret(&argument.to_string_lossy())) {
        let message = "an argument looks like a token or a service's answer, and every process can read a command line: \
                       `sts explain` takes a token as `--token FILE`, `--token -` or `--token env:NAME`, and claims as \
                       `--claims FILE` or `--claims -`";
        return Outcome::from(Failure::Usage(message.to_owned()))
            .write(&Terminal::from_environment(Color::Auto, &variable));
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // Help and version go to standard output with 0; a closed pipe does not change the code.
        Err(message) if !message.use_stderr() => {
            return match message.print() {
                Ok(()) | Err(_) => ExitCode::SUCCESS,
            };
        }
        // Usage errors go to standard error with 2, and repeat arguments.
        Err(message) => {
            let text = message.render().to_string();
            return Outcome::misused(text).write(&Terminal::from_environment(Color::Auto, &variable));
        }
    };
    let terminal = Terminal::from_environment(arguments.color, &variable);
    run(arguments.command, &terminal).unwrap_or_else(Outcome::from).write(&terminal)
}

/// A token, or JSON, which is never a valid argument.
fn is_secret(argument: &str) -> bool {
    escape::has_token(argument) || escape::is_token(argument) || argument.trim_start().starts_with('{')
}

fn run(command: Command, terminal: &Terminal) -> Result<Outcome, Failure> {
    match command {
        Command::Validate(arguments) => validate::run(&arguments, &terminal.out),
        Command::Explain(arguments) => explain::run(&arguments, &terminal.out),
        Command::Init(arguments) => {
            let somebody = std::io::stdin().is_terminal();
            let questions = || Questions { answers: std::io::stdin().lock(), prompts: std::io::stderr() };
            init::run(&arguments, somebody.then(questions))
        }
        Command::App(command) => app::run(&command),
        Command::Upstream(command) => upstream_check::run(&command, terminal.out),
        Command::Doctor(arguments) => doctor::run(&arguments, &terminal.out),
        Command::Token(arguments) => ask::token(&arguments),
        Command::Exchange(arguments) => ask::exchange(&arguments),
        Command::Session(arguments) => ask::session(&arguments),
        Command::Claims(arguments) => ask::claims(&arguments),
        Command::Revoke(arguments) => ask::revoke(&arguments),
        Command::Schema { name } => Ok(schema(name)),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "sts", &mut text);
            Ok(Outcome::verbatim(String::from_utf8_lossy(&text).into_owned()))
        }
        Command::Man { command } => man(command.as_deref()),
    }
}

fn schema(name: SchemaName) -> Outcome {
    let schema = match name {
        SchemaName::Upstreams => {
            return Outcome::success(format!(
                "{:#}\n",
                octo_sts_worker::config::upstreams_schema::document()
            ));
        }
        SchemaName::TrustPolicy => Schema::TrustPolicy,
        SchemaName::OrganizationTrustPolicy => Schema::OrganizationTrustPolicy,
        SchemaName::TrustedTokenIssuers => Schema::TrustedTokenIssuers,
    };
    Outcome::verbatim(format!("{:#}\n", schema.document()))
}

fn man(command: Option<&str>) -> Result<Outcome, Failure> {
    let mut root = Arguments::command();
    root.build();
    let page = match command {
        None => root,
        Some(name) => {
            let found = root.find_subcommand(name).cloned();
            found.ok_or_else(|| Failure::Usage(format!("there is no command {}", Quoted(name))))?
        }
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page)
        .render(&mut text)
        .map_err(|error| Failure::Failed(format!("the page cannot be written: {error}")))?;
    Ok(Outcome::verbatim(String::from_utf8_lossy(&text).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
