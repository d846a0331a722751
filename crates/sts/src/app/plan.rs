//! `sts app plan`: the smallest set of permissions that policies need, and how an App compares with it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use octo_sts_native::NativeFetch;
use octo_sts_policy::{Level, Severity, load};
use serde_json::json;

use crate::arguments::Home;
use crate::files::{self, Kind};
use crate::outcome::{Failure, Outcome};

use super::arguments::Plan;
use super::github::{AsApp, GitHub};
use super::permissions::{EVENTS, Needs, OWN};

/// The permissions that the policies in some folders need.
pub(crate) struct Wanted {
    /// With what the service itself needs.
    pub(crate) needs: Needs,
    /// The policies that grant a permission at a level, by name and level.
    granted_by: BTreeMap<(String, Level), Vec<String>>,
    /// Policies that do not load, so their needs are unknown.
    pub(crate) broken: Vec<String>,
    pub(crate) count: usize,
}

impl Wanted {
    pub(crate) fn of(paths: &[PathBuf], home: &Home) -> Result<Self, Failure> {
        let mut wanted =
            Self { needs: Needs::own(), granted_by: BTreeMap::new(), broken: Vec::new(), count: 0 };
        for file in files::check_all(paths, home)? {
            let Kind::Policy(policy_home) = file.kind else { continue };
            let report = load(&file.source, policy_home);
            let Some(policy) = &report.value else {
                wanted.broken.push(file.path);
                continue;
            };
            if file.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
                continue;
            }
            wanted.count += 1;
            for (name, level) in policy.permissions().iter() {
                wanted.needs.add(name, level);
                wanted.granted_by.entry((name.to_owned(), level)).or_default().push(file.path.clone());
            }
        }
        Ok(wanted)
    }

    /// Who needs a permission above the level of `held`.
    pub(crate) fn who_needs(&self, name: &str, held: Option<Level>) -> Vec<String> {
        let mut who: Vec<String> = self
            .granted_by
            .iter()
            .filter(|((granted, level), _)| granted == name && held.is_none_or(|held| held < *level))
            .flat_map(|(_, paths)| paths.iter().map(|path| format!("`{path}`")))
            .collect();
        if OWN.iter().any(|(own, level)| *own == name && held.is_none_or(|held| held < *level)) {
            who.push("the service itself".to_owned());
        }
        who
    }
}

pub(crate) fn run(arguments: &Plan) -> Result<Outcome, Failure> {
    let wanted = Wanted::of(&arguments.paths, &arguments.home)?;
    let mut notes = String::new();
    for path in &wanted.broken {
        writeln!(notes, "error: `{path}` is broken, so its permissions are unknown; `sts validate` says why")
            .map_err(failed)?;
    }
    let (Some(app_id), Some(key)) = (&arguments.app_id, &arguments.key) else {
        let manifest = json!({ "default_permissions": wanted.needs.to_json(), "default_events": EVENTS });
        let is_whole = wanted.broken.is_empty();
        return Ok(Outcome::verdict(format!("{manifest:#}\n"), is_whole).with_notes(notes));
    };
    let github = GitHub::of(&arguments.web.github)?;
    let fetch = NativeFetch::new();
    let answer = AsApp::new(&fetch, &github, app_id, key)?
        .ask("GET", "/app", None)
        .map_err(|error| Failure::Failed(format!("GitHub did not say what the App has: {error}")))?;
    match answer.status {
        200 => {}
        401 => {
            return Err(Failure::Failed(format!(
                "GitHub does not accept the key for the App `{app_id}`: they do not belong together, or the key was deleted"
            )));
        }
        status => {
            return Err(Failure::Failed(format!(
                "GitHub did not say what the App has: it answered with {status}"
            )));
        }
    }
    let had = Needs::of_json(answer.json.get("permissions").unwrap_or(&serde_json::Value::Null));
    let (text, fits) = comparison(&wanted, &had).map_err(failed)?;
    Ok(Outcome::verdict(text, fits && wanted.broken.is_empty()).with_notes(notes))
}

fn failed(error: std::fmt::Error) -> Failure {
    Failure::Failed(error.to_string())
}

/// A line for each difference, and whether there are none.
fn comparison(wanted: &Wanted, had: &Needs) -> Result<(String, bool), std::fmt::Error> {
    let mut text = String::new();
    for (name, level, held) in wanted.needs.beyond(had) {
        let now = held.map_or("nothing".to_owned(), |held| format!("`{held}`"));
        writeln!(
            text,
            "too little: `{name}: {level}`, the App has {now}; needed by {}",
            wanted.who_needs(name, held).join(", ")
        )?;
    }
    for (name, level, needed) in had.beyond(&wanted.needs) {
        // GitHub adds it by itself, so every App has it.
        if name == "metadata" {
            continue;
        }
        match needed {
            Some(needed) => writeln!(text, "too much: `{name}: {level}`, `{needed}` is enough")?,
            None => writeln!(text, "too much: `{name}: {level}`, nothing needs it")?,
        }
    }
    if text.is_empty() {
        return Ok((
            format!("the App has exactly what {} policies and the service need\n", wanted.count),
            true,
        ));
    }
    Ok((text, false))
}
