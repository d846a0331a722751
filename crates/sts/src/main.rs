//! The `sts` command: looks at trust policies, explains decisions, writes policies. It runs the same code as the
//! exchange. The commands about policies need no network (but for `explain --verify`) and never print a token; those
//! that ask for tokens print nothing else.
//!
//! | module | owns |
//! | --- | --- |
//! | `arguments` | the command line |
//! | `outcome` | what a command says and its exit code; colours |
//! | `files` | which files of a folder are policies, and whose rules hold for them |
//! | `validate`, `report` | problems of files, as text for people, JSON, SARIF or workflow commands |
//! | `explain`, `token`, `difference`, `amendment` | a decision, why not, and what would have to change |
//! | `yaml` | a policy as text |
//! | `ask` | tokens: of a job, of the service; and their end |
//! | `init` | a new policy, from flags or questions |

mod amendment;
mod arguments;
mod ask;
mod ask_arguments;
mod difference;
mod explain;
mod files;
mod init;
mod outcome;
mod report;
mod token;
mod validate;
mod yaml;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use octo_sts_policy::schema::Schema;

use arguments::{Arguments, Command, SchemaName};
use init::Questions;
use outcome::{Failure, Outcome, Terminal};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // Help and version go to standard output with 0, usage errors to standard error with 2; a closed pipe is no
        // reason for another code.
        Err(message) => {
            return match message.print() {
                Ok(()) | Err(_) => ExitCode::from(u8::try_from(message.exit_code()).unwrap_or(2)),
            };
        }
    };
    let terminal = Terminal::from_environment(arguments.color, &|name| std::env::var(name).ok());
    run(arguments.command, &terminal).unwrap_or_else(Outcome::from).write(&terminal)
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
        Command::Token(arguments) => ask::token(&arguments),
        Command::Exchange(arguments) => ask::exchange(&arguments),
        Command::Session(arguments) => ask::session(&arguments),
        Command::Claims(arguments) => ask::claims(&arguments),
        Command::Revoke(arguments) => ask::revoke(&arguments),
        Command::Schema { name } => Ok(schema(name)),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "sts", &mut text);
            Ok(Outcome::success(String::from_utf8_lossy(&text).into_owned()))
        }
        Command::Man { command } => man(command.as_deref()),
    }
}

fn schema(name: SchemaName) -> Outcome {
    let schema = match name {
        SchemaName::TrustPolicy => Schema::TrustPolicy,
        SchemaName::OrganizationTrustPolicy => Schema::OrganizationTrustPolicy,
        SchemaName::TrustedTokenIssuers => Schema::TrustedTokenIssuers,
    };
    Outcome::success(format!("{:#}\n", schema.document()))
}

fn man(command: Option<&str>) -> Result<Outcome, Failure> {
    let mut root = Arguments::command();
    root.build();
    let page = match command {
        None => root,
        Some(name) => {
            let found = root.find_subcommand(name).cloned();
            found.ok_or_else(|| Failure::Usage(format!("there is no command `{name}`")))?
        }
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page)
        .render(&mut text)
        .map_err(|error| Failure::Failed(format!("the page cannot be written: {error}")))?;
    Ok(Outcome::success(String::from_utf8_lossy(&text).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
