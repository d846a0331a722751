//! How a token's value differs from what a rule expects, for values that nearly match.

use octo_sts_policy::{
    Actual, Expectation, Pattern, Rule, RunContext, RunRepository, RunSubject, Step, nearest,
};
use octo_sts_verifier::oidc::{Claims, Quoted};

/// Longer values are not searched for the part that a pattern matches.
const MAX_SEARCHED: usize = 512;

/// One sentence about a rule that does not hold, if there is more to say.
pub(crate) fn of(step: &Step, claims: &Claims) -> Option<String> {
    match &step.actual {
        Actual::Missing => Some(missing(step, claims)),
        Actual::WrongType(_) => Some("a pattern matches only text, `true` and `false`".to_owned()),
        Actual::Text(_) | Actual::Texts(_) => {
            let hint = step.actual.texts().find_map(|actual| match &step.expected {
                Expectation::Exact(expected) => meant_as_pattern(&step.rule, expected, actual)
                    .or_else(|| text(&step.rule, expected, actual)),
                Expectation::Pattern(pattern) => by_pattern(step, pattern, actual),
            });
            hint.or_else(|| fallback(step))
        }
    }
}

fn missing(step: &Step, claims: &Claims) -> String {
    let Rule::Claim(name) = &step.rule else { return "the token has no such claim".to_owned() };
    if let Some(near) = nearest(name, claims.all().keys().map(String::as_str)) {
        return format!("the token has no such claim; did you mean {}?", Quoted(near));
    }
    if name == "environment" {
        let what = "only a job that names an environment has this claim: add `environment:` to the job";
        return what.to_owned();
    }
    "the token has no such claim".to_owned()
}

fn fallback(step: &Step) -> Option<String> {
    let is_github_default = |audience: &str| {
        audience.strip_prefix("https://github.com/").is_some_and(|owner| !owner.contains('/'))
    };
    let texts: Vec<&str> = step.actual.texts().collect();
    match (&step.rule, &step.expected, texts.as_slice()) {
        (Rule::Audience, _, [audience]) if is_github_default(audience) => Some(
            "this is the audience of a token that was requested without one: add `&audience=…` to the request"
                .to_owned(),
        ),
        (_, Expectation::Exact(expected), [actual]) => Some(first_difference(expected, actual)),
        (_, _, _) => None,
    }
}

/// An exact value that would match as a pattern, or as the glob that it looks like.
fn meant_as_pattern(rule: &Rule, expected: &str, actual: &str) -> Option<String> {
    let key = match rule {
        Rule::Issuer => "issuer_pattern",
        Rule::Subject => "subject_pattern",
        Rule::Audience => "audience_pattern",
        Rule::Claim(_) => return None,
    };
    let matches = |pattern: &str| pattern.parse::<Pattern>().is_ok_and(|pattern| pattern.matches(actual));
    if !expected.contains(['*', '+', '?', '(', '[', '{', '|', '\\', '^', '$']) {
        return None;
    }
    let pattern = if matches(expected) {
        expected.to_owned()
    } else {
        as_glob(expected).filter(|glob| matches(glob))?
    };
    Some(format!(
        "the policy's value is compared byte for byte; as a pattern it would match: write `{key}: {pattern}`"
    ))
}

/// Two texts that should be equal.
fn text(rule: &Rule, expected: &str, actual: &str) -> Option<String> {
    if expected.eq_ignore_ascii_case(actual) {
        return Some("differs in case only, and case counts".to_owned());
    }
    if expected.trim() == actual {
        return Some("the policy's value has white space around it".to_owned());
    }
    let bare = |text: &str| {
        let text = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
        text.strip_suffix('/').unwrap_or(text).to_owned()
    };
    if bare(expected) == bare(actual) {
        let of = |text: &str| (text.contains("://"), text.ends_with('/'));
        let ((_, slash), (_, other)) = (of(expected), of(actual));
        let what = if slash == other { "the beginning `https://`" } else { "the `/` at the end" };
        return Some(format!("differs in {what} only, and every character counts"));
    }
    match rule {
        Rule::Subject => subjects(expected, actual),
        Rule::Claim(_) => forgotten_prefix(expected, actual).or_else(|| refs(expected, actual)),
        Rule::Issuer | Rule::Audience => None,
    }
}

