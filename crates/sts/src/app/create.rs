//! `sts app create`: GitHub's manifest flow.
//! <https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest>

use std::ffi::OsString;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use octo_sts_native::{NativeFetch, new_rsa_key, random_text};
use octo_sts_policy::names::Scope;
use octo_sts_verifier::secret::Secret;
use serde_json::{Value, json};

use crate::outcome::{Failure, Outcome};

use super::arguments::Create;
use super::github::{self, GitHub};
use super::page::{Form, Pages};
use super::permissions::{EVENTS, Needs};

/// GitHub accepts no longer name.
const MAX_NAME: usize = 34;

/// `notes` shows which page to open, while the command waits.
pub(crate) fn run(arguments: &Create, notes: &mut impl Write) -> Result<Outcome, Failure> {
    let github = GitHub::of(&arguments.web.github)?;
    let mut permissions = Needs::own();
    for flag in &arguments.permissions {
        permissions.add_flag(flag)?;
    }
    check_names(arguments)?;
    // Everything that can fail does so before the App exists.
    let destination = Destination::of(arguments)?;
    let issuer_key = if arguments.proxy { Some(new_rsa_key().map_err(failed)?) } else { None };
    let state = random_text().map_err(failed)?;
    let pages = Pages::open()?;
    let name = arguments.name.clone().unwrap_or_else(|| {
        let name = format!("octo-sts-{}", arguments.org);
        name.chars().take(MAX_NAME).collect()
    });
    let manifest = manifest(&name, &arguments.domain, &permissions, &pages.return_address());
    let form = Form {
        action: format!("{}/organizations/{}/settings/apps/new?state={state}", github.web, arguments.org),
        origin: github.web.clone(),
        manifest: format!("{manifest:#}"),
        title: format!("A GitHub App for {}", arguments.domain),
        name,
        permissions: permissions.0.iter().map(|(name, level)| format!("{name}: {level}")).collect(),
    };
    let address = pages.address();
    let told =
        writeln!(notes, "open this page, and press its button: {address}").and_then(|()| notes.flush());
    told.map_err(|error| Failure::Failed(format!("cannot write: {error}")))?;
    if !arguments.no_browser {
        open_browser(&address);
    }
    let returned = pages.wait(&form, &state)?;
    let outcome = convert(&github, &returned.code)
        .and_then(|app| store(app, &github, arguments, &destination, issuer_key));
    let page = match &outcome {
        Ok(_) => "The App has been created. Go back to the terminal for the next steps.",
        Err(_) => "Something went wrong. The terminal says what.",
    };
    returned.answer(page, &form);
    outcome.map(Outcome::success)
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Failed(error.to_string())
}

fn check_names(arguments: &Create) -> Result<(), Failure> {
    if !matches!(arguments.org.parse(), Ok(Scope::Owner(_))) {
        return Err(Failure::Usage(format!("`{}` is not the name of an organization", arguments.org)));
    }
    let domain = &arguments.domain;
    let is_host = domain.parse::<http::uri::Authority>().is_ok_and(|authority| authority.host() == domain)
        && domain.contains('.');
    if !is_host {
        let message =
            format!("`{domain}` is not a bare host: write `sts.example.com`, without scheme and path");
        return Err(Failure::Usage(message));
    }
    if let Some(name) = &arguments.name
        && (name.is_empty() || name.chars().count() > MAX_NAME)
    {
        return Err(Failure::Usage(format!(
            "`{name}` cannot be an App's name: it has 1 to {MAX_NAME} characters"
        )));
    }
    Ok(())
}

fn manifest(name: &str, domain: &str, permissions: &Needs, return_address: &str) -> Value {
    json!({
        "name": name,
        "url": format!("https://{domain}/"),
        "hook_attributes": { "url": format!("https://{domain}/webhook"), "active": true },
        "redirect_url": return_address,
        "public": false,
        "default_permissions": permissions.to_json(),
        "default_events": EVENTS,
    })
}

/// What GitHub shows only once.
struct NewApp {
    id: u64,
    page: String,
    private_key: Secret,
    webhook_secret: Option<Secret>,
}

