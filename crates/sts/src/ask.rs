//! Tokens on the command line: the OIDC token of a job, and what the service exchanges it for. A token goes to standard
//! output only if that is not a terminal, or with `--show`.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::process::Command;

use octo_sts::actions;
use octo_sts::client::{ClientError, Exchange, Sts};
use octo_sts_verifier::jose::CompactJws;
use octo_sts_verifier::secret::Secret;

use super::ask_arguments::{Claims, ExchangeArguments, Place, Revoke, Session, Show, TokenArguments};
use super::outcome::{Failure, Outcome};
use super::token::read_token;

/// The variable with the domain of the service, if it is not on the command line.
const DOMAIN: &str = "STS_DOMAIN";

pub(crate) fn token(arguments: &TokenArguments) -> Result<Outcome, Failure> {
    arguments.show.permits()?;
    Ok(shown(&of_the_job(&arguments.audience)?))
}

pub(crate) fn exchange(arguments: &ExchangeArguments) -> Result<Outcome, Failure> {
    let command = arguments.exec.split_first();
    if command.is_none() {
        arguments.show.permits()?;
    }
    let domain = arguments.place.domain()?;
    let sts = Sts::new(&domain).map_err(failure)?;
    let mut wanted = Exchange::new(&arguments.scope, &arguments.identity);
    let mut named = BTreeSet::new();
    for item in arguments.permissions.iter().flat_map(|list| list.split(',')) {
        let (name, level) = item
            .split_once(':')
            .ok_or_else(|| Failure::Usage(format!("`{item}` is not of the form `permission:level`")))?;
        // The service refuses a name that stands twice, and would not see it: the last one would have replaced the first.
        if !named.insert(name.trim().to_ascii_lowercase()) {
            return Err(Failure::Usage(format!("`{}` stands twice in `--permissions`", name.trim())));
        }
        wanted = wanted.permission(name.trim(), level.trim());
    }
    for name in &arguments.repositories {
        wanted = wanted.repository(name);
    }
    let oidc = arguments.place.oidc(sts.audience())?;
    let token = sts.exchange_blocking(&wanted, &oidc).map_err(failure)?;
    match command {
        None => Ok(shown(&token.token)),
        Some((program, rest)) => with_token(program, rest, &token.token, &sts),
    }
}

pub(crate) fn session(arguments: &Session) -> Result<Outcome, Failure> {
    arguments.show.permits()?;
    let domain = arguments.place.domain()?;
    let sts = Sts::new(&domain).map_err(failure)?;
    // A session needs a token for the upstream, and for nothing else.
    let oidc = arguments.place.oidc(&sts.audience_of(&arguments.upstream))?;
    Ok(shown(&sts.session_blocking(&arguments.upstream, &oidc).map_err(failure)?.token))
}

pub(crate) fn claims(arguments: &Claims) -> Result<Outcome, Failure> {
    let token = match (&arguments.token, &arguments.audience) {
        (Some(place), _) => given(place)?,
        (None, Some(audience)) => of_the_job(audience)?,
        (None, None) => return Err(Failure::Usage("give `--token`, or in a job `--audience`".to_owned())),
    };
    let jws = CompactJws::parse(token.expose()).map_err(|error| Failure::Failed(error.to_string()))?;
    let claims = serde_json::Value::Object(jws.payload().clone());
    let notes = "note: the signature is not verified; `sts explain --verify` verifies it\n".to_owned();
    Ok(Outcome::document(format!("{claims:#}\n"), true).with_notes(notes))
}

pub(crate) fn revoke(arguments: &Revoke) -> Result<Outcome, Failure> {
    let domain = domain(arguments.domain.as_deref())?;
    let sts = Sts::new(&domain).map_err(failure)?;
    sts.revoke_blocking(&given(&arguments.token)?).map_err(failure)?;
    Ok(Outcome::success(String::new()).with_notes("the token is revoked\n".to_owned()))
}

/// Runs a command with the token in `GH_TOKEN`, and revokes the token whatever the result of the command.
fn with_token(program: &str, arguments: &[String], token: &Secret, sts: &Sts) -> Result<Outcome, Failure> {
    let ran = Command::new(program).args(arguments).env("GH_TOKEN", token.expose()).status();
    let revoked = sts.revoke_blocking(token);
    let status = ran.map_err(|error| Failure::Failed(format!("`{program}` cannot be run: {error}")))?;
    // A command ended by a signal has no exit code. Shells use 128 plus the signal's number; this uses 1.
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    let notes = match revoked {
        Ok(()) => String::new(),
        Err(error) => {
            format!("warning: the token was not revoked and stays valid until it expires: {error}\n")
        }
    };
    Ok(Outcome::of_a_command(code).with_notes(notes))
}

fn shown(token: &Secret) -> Outcome {
    Outcome::verbatim(format!("{}\n", token.expose()))
}

fn of_the_job(audience: &str) -> Result<Secret, Failure> {
    actions::id_token_blocking(audience).map_err(failure)
}

/// The given token, or else the job's for an audience if this is a job, or else none.
pub(crate) fn token_if_any(place: Option<&str>, audience: &str) -> Result<Option<Secret>, Failure> {
    match place {
        Some(place) => given(place).map(Some),
        None if std::env::var_os("ACTIONS_ID_TOKEN_REQUEST_URL").is_some() => of_the_job(audience).map(Some),
        None => Ok(None),
    }
}

fn given(place: &str) -> Result<Secret, Failure> {
    read_token(place, &|name| std::env::var(name).ok())
}

fn domain(argument: Option<&str>) -> Result<String, Failure> {
    let variable = || std::env::var(DOMAIN).ok().filter(|domain| !domain.is_empty());
    argument.map(str::to_owned).or_else(variable).ok_or_else(|| {
        Failure::Usage(format!(
            "name the service with `--domain sts.example.com`, or in the variable `{DOMAIN}`"
        ))
    })
}

/// An invalid argument is wrong usage; everything else is an answer.
fn failure(error: ClientError) -> Failure {
    let is_usage = matches!(error, ClientError::Input(_));
    let message = error.to_string();
    if is_usage { Failure::Usage(message) } else { Failure::Failed(message) }
}

impl Show {
    fn permits(&self) -> Result<(), Failure> {
        if self.show || !std::io::stdout().is_terminal() {
            return Ok(());
        }
        let message =
            "the output is a terminal, where the token would stay readable; pipe it, or pass `--show`";
        Err(Failure::Usage(message.to_owned()))
    }
}

impl Place {
    fn domain(&self) -> Result<String, Failure> {
        domain(self.domain.as_deref())
    }

    /// The given token, or else the job's, for the named audience or the default.
    fn oidc(&self, usual_audience: &str) -> Result<Secret, Failure> {
        match &self.token {
            Some(place) => given(place),
            None => of_the_job(self.audience.as_deref().unwrap_or(usual_audience)),
        }
    }
}