/// `refs/heads/` in the token and not in the policy.
fn forgotten_prefix(expected: &str, actual: &str) -> Option<String> {
    ["refs/heads/", "refs/tags/"].into_iter().find_map(|prefix| {
        let without = actual.replacen(prefix, "", 1);
        let half = actual.replacen("refs/", "", 1);
        let is_it = actual.contains(prefix) && (without == expected || half == expected);
        is_it.then(|| format!("the policy's value lacks `{prefix}`: write `{actual}`"))
    })
}

/// Two full refs, or the same workflow file with different refs after the `@`.
fn refs(expected: &str, actual: &str) -> Option<String> {
    let (file, wanted) = expected.rsplit_once('@').unwrap_or(("", expected));
    let (same_file, run) = actual.rsplit_once('@').unwrap_or(("", actual));
    if file != same_file || !wanted.starts_with("refs/") || !run.starts_with("refs/") {
        return None;
    }
    let (wanted, run) = (format!("ref:{wanted}"), format!("ref:{run}"));
    let (wanted, run) = (RunContext::of(&wanted), RunContext::of(&run));
    Some(format!(
        "another ref: the token is for {}, the policy expects {}",
        describe(&run),
        describe(&wanted)
    ))
}

fn describe(context: &RunContext<'_>) -> String {
    match context {
        RunContext::Branch(name) => format!("the branch {}", Quoted(name)),
        RunContext::Tag(name) => format!("the tag {}", Quoted(name)),
        RunContext::Ref(name) => format!("the ref {}", Quoted(name)),
        RunContext::PullRequest => "a pull request".to_owned(),
        RunContext::Environment(name) => format!("the environment {}", Quoted(name)),
        RunContext::Other(rest) => Quoted(rest).to_string(),
    }
}

/// The same repository in both forms of GitHub's subjects, or two repositories with the same name.
fn numbers(expected: &RunRepository<'_>, actual: &RunRepository<'_>) -> Option<String> {
    let same_names = (expected.owner, expected.name) == (actual.owner, actual.name);
    match (expected.numbers, actual.numbers) {
        (None, Some((owner, number))) if same_names => Some(format!(
            "the token's subject has the numbers of owner and repository, like those of repositories created, renamed or \
             transferred since July 2026: write `repo:{}@{owner}/{}@{number}:`",
            actual.owner, actual.name
        )),
        (Some(_), None) if same_names => Some(format!(
            "the policy's value has the numbers of owner and repository, and this repository's tokens have none: write \
             `repo:{actual}:`, and `repository_id` in `claim_pattern`"
        )),
        (Some(ours), Some(theirs)) if same_names && ours != theirs => {
            Some("another repository of this name: the numbers of owner or repository differ".to_owned())
        }
        (Some(ours), Some(theirs)) if ours == theirs && !same_names => Some(format!(
            "the repository has been renamed or transferred: write `repo:{}@{}/{}@{}:`",
            actual.owner, theirs.0, actual.name, theirs.1
        )),
        (_, _) => None,
    }
}

