//! Sets of permissions with levels: what the service itself needs, what policies need, what an App has.

use std::collections::BTreeMap;

use octo_sts_policy::{Level, known_permission, known_permissions, nearest};
use serde_json::Value;

use crate::outcome::Failure;

/// What the service needs for itself: policies, check runs, the files of pull requests and of merge groups. Without
/// `merge_queues` GitHub never delivers `merge_group`.
pub(crate) const OWN: [(&str, Level); 4] = [
    ("checks", Level::Write),
    ("contents", Level::Read),
    ("merge_queues", Level::Read),
    ("pull_requests", Level::Read),
];

/// The events that GitHub must deliver to the service. `installation` and `installation_repositories` are sent to every
/// App.
pub(crate) const EVENTS: [&str; 5] = ["check_run", "check_suite", "merge_group", "pull_request", "push"];

/// Permissions by name, each with its highest level.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Needs(pub(crate) BTreeMap<String, Level>);

impl Needs {
    /// What the service itself needs.
    pub(crate) fn own() -> Self {
        Self(OWN.iter().map(|(name, level)| ((*name).to_owned(), *level)).collect())
    }

    /// The higher of two levels wins.
    pub(crate) fn add(&mut self, name: &str, level: Level) {
        let held = self.0.entry(name.to_owned()).or_insert(level);
        *held = (*held).max(level);
    }

    /// `issues=write`, as a flag has it.
    pub(crate) fn add_flag(&mut self, text: &str) -> Result<(), Failure> {
        let wrong = |why: String| Failure::Usage(format!("`--permission {text}`: {why}"));
        let (name, level) =
            text.split_once('=').ok_or_else(|| wrong("write `NAME=LEVEL`, `issues=write`".to_owned()))?;
        let Some(known) = known_permission(name) else {
            let names = known_permissions().iter().map(|known| known.name);
            return Err(wrong(match nearest(name, names) {
                Some(better) => format!("GitHub has no permission `{name}`; did you mean `{better}`?"),
                None => format!("GitHub has no permission `{name}`"),
            }));
        };
        let level: Level = level.parse().map_err(|error| wrong(format!("{error}")))?;
        if !known.levels.contains(&level) {
            return Err(wrong(format!("`{name}` has no level `{level}`")));
        }
        self.add(name, level);
        Ok(())
    }

    /// As GitHub writes them: `{"contents": "read"}`. Unknown levels are left out.
    pub(crate) fn of_json(value: &Value) -> Self {
        let entries = value.as_object().into_iter().flatten();
        Self(
            entries.filter_map(|(name, level)| Some((name.clone(), level.as_str()?.parse().ok()?))).collect(),
        )
    }

    /// As a manifest has them.
    pub(crate) fn to_json(&self) -> Value {
        self.0.iter().map(|(name, level)| (name.clone(), Value::from(level.as_str()))).collect()
    }

    /// What `self` has beyond `other`, with the level in `other`.
    pub(crate) fn beyond<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = (&'a str, Level, Option<Level>)> {
        self.0.iter().filter_map(|(name, level)| {
            let held = other.0.get(name).copied();
            held.is_none_or(|held| held < *level).then_some((name.as_str(), *level, held))
        })
    }
}