fn convert(github: &GitHub, code: &str) -> Result<NewApp, Failure> {
    let url = format!("{}/app-manifests/{code}/conversions", github.api);
    let fetch = NativeFetch::new();
    let answer = github::ask(&fetch, "POST", &url, None, "application/vnd.github+json", None)
        .map_err(|error| Failure::Failed(format!("GitHub did not hand over the new App: {error}")))?;
    if answer.status != 201 {
        let message = format!(
            "GitHub did not hand over the new App: it answered with {}; delete the App and start again",
            answer.status
        );
        return Err(Failure::Failed(message));
    }
    let text = |name: &str| answer.json.get(name).and_then(Value::as_str).map(str::to_owned);
    match (answer.json.get("id").and_then(Value::as_u64), text("html_url"), text("pem")) {
        (Some(id), Some(page), Some(pem)) => Ok(NewApp {
            id,
            page,
            private_key: Secret::new(pem),
            webhook_secret: text("webhook_secret").map(Secret::new),
        }),
        _ => Err(Failure::Failed("GitHub's answer about the new App lacks its id, page or key".to_owned())),
    }
}

/// Where the secrets go.
enum Destination {
    Folder(PathBuf),
    /// The program, and the arguments before `secret bulk`.
    Wrangler(OsString, Vec<OsString>),
}

impl Destination {
    fn of(arguments: &Create) -> Result<Self, Failure> {
        if let Some(folder) = &arguments.out {
            make_folder(folder)?;
            return Ok(Self::Folder(folder.clone()));
        }
        if !Path::new("wrangler.toml").is_file() {
            let message = "there is no `wrangler.toml` in this folder, so the secrets have no Worker to go to; change to its folder, or save them to files with `--out DIR`";
            return Err(Failure::Usage(message.to_owned()));
        }
        let installed = Path::new("node_modules").join(".bin").join(if cfg!(windows) {
            "wrangler.cmd"
        } else {
            "wrangler"
        });
        let (program, before) = if installed.is_file() {
            (installed.into_os_string(), Vec::new())
        } else {
            (
                OsString::from(if cfg!(windows) { "npx.cmd" } else { "npx" }),
                vec!["--yes".into(), "wrangler".into()],
            )
        };
        let works = Command::new(&program)
            .args(&before)
            .arg("--version")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if works {
            Ok(Self::Wrangler(program, before))
        } else {
            let message = "wrangler does not run here, so the App's secrets cannot be stored; install Node.js, or save them to files with `--out DIR`";
            Err(Failure::Failed(message.to_owned()))
        }
    }
}

fn store(
    app: NewApp,
    github: &GitHub,
    arguments: &Create,
    destination: &Destination,
    issuer_key: Option<Secret>,
) -> Result<String, Failure> {
    let NewApp { id, page, private_key, webhook_secret } = app;
    let mut secrets =
        vec![("GITHUB_APP_ID", Secret::new(id.to_string())), ("GITHUB_APP_PRIVATE_KEY", private_key)];
    secrets.extend(webhook_secret.map(|secret| ("GITHUB_WEBHOOK_SECRET", secret)));
    secrets.extend(issuer_key.map(|key| ("ISSUER_PRIVATE_KEY", key)));
    let stored = match destination {
        Destination::Folder(folder) => write_files(folder, &secrets),
        Destination::Wrangler(program, before) => bulk(program, before, arguments.env.as_deref(), &secrets),
    };
    let lost = |why: String| {
        format!(
            "the App is there ({page}), but its secrets were not stored: {why}; GitHub shows them once, so generate a new \
             private key and webhook secret on {}/organizations/{}/settings/apps, or delete the App and start again",
            github.web, arguments.org
        )
    };
    stored.map_err(|why| Failure::Failed(lost(why)))?;
    let names: Vec<&str> = secrets.iter().map(|(name, _)| *name).collect();
    let place = match destination {
        Destination::Folder(folder) => format!("files in {}", folder.display()),
        Destination::Wrangler(..) => "secrets of the Worker".to_owned(),
    };
    Ok(format!(
        "created the App {id}: {page}\n{place}: {}\n\nNext steps:\n{}",
        names.join(", "),
        next_steps(page.trim_end_matches('/'), arguments, destination)
    ))
}