fn subjects(expected: &str, actual: &str) -> Option<String> {
    if let Some(hint) = forgotten_prefix(expected, actual) {
        return Some(hint);
    }
    let token = RunSubject::parse(actual)?;
    let actual_rest =
        actual.split_once(':').and_then(|(_, rest)| rest.split_once(':')).map_or("", |(_, rest)| rest);
    let Some(policy) = RunSubject::parse(expected) else {
        let bare = expected.strip_prefix("repo:").unwrap_or(expected);
        let is_this = bare.eq_ignore_ascii_case(&token.repository.to_string())
            || actual
                .strip_prefix("repo:")
                .is_some_and(|rest| rest.strip_suffix(actual_rest) == Some(&format!("{bare}:")));
        return is_this.then(|| {
            format!(
                "the policy's value ends with the repository; the token's goes on with {}",
                Quoted(actual_rest)
            )
        });
    };
    if let Some(hint) = numbers(&policy.repository, &token.repository) {
        return Some(hint);
    }
    if (policy.repository.owner, policy.repository.name) != (token.repository.owner, token.repository.name) {
        let what = if policy.repository.is(&token.repository) {
            "the repository differs in case only, and case counts"
        } else {
            "another repository"
        };
        return Some(format!(
            "{what}: the token is from {}, the policy expects {}",
            Quoted(&token.repository.to_string()),
            Quoted(&policy.repository.to_string())
        ));
    }
    let (run, wanted) = (token.context, policy.context);
    if let RunContext::Other(rest) = wanted
        && actual_rest.ends_with(rest.trim_start_matches(['/', ':']))
        && !rest.is_empty()
    {
        let prefix = actual_rest.strip_suffix(rest).unwrap_or_default();
        return Some(format!("the policy's value lacks `{prefix}` after the repository: write `{actual}`"));
    }
    let told = format!("the token is for {}, the policy expects {}", describe(&run), describe(&wanted));
    let why = match (&run, &wanted) {
        (RunContext::Branch(_), RunContext::Branch(_)) => "another branch: ",
        (RunContext::Tag(_), RunContext::Tag(_)) => "another tag: ",
        (RunContext::Environment(_), RunContext::Environment(_)) => "another environment: ",
        (RunContext::Environment(_), _) => {
            "a job with an environment has the environment in its subject instead of the branch: "
        }
        (_, RunContext::Environment(_)) => "only a job that names its environment has it in the subject: ",
        (RunContext::PullRequest, _) => "a run for a pull request has no branch in its subject: ",
        (_, _) => "",
    };
    Some(format!("{why}{told}"))
}

fn by_pattern(step: &Step, pattern: &str, actual: &str) -> Option<String> {
    let matches = |pattern: &str| pattern.parse::<Pattern>().is_ok_and(|pattern| pattern.matches(actual));
    if step.too_expensive {
        return Some("matching took more steps than a decision allows; write a simpler pattern".to_owned());
    }
    if step.only_unanchored {
        return Some(
            "the `|` is outside a group, and a pattern must match the whole value: write `(a|b)` around what varies"
                .to_owned(),
        );
    }
    if matches(&format!("(?i:{pattern})")) {
        return Some("differs in case only, and case counts".to_owned());
    }
    if step.rule == Rule::Subject
        && let Some(hint) = number_in_subject(pattern, actual)
    {
        return Some(hint);
    }
    for prefix in ["refs/heads/", "refs/tags/"] {
        let without = actual.replacen(prefix, "", 1);
        let is_it = pattern.parse::<Pattern>().is_ok_and(|pattern| pattern.matches(&without));
        if actual.contains(prefix) && is_it {
            return Some(format!("the pattern lacks `{prefix}`, which the token's value has"));
        }
    }
    if let Some(glob) = as_glob(pattern)
        && matches(&glob)
    {
        return Some("`*` repeats what comes before it; to match any text, write `.*`".to_owned());
    }
    if let Some(expected) = as_literal(pattern) {
        return text(&step.rule, &expected, actual)
            .or_else(|| part(pattern, actual))
            .or_else(|| Some(first_difference(&expected, actual)));
    }
    part(pattern, actual)
}

/// The pattern would match the subject without the numbers of owner and repository.
fn number_in_subject(pattern: &str, actual: &str) -> Option<String> {
    let repository = RunSubject::parse(actual)?.repository;
    let (owner, number) = repository.numbers?;
    let (_, rest) = actual.strip_prefix("repo:")?.split_once(':')?;
    let old = format!("repo:{repository}:{rest}");
    pattern.parse::<Pattern>().is_ok_and(|pattern| pattern.matches(&old)).then(|| {
        format!(
            "the token's subject has the numbers of owner and repository, like those of repositories created, renamed or \
             transferred since July 2026: write `repo:{}@{owner}/{}@{number}:` at the beginning",
            repository.owner, repository.name
        )
    })
}

