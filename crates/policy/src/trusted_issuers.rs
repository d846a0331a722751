//! The organization's list of issuers that may federate with any of its repositories at all
//! (`trusted-token-issuers.yaml`). Issuers that are not on it are refused before any policy is read.

use octo_sts_verifier::oidc::IssuerShape;

use super::diagnostic::{Place, Problems, Report, nearest, quoted};
use super::document::{self, Node, Source, Text};
use super::fields::{self, Fields, Vocabulary};
use super::pattern::tree::VariableSlash;
use super::pattern::{Matched, Pattern, Steps};
use super::weight;

/// An organization federates with a handful of issuers.
pub(super) const MAX_ISSUERS: usize = 64;

/// Each is checked against every token.
pub(super) const MAX_ISSUER_PATTERNS: usize = 16;

/// No issuer is longer than 255 characters.
pub(super) const MAX_ISSUER_PATTERN_CHARACTERS: usize = 256;

pub(super) const TRUSTED_ISSUERS: Vocabulary =
    Vocabulary { file: "a list of trusted issuers", keys: &["mode", "issuers", "issuer_patterns"] };

/// What happens with an issuer that is not on the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is refused.
    Enforce,
    /// It is permitted and recorded.
    Audit,
}

impl Mode {
    /// The word in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Audit => "audit",
        }
    }
}

/// A list that has passed every rule. Only [`load`] makes one.
#[derive(Debug)]
pub struct TrustedIssuers {
    mode: Mode,
    issuers: Vec<String>,
    patterns: Vec<Pattern>,
}

impl TrustedIssuers {
    /// What happens with an issuer that is not on the list.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether the list names the issuer, byte for byte or by a pattern. In audit mode the caller records the answer
    /// and continues.
    ///
    /// All patterns share the steps of one decision; if those run out, the answer is no.
    #[must_use]
    pub fn permits(&self, issuer: &str) -> bool {
        let steps = Steps::of_a_decision();
        self.issuers.iter().any(|listed| listed == issuer)
            || self.patterns.iter().any(|pattern| pattern.matches_within(issuer, &steps) == Matched::Yes)
    }

    /// How many bytes the list takes in memory, including itself. `tests/weights.rs` compares this with an allocator.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        let issuers: usize = self.issuers.iter().map(|issuer| weight::block(issuer.capacity())).sum();
        let patterns: usize = self.patterns.iter().map(Pattern::heap_bytes).sum();
        let lists = weight::block(self.issuers.capacity() * size_of::<String>())
            + weight::block(self.patterns.capacity() * size_of::<Pattern>());
        size_of::<Self>() + lists + issuers + patterns
    }

    /// The issuers that are listed literally.
    #[must_use]
    pub fn issuers(&self) -> &[String] {
        &self.issuers
    }

    /// The patterns.
    #[must_use]
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }
}

/// Reads, checks and compiles the list. There is a value exactly if no problem is an error.
///
/// ```
/// use octo_sts_policy::trusted_issuers;
/// let report = trusted_issuers::load(b"issuers: [https://token.actions.githubusercontent.com]");
/// assert!(report.value.is_some_and(|list| list.permits("https://token.actions.githubusercontent.com")));
/// ```
#[must_use]
pub fn load(source: &[u8]) -> Report<TrustedIssuers> {
    let mut problems = Problems::default();
    let Some(document) = document::read(source, &mut problems) else { return problems.into_report(None) };
    let Some(fields) = Fields::of(&document.root, &TRUSTED_ISSUERS, &mut problems) else {
        return problems.into_report(None);
    };
    let list = Loader { fields, source: &document.source, problems: &mut problems }.list();
    problems.into_report(Some(list))
}

struct Loader<'n, 'p> {
    fields: Fields<'n>,
    source: &'p Source,
    problems: &'p mut Problems,
}