/// What is left to do, a line each.
fn next_steps(page: &str, arguments: &Create, destination: &Destination) -> String {
    let environment = arguments.env.as_deref();
    // A clone has one, a release does not.
    let deploy = if Path::new("Makefile").is_file() {
        format!("make deploy{}", environment.map(|name| format!(" ENV={name}")).unwrap_or_default())
    } else {
        format!("npx wrangler deploy{}", environment.map(|name| format!(" --env {name}")).unwrap_or_default())
    };
    let mut steps = vec![("install it", format!("{page}/installations/new"))];
    if matches!(destination, Destination::Folder(_)) {
        let set = "npx wrangler secret put NAME < FILE, for each; then delete the folder";
        steps.push(("set the secrets", set.to_owned()));
    }
    steps.push(("deploy", deploy));
    steps.push(("check", format!("sts doctor https://{}", arguments.domain)));
    let width = steps.iter().map(|(what, _)| what.len() + 1).max().unwrap_or_default();
    steps
        .iter()
        .zip(1..)
        .map(|((what, how), number)| format!("{number}. {:width$}  {how}\n", format!("{what}:")))
        .collect()
}

/// To wrangler, through standard input, because others can read command lines.
fn bulk(
    program: &OsString,
    before: &[OsString],
    environment: Option<&str>,
    secrets: &[(&str, Secret)],
) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(before).args(["secret", "bulk"]);
    if let Some(environment) = environment {
        command.args(["--env", environment]);
    }
    let mut child = command
        .env("WRANGLER_SEND_METRICS", "false")
        .stdin(Stdio::piped())
        // It prints the names, and the reason of a failure. Neither is secret, but this command says both more clearly.
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("wrangler cannot be started: {error}"))?;
    let values: serde_json::Map<String, Value> =
        secrets.iter().map(|(name, value)| ((*name).to_owned(), Value::from(value.expose()))).collect();
    let text = Secret::new(Value::Object(values).to_string());
    let handed = child.stdin.take().map(|mut input| input.write_all(text.expose().as_bytes()));
    let output = child.wait_with_output().map_err(|error| format!("wrangler did not finish: {error}"))?;
    match handed {
        Some(Ok(())) if output.status.success() => Ok(()),
        _ => Err(format!(
            "`wrangler secret bulk` failed; is `wrangler login` done, and is this your account? {}",
            last_words(&output.stderr, secrets)
        )),
    }
}

/// One line of a program's output, without secrets.
fn last_words(stderr: &[u8], secrets: &[(&str, Secret)]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().find(|line| line.contains("ERROR")).unwrap_or_default();
    let shows_one = secrets.iter().any(|(_, secret)| secret.expose().lines().any(|part| line.contains(part)));
    let plain: String = line.chars().filter(|c| !c.is_control()).take(200).collect();
    if shows_one { String::new() } else { plain }
}

fn make_folder(folder: &Path) -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| Failure::Usage(format!("`{}` cannot be used: {error}", folder.display()));
    if !folder.is_dir() {
        private_folder().create(folder).map_err(failed)?;
    }
    let mut entries = std::fs::read_dir(folder).map_err(failed)?;
    if entries.next().is_some() {
        let message = format!("`{}` is not empty; name an empty folder or a new one", folder.display());
        return Err(Failure::Usage(message));
    }
    // Checked now, and not when the App exists.
    let probe = folder.join(".probe");
    private_file().open(&probe).and_then(|_| std::fs::remove_file(&probe)).map_err(failed)
}

fn write_files(folder: &Path, secrets: &[(&str, Secret)]) -> Result<(), String> {
    for (name, secret) in secrets {
        let path = folder.join(name);
        let written =
            private_file().open(&path).and_then(|mut file| file.write_all(secret.expose().as_bytes()));
        written.map_err(|error| format!("`{}` cannot be written: {error}", path.display()))?;
    }
    Ok(())
}

/// A new file, readable only by its owner.
fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn private_folder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// Without a browser, the address is in the terminal.
fn open_browser(address: &str) {
    let (program, arguments): (&str, &[&str]) = if cfg!(target_os = "macos") {
        ("open", &[])
    } else if cfg!(windows) {
        ("rundll32", &["url.dll,FileProtocolHandler"])
    } else {
        ("xdg-open", &[])
    };
    let started = Command::new(program)
        .args(arguments)
        .arg(address)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    drop(started);
}