/// The pattern matches a part of the value, and must match all of it.
fn part(pattern: &str, actual: &str) -> Option<String> {
    if actual.len() > MAX_SEARCHED {
        return None;
    }
    let parsed: Pattern = pattern.parse().ok()?;
    let ends: Vec<usize> = actual.char_indices().map(|(index, _)| index).chain([actual.len()]).collect();
    let is_beginning = |end: &usize| *end > 0 && actual.get(..*end).is_some_and(|head| parsed.matches(head));
    if let Some(rest) = ends.iter().rev().find(|end| is_beginning(end)).and_then(|end| actual.get(*end..)) {
        return Some(format!(
            "the pattern matches only the beginning: the value goes on with {}, and a pattern must match all of it",
            Quoted(rest)
        ));
    }
    let is_end = |start: &usize| {
        *start < actual.len() && actual.get(*start..).is_some_and(|tail| parsed.matches(tail))
    };
    if let Some(head) = ends.iter().find(|start| is_end(start)).and_then(|start| actual.get(..*start)) {
        return Some(format!(
            "the pattern matches only the end: the value begins with {}, and a pattern must match all of it",
            Quoted(head)
        ));
    }
    let anywhere = format!("(?s:.*)(?:{pattern})(?s:.*)").parse::<Pattern>().is_ok_and(|p| p.matches(actual));
    // A match of nothing is in every value.
    (anywhere && !parsed.matches(""))
        .then(|| "the pattern matches only a part in the middle, and must match the whole value".to_owned())
}

/// The pattern with `.*` for each `*` after a letter, digit, `/`, `:` or `-`; `None` if there is none.
fn as_glob(pattern: &str) -> Option<String> {
    let mut out = String::new();
    let mut before = None;
    let mut found = false;
    for character in pattern.chars() {
        let is_glob =
            character == '*' && before.is_none_or(|b: char| b.is_ascii_alphanumeric() || "/:-_@".contains(b));
        if is_glob {
            out.push('.');
            found = true;
        }
        out.push(character);
        before = Some(character);
    }
    found.then_some(out)
}

/// The text of a pattern without wildcards: characters, and escaped punctuation.
fn as_literal(pattern: &str) -> Option<String> {
    let mut out = String::new();
    let mut characters = pattern.strip_prefix('^').unwrap_or(pattern).chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => out.push(characters.next().filter(char::is_ascii_punctuation)?),
            '$' if characters.as_str().is_empty() => {}
            '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '^' | '$' => return None,
            other => out.push(other),
        }
    }
    Some(out)
}

fn first_difference(expected: &str, actual: &str) -> String {
    let same = expected.chars().zip(actual.chars()).take_while(|(a, b)| a == b).count();
    let rest = |text: &str| text.chars().skip(same).collect::<String>();
    match (rest(expected).as_str(), rest(actual).as_str()) {
        ("", more) => format!("the token's value goes on with {}", Quoted(more)),
        (more, "") => format!("the token's value ends where the policy's goes on with {}", Quoted(more)),
        (_, _) => format!("the first difference is at character {}", same + 1),
    }
}

#[cfg(test)]
mod tests {
    use octo_sts_policy::{PolicyHome, evaluate, load};
    use serde_json::{Value, json};

    use super::*;

    fn hint(rules: &str, change: &Value) -> String {
        let mut object = json!({
            "iss": "https://token.actions.githubusercontent.com",
            "sub": "repo:acme/app:ref:refs/heads/main",
            "aud": "sts.example.com",
            "ref": "refs/heads/main",
            "repository_id": "1",
        });
        for (name, value) in change.as_object().unwrap() {
            object[name] = value.clone();
        }
        let claims = Claims::from_object(object.as_object().unwrap().clone()).unwrap();
        let mut policy = String::from("permissions: {contents: read}\n");
        for (key, line) in [
            ("issuer", "issuer: https://token.actions.githubusercontent.com\n"),
            ("subject", "subject: repo:acme/app:ref:refs/heads/main\n"),
        ] {
            if !rules.starts_with(key) {
                policy.push_str(line);
            }
        }
        policy.push_str(rules);
        let report = load(policy.as_bytes(), PolicyHome::Repository);
        let policy = report.value.unwrap_or_else(|| panic!("{policy}{:?}", report.diagnostics));
        let evaluation = evaluate(&policy, &claims, "sts.example.com");
        of(evaluation.first_failure().expect("one rule that does not hold"), &claims).unwrap_or_default()
    }