impl<'n> Loader<'n, '_> {
    fn list(mut self) -> TrustedIssuers {
        let mode = self.mode();
        let issuers = self.items("issuers", MAX_ISSUERS, "too-many-issuers");
        let patterns = self.items("issuer_patterns", MAX_ISSUER_PATTERNS, "too-many-issuer-patterns");
        if issuers.is_empty() && patterns.is_empty() && !self.problems.has_errors() {
            let message = "at least one entry in `issuers` or `issuer_patterns` is required";
            self.problems.error("no-issuers", Place::START, message, None);
        }
        TrustedIssuers {
            mode,
            issuers: issuers.into_iter().filter_map(|text| self.issuer(text)).collect(),
            patterns: patterns.into_iter().filter_map(|text| self.pattern(text)).collect(),
        }
    }

    fn mode(&mut self) -> Mode {
        let Some(entry) = self.fields.find("mode") else { return Mode::Enforce };
        let Some(text) = fields::text(&entry.value, "`mode`", self.problems) else { return Mode::Enforce };
        match text.value.as_str() {
            "enforce" => Mode::Enforce,
            "audit" => Mode::Audit,
            other => {
                let message = format!("{} is not a mode; the modes are `enforce` and `audit`", quoted(other));
                let suggestion =
                    nearest(other, ["enforce", "audit"]).map(|mode| format!("did you mean `{mode}`?"));
                self.problems.error("mode-unknown", text.place, message, suggestion);
                Mode::Enforce
            }
        }
    }

    fn items(&mut self, key: &'static str, limit: usize, code: &'static str) -> Vec<&'n Text> {
        let Some((place, items)) = self.fields.sequence(key, self.problems) else { return Vec::new() };
        if items.len() > limit {
            let message = format!("`{key}` has {} entries; at most {limit} are allowed", items.len());
            self.problems.error(code, place, message, None);
            return Vec::new();
        }
        let what = format!("an entry of `{key}`");
        items.iter().filter_map(|item: &Node| fields::text(item, &what, self.problems)).collect()
    }

    fn issuer(&mut self, text: &Text) -> Option<String> {
        let issuer = &text.value;
        if let Err(error) = issuer.parse::<IssuerShape>() {
            let message = format!("{} cannot be an issuer: {}", quoted(issuer), error.rule());
            self.problems.error("issuer-shape", text.place, message, None);
            return None;
        }
        let host_end = issuer.find("://").and_then(|at| {
            let host = at + "://".len();
            issuer.get(host..)?.find('/').map(|slash| host + slash)
        });
        let (origin, path) = issuer.split_at_checked(host_end.unwrap_or(issuer.len()))?;
        let lower = origin.to_ascii_lowercase();
        if origin != lower {
            let message = format!("the scheme and host of {} must be lower case", quoted(issuer));
            let suggestion = Some(format!("write `{lower}{path}`"));
            self.problems.error("issuer-case", text.place, message, suggestion);
            return None;
        }
        Some(issuer.clone())
    }

    fn pattern(&mut self, text: &Text) -> Option<Pattern> {
        if text.value.is_empty() {
            self.problems.error("empty-value", text.place, "an entry of `issuer_patterns` is empty", None);
            return None;
        }
        if text.value.chars().count() > MAX_ISSUER_PATTERN_CHARACTERS {
            let message =
                format!("an issuer pattern is at most {MAX_ISSUER_PATTERN_CHARACTERS} characters long");
            self.problems.error("pattern-too-long", text.place, message, None);
            return None;
        }
        let pattern = fields::pattern(text, "an entry of `issuer_patterns`", self.source, self.problems)?;
        let Some((offset, why)) = pattern.variable_slash() else { return Some(pattern) };
        let (what, suggestion) = match why {
            VariableSlash::Dot => {
                ("`.` matches `/`", r"write a literal dot as `\.`, and a label of a host as `[a-z0-9-]+`")
            }
            VariableSlash::Class => {
                ("the character class matches `/`", "list what a label of a host may have: `[a-z0-9-]`")
            }
            VariableSlash::InsideVariable => (
                "a `/` inside a repetition, an option or alternatives",
                "keep every `/` at a fixed place, and give each alternative its own entry",
            ),
        };
        let message = format!("{what}, so the pattern could reach past the host");
        let place = self.source.place_within(text, offset);
        self.problems.error("pattern-slash", place, message, Some(suggestion.to_owned()));
        None
    }
}