    #[test]
    fn a_near_miss_is_told() {
        for (rules, change, expected) in [
            ("subject: repo:Acme/app:ref:refs/heads/main", json!({}), "differs in case only"),
            ("subject_pattern: repo:Acme/app:.*", json!({}), "differs in case only"),
            ("subject: ' repo:acme/app:ref:refs/heads/main'", json!({}), "white space around it"),
            (
                "subject: repo:acme/app:ref:refs/heads/dev",
                json!({}),
                "another branch: the token is for the branch `main`, the policy expects the branch `dev`",
            ),
            (
                "subject: repo:acme/app:ref:refs/tags/v1",
                json!({}),
                "the token is for the branch `main`, the policy expects the tag `v1`",
            ),
            (
                "subject: repo:acme/other:ref:refs/heads/main",
                json!({}),
                "another repository: the token is from `acme/app`, the policy expects `acme/other`",
            ),
            ("subject: repo:acme/App:ref:refs/heads/dev", json!({}), "the repository differs in case only"),
            (
                "subject: repo:acme/app:ref:main",
                json!({}),
                "lacks `refs/heads/`: write `repo:acme/app:ref:refs/heads/main`",
            ),
            ("subject: repo:acme/app:ref:heads/main", json!({}), "lacks `refs/heads/`"),
            (
                "subject: repo:acme/app:refs/heads/main",
                json!({}),
                "lacks `ref:` after the repository: write `repo:acme/app:ref:refs/heads/main`",
            ),
            ("subject: repo:acme/app:main", json!({}), "lacks `ref:refs/heads/` after the repository"),
            (
                "subject: repo:acme/app:ref:refs/heads/main",
                json!({"sub": "repo:acme@4242/app@1:ref:refs/heads/main"}),
                "has the numbers of owner and repository, like those of repositories created, renamed or transferred since July 2026: write `repo:acme@4242/app@1:`",
            ),
            (
                "subject_pattern: repo:acme/app:.*",
                json!({"sub": "repo:acme@4242/app@1:ref:refs/heads/main"}),
                "write `repo:acme@4242/app@1:` at the beginning",
            ),
            (
                "subject: repo:acme@4242/app@1:ref:refs/heads/main",
                json!({}),
                "this repository's tokens have none: write `repo:acme/app:`",
            ),
            (
                "subject: repo:acme@4242/app@1:ref:refs/heads/main",
                json!({"sub": "repo:acme@4243/app@2:ref:refs/heads/main"}),
                "another repository of this name: the numbers",
            ),
            (
                "subject: repo:acme@4242/app@1:ref:refs/heads/main",
                json!({"sub": "repo:widgets@4242/app@1:ref:refs/heads/main"}),
                "renamed or transferred: write `repo:widgets@4242/app@1:`",
            ),
            (
                "subject: repo:acme@4242/app@1:ref:refs/heads/dev",
                json!({"sub": "repo:acme@4242/app@1:ref:refs/heads/main"}),
                "another branch: the token is for the branch `main`, the policy expects the branch `dev`",
            ),
            (
                "subject: repo:acme@4242/app@1",
                json!({"sub": "repo:acme@4242/app@1:ref:refs/heads/main"}),
                "goes on with `ref:refs/heads/main`",
            ),
            (
                "subject: repo:acme/app:.*",
                json!({}),
                "as a pattern it would match: write `subject_pattern: repo:acme/app:.*`",
            ),
            (
                "subject: repo:acme/app:ref:refs/heads/*",
                json!({}),
                "write `subject_pattern: repo:acme/app:ref:refs/heads/.*`",
            ),
            (
                "issuer: https://token\\.actions\\.githubusercontent\\.com",
                json!({}),
                "write `issuer_pattern: https://token",
            ),
            ("audience: sts\\.example\\.com", json!({}), "write `audience_pattern: "),
            ("subject: repo:acme/app", json!({}), "goes on with `ref:refs/heads/main`"),
            ("subject: acme/app", json!({}), "goes on with `ref:refs/heads/main`"),
            (
                "subject: repo:acme/app:environment:production",
                json!({}),
                "only a job that names its environment",
            ),
            (
                "subject: repo:acme/app:ref:refs/heads/main",
                json!({"sub": "repo:acme/app:environment:production"}),
                "a job with an environment has the environment in its subject instead of the branch",
            ),
            (
                "subject: repo:acme/app:ref:refs/heads/main",
                json!({"sub": "repo:acme/app:pull_request"}),
                "a run for a pull request has no branch",
            ),
            ("subject: project:1", json!({"sub": "project:12"}), "goes on with `2`"),
            ("subject: project:12", json!({"sub": "project:1"}), "ends where the policy's goes on with `2`"),
            ("subject: project:12", json!({"sub": "project:13"}), "at character 10"),
            ("subject_pattern: repo:acme/app", json!({}), "goes on with `ref:refs/heads/main`"),
            ("subject_pattern: repo:acme/(app|docs)", json!({}), "goes on with `:ref:refs/heads/main`"),
            (
                "subject_pattern: refs/heads/(main|dev)",
                json!({}),
                "only the end: the value begins with `repo:acme/app:ref:`",
            ),
            ("subject_pattern: acme/(app|docs)", json!({}), "only a part in the middle"),
            ("subject_pattern: repo:acme/*", json!({}), "to match any text, write `.*`"),
            ("subject_pattern: repo:acme/app:ref:(main|dev)", json!({}), "the pattern lacks `refs/heads/`"),
            ("subject_pattern: repo:acme/app:ref:refs/heads/dev", json!({}), "another branch"),
            (
                "claim_pattern: {ref: refs/heads/dev}",
                json!({}),
                "another ref: the token is for the branch `main`, the policy expects the branch `dev`",
            ),
            (
                "claim_pattern: {w: 'a/b\\.yaml@refs/tags/v1'}",
                json!({"w": "a/b.yaml@refs/heads/main"}),
                "the token is for the branch `main`, the policy expects the tag `v1`",
            ),
            ("claim_pattern: {w: 'a/b\\.yaml@x'}", json!({"w": "a/c.yaml@x"}), "at character 3"),
            ("claim_pattern: {ref: main}", json!({}), "the pattern lacks `refs/heads/`"),
            ("claim_pattern: {ref: v.*}", json!({"ref": "refs/tags/v1"}), "the pattern lacks `refs/tags/`"),
            (
                "claim_pattern: {ref: refs/heads/main|refs/heads/dev}",
                json!({"ref": "refs/heads/mainly"}),
                "outside a group",
            ),
            ("claim_pattern: {repositoryid: '1'}", json!({}), "did you mean `repository_id`?"),
            ("claim_pattern: {environment: production}", json!({}), "add `environment:` to the job"),
            ("claim_pattern: {zone: a}", json!({}), "has no such claim"),
            ("claim_pattern: {ref: .*}", json!({"ref": 1}), "a pattern matches only text"),
            ("issuer: https://token.actions.githubusercontent.com/", json!({}), "the `/` at the end"),
            ("audience: https://sts.example.com", json!({}), "the beginning `https://`"),
            ("audience: sts.example.com", json!({"aud": "https://github.com/acme"}), "requested without one"),
            ("issuer: https://a.example.com", json!({}), "the first difference is at character 9"),
        ] {
            let told = hint(rules, &change);
            assert!(told.contains(expected), "{rules} {change}\n{told}");
            assert!(!told.contains('\n') && !told.ends_with('.'), "{told}");
        }
    }

    #[test]
    fn a_far_miss_is_not_explained_away() {
        assert_eq!(hint("claim_pattern: {ref: '[0-9]+'}", &json!({})), "");
        assert_eq!(hint("subject_pattern: 'project:[0-9]+'", &json!({})), "");
    }
}
