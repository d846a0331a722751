//! `sts init`: a minimal policy for a GitHub Actions workflow, from flags or questions.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufRead, ErrorKind, Write};
use std::path::{Path, PathBuf};

use octo_sts_policy::names::{IdentityName, Scope};
use octo_sts_policy::schema::Schema;
use octo_sts_policy::{Diagnostic, GITHUB_ACTIONS, POLICY_FOLDER, PolicyHome, check};
use octo_sts_verifier::oidc::{Quoted, SubjectShape};

use super::arguments::Init;
use super::escape;
use super::outcome::{Failure, Outcome};
use super::report::{self, help};
use super::yaml::{Draft, Value, literal};

/// The default events of a policy with write permissions: those that need write access to start.
const TRUSTED_EVENTS: [&str; 2] = ["push", "workflow_dispatch"];

const DEFAULT_BRANCH: &str = "main";

/// `questions` is where to ask and where answers come from, if there is anybody to ask.
pub(crate) fn run(
    arguments: &Init,
    questions: Option<Questions<impl BufRead, impl Write>>,
) -> Result<Outcome, Failure> {
    let answers = Answers::of(arguments, questions)?;
    let yaml = answers.policy(arguments)?;
    let home = if arguments.org { PolicyHome::OrganizationPolicyRepository } else { PolicyHome::Repository };
    let report = check(yaml.as_bytes(), home);
    if report.value.is_none() {
        let problems: Vec<String> = report.errors().map(one_line).collect();
        return Err(Failure::Usage(problems.join("\nerror: ")));
    }
    let warnings: String =
        report.warnings().map(|warning| format!("warning: {}\n", one_line(warning))).collect();
    match arguments.output.as_deref() {
        Some(path) if path == Path::new("-") => Ok(Outcome::success(yaml).with_notes(warnings)),
        path => {
            let path = path.map_or_else(|| PathBuf::from(answers.identity.policy_path()), Path::to_owned);
            write(&path, &yaml, arguments.force)?;
            Ok(Outcome::success(format!("wrote {}\n", report::shown(&path.display().to_string())))
                .with_notes(warnings))
        }
    }
}

fn one_line(diagnostic: &Diagnostic) -> String {
    match help(diagnostic) {
        Some(help) => format!("{}; {help}", diagnostic.message),
        None => diagnostic.message.clone(),
    }
}

/// Never overwrites without `--force`; the operating system enforces that, not a prior check.
fn write(path: &Path, yaml: &str, force: bool) -> Result<(), Failure> {
    let failed = |error: &std::io::Error| {
        Failure::Usage(format!("cannot write `{}`: {error}", report::shown(&path.display().to_string())))
    };
    // A hostile repository may have a link there, through which the file would be written.
    let is_link = |path: &Path| std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
    let in_policy_folder = path.parent().filter(|folder| folder.ends_with(POLICY_FOLDER));
    let folders = in_policy_folder.into_iter().flat_map(|folder| folder.ancestors().take(2));
    if let Some(link) = folders.chain([path]).find(|path| is_link(path)) {
        let link = report::shown(&link.display().to_string());
        return Err(Failure::Usage(format!(
            "`{link}` is a link, and `sts init` does not write through links"
        )));
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    }
    let mut options = OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let mut file = options.open(path).map_err(|error| {
        if error.kind() == ErrorKind::AlreadyExists {
            Failure::Usage(format!(
                "`{}` exists; `--force` overwrites it",
                report::shown(&path.display().to_string())
            ))
        } else {
            failed(&error)
        }
    })?;
    file.write_all(yaml.as_bytes()).map_err(|error| failed(&error))
}

/// What a policy requires, and the related questions.
struct Answers {
    identity: IdentityName,
    /// `owner/name`
    repository: String,
    permissions: BTreeMap<String, String>,
    branch: Option<String>,
    environment: Option<String>,
    repository_id: Option<u64>,
}

impl Answers {
    fn of(arguments: &Init, questions: Option<Questions<impl BufRead, impl Write>>) -> Result<Self, Failure> {
        // If the flags have everything needed, there are no questions.
        let complete =
            arguments.identity.is_some() && arguments.repo.is_some() && !arguments.permissions.is_empty();
        let mut questions = questions.filter(|_| !complete);
        let mut or_ask = |given: Option<&str>, question: &str| match (given, questions.as_mut()) {
            (Some(given), _) => Ok(Some(given.to_owned())),
            (None, Some(questions)) => questions.ask(question),
            (None, None) => Ok(None),
        };
        let missing = |what: &str, flag: &str| Failure::Usage(format!("{what} is missing: give {flag}"));

        let identity = or_ask(arguments.identity.as_deref(), "name of the policy")?
            .ok_or_else(|| missing("the policy's name", "`IDENTITY`"))?;
        let repository = or_ask(arguments.repo.as_deref(), "repository of the workflow (owner/name)")?
            .ok_or_else(|| missing("the workflow's repository", "`--repo owner/name`"))?;
        let permissions = match arguments.permissions.as_slice() {
            [] => or_ask(None, "permissions (contents=read, issues=write)")?
                .ok_or_else(|| missing("a permission", "`--permission contents=read`"))?
                .split([',', ' '])
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect(),
            given => given.to_vec(),
        };
        let environment =
            or_ask(arguments.environment.as_deref(), "environment of the job (empty for none)")?;
        let branch = or_ask(arguments.branch.as_deref(), "branch (empty for main)")?;
        let given_id = arguments.repository_id.map(|id| id.to_string());
        let question =
            format!("number of the repository (gh api repos/{repository} --jq .id; empty for none)");
        let repository_id = or_ask(given_id.as_deref(), &question)?
            .map(|id| id.parse().map_err(|_| Failure::Usage(format!("{} is not a number", Quoted(&id)))))
            .transpose()?;

        let identity = identity.parse().map_err(|error| {
            Failure::Usage(format!("{} cannot be the policy's name: {error}", Quoted(&identity)))
        })?;
        match repository.parse() {
            Ok(Scope::Repository { .. }) => {}
            Ok(Scope::Owner(_)) | Err(_) => {
                let message =
                    format!("{} is not a repository: write its owner too, `acme/app`", Quoted(&repository));
                return Err(Failure::Usage(message));
            }
        }
        let permissions = permissions.iter().map(|text| permission(text)).collect::<Result<_, _>>()?;
        Ok(Self { identity, repository, permissions, branch, environment, repository_id })
    }

    fn policy(&self, arguments: &Init) -> Result<String, Failure> {
        let branch = self.branch.as_deref().unwrap_or(DEFAULT_BRANCH);
        let branch = branch.strip_prefix("refs/heads/").unwrap_or(branch);
        let repository = &self.repository;
        let (in_subject, note) = self.repository_in_subject(arguments);
        let (subject, place) = match &self.environment {
            Some(environment) => (
                format!("repo:{in_subject}:environment:{environment}"),
                format!("in the environment `{environment}`"),
            ),
            None => {
                (format!("repo:{in_subject}:ref:refs/heads/{branch}"), format!("on the branch `{branch}`"))
            }
        };
        if let Err(error) = subject.parse::<SubjectShape>() {
            return Err(Failure::Usage(error.to_string().replace("the token's subject", "the subject")));
        }
        let draft = Draft {
            issuer: Value::Exact(GITHUB_ACTIONS.to_owned()),
            subject: Value::Exact(subject),
            audience: arguments.audience.clone().map(Value::Exact),
            claim_pattern: self.claim_pattern(arguments, branch),
            permissions: self.permissions.clone().into_iter().collect(),
            repositories: (!arguments.covers.is_empty()).then(|| arguments.covers.clone()),
            app: None,
        };
        let schema = if arguments.org { Schema::OrganizationTrustPolicy } else { Schema::TrustPolicy };
        Ok(format!(
            "# yaml-language-server: $schema={}\n# Workflows of {repository} {place}.\n{note}{}",
            schema.address(),
            draft.to_yaml()
        ))
    }

    /// The repository as in the subjects of tokens, and what the author has to know about it.
    fn repository_in_subject(&self, arguments: &Init) -> (String, &'static str) {
        match (self.repository.split_once('/'), self.repository_id, arguments.owner_id) {
            (Some((owner, name)), Some(number), Some(owner_number)) => (
                format!("{owner}@{owner_number}/{name}@{number}"),
                "# The subject has the numbers of owner and repository, like those of repositories created, renamed or\n\
                 # transferred since July 2026. An older repository's tokens have none: remove them then, with their `@`.\n",
            ),
            (_, _, _) => (self.repository.clone(), ""),
        }
    }

    fn claim_pattern(&self, arguments: &Init, branch: &str) -> BTreeMap<String, String> {
        let mut claims = BTreeMap::new();
        if let Some(id) = self.repository_id {
            claims.insert("repository_id".to_owned(), id.to_string());
        }
        if let Some(id) = arguments.owner_id {
            claims.insert("repository_owner_id".to_owned(), id.to_string());
        }
        if let Some(events) = self.events(arguments) {
            claims.insert("event_name".to_owned(), events);
        }
        // The subject of a job with an environment does not contain the branch.
        if self.environment.is_some() && self.branch.is_some() {
            claims.insert("ref".to_owned(), literal(&format!("refs/heads/{branch}")));
        }
        if let Some(workflow) = &arguments.workflow {
            let file = workflow.strip_prefix(".github/workflows/").unwrap_or(workflow);
            let value = format!("{}/.github/workflows/{file}@refs/heads/{branch}", self.repository);
            claims.insert("job_workflow_ref".to_owned(), literal(&value));
        }
        claims
    }

    /// The events that may start the run. A policy that only reads needs none.
    fn events(&self, arguments: &Init) -> Option<String> {
        let changes = self.permissions.values().any(|level| level != "read");
        let events: Vec<String> = match arguments.events.as_slice() {
            [] if changes => TRUSTED_EVENTS.iter().map(|event| (*event).to_owned()).collect(),
            events => events.iter().map(|event| literal(event)).collect(),
        };
        match events.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            several => Some(format!("({})", several.join("|"))),
        }
    }
}

fn permission(text: &str) -> Result<(String, String), Failure> {
    match text.split_once(['=', ':']) {
        Some((name, level)) => Ok((name.trim().to_owned(), level.trim().to_owned())),
        None => {
            Err(Failure::Usage(format!("{} has no level: write for example `contents=read`", Quoted(text))))
        }
    }
}

/// A person to ask.
pub(crate) struct Questions<R, W> {
    pub(crate) answers: R,
    pub(crate) prompts: W,
}

impl<R: BufRead, W: Write> Questions<R, W> {
    /// `None` for an empty answer.
    fn ask(&mut self, question: &str) -> Result<Option<String>, Failure> {
        let mut line = String::new();
        write!(self.prompts, "{}: ", escape::one_line(question))
            .and_then(|()| self.prompts.flush())
            .and_then(|()| self.answers.read_line(&mut line))
            .map_err(|error| Failure::Usage(format!("no answer: {error}")))?;
        let answer = line.trim();
        Ok((!answer.is_empty()).then(|| answer.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::arguments::{Arguments, Command};
    use super::*;

    fn init(flags: &[&str]) -> Init {
        let line = ["sts", "init"].iter().chain(flags);
        let Command::Init(init) = Arguments::try_parse_from(line).unwrap().command else { panic!("init") };
        init
    }

    fn written(flags: &[&str], questions: &str) -> Result<String, Failure> {
        let arguments = init(flags);
        let questions =
            Questions { answers: std::io::Cursor::new(questions.to_owned()), prompts: std::io::sink() };
        Answers::of(&arguments, Some(questions))?.policy(&arguments)
    }

    #[test]
    fn questions_ask_for_what_no_flag_gives() {
        let yaml = written(&[], "deploy\nacme/app\nissues=write\nproduction\nrelease\n42\n").unwrap();
        for line in ["environment:production", "ref: refs/heads/release", "repository_id: '42'"] {
            assert!(yaml.contains(line), "{line} in {yaml}");
        }
        assert!(matches!(written(&[], "d\nacme/app\nissues=write\n\n\nx\n"), Err(Failure::Usage(_))));
        let yaml = written(&[], "deploy\nacme/app\ncontents=read, issues=write\n").unwrap();
        assert!(yaml.contains("subject: repo:acme/app:ref:refs/heads/main\n"), "{yaml}");
        assert!(yaml.contains("  contents: read\n  issues: write\n"), "{yaml}");
        let yaml = written(&["deploy", "--permission", "contents=read"], "acme/app\n").unwrap();
        assert!(yaml.contains("repo:acme/app:"), "{yaml}");
        assert!(matches!(written(&["deploy"], "\n"), Err(Failure::Usage(_))));
        assert!(matches!(written(&["deploy"], ""), Err(Failure::Usage(_))));
    }

    #[test]
    fn without_a_terminal_what_is_missing_is_named() {
        let nobody: Option<Questions<std::io::Empty, std::io::Sink>> = None;
        let failure = Answers::of(&init(&["deploy", "--repo", "acme/app"]), nobody).map(|_| ()).unwrap_err();
        let Failure::Usage(message) = failure else { panic!("usage") };
        assert!(message.contains("--permission"), "{message}");
    }

    #[test]
    fn a_policy_with_ids_has_no_warnings() {
        let base = ["d", "--repo", "acme/app", "--permission", "issues=write", "--repository-id", "1"];
        for extra in [
            &[][..],
            &["--branch", "release/1.x"],
            &["--environment", "production", "--branch", "main"],
            &["--workflow", "deploy.yaml", "--event", "push"],
            &["--owner-id", "2", "--audience", "sts.example.com"],
        ] {
            let yaml = written(&[&base[..], extra].concat(), "").unwrap();
            let report = check(yaml.as_bytes(), PolicyHome::Repository);
            assert!(
                report.value.is_some() && report.diagnostics.is_empty(),
                "{yaml}{:?}",
                report.diagnostics
            );
        }
        let organization = [&base[..], &["--org", "--covers", "app"]].concat();
        let report =
            check(written(&organization, "").unwrap().as_bytes(), PolicyHome::OrganizationPolicyRepository);
        assert!(report.value.is_some() && report.diagnostics.is_empty(), "{:?}", report.diagnostics);
    }

    #[test]
    fn both_numbers_make_the_subject_that_never_changes_hands() {
        let base =
            ["d", "--repo", "acme/app", "--permission", "issues=write", "--repository-id", "123456789"];
        let subject = |extra: &[&str]| {
            let yaml = written(&[&base[..], extra].concat(), "").unwrap();
            yaml.lines().find(|line| line.starts_with("subject: ")).unwrap().to_owned()
        };
        assert_eq!(subject(&[]), "subject: repo:acme/app:ref:refs/heads/main");
        assert_eq!(
            subject(&["--owner-id", "4242"]),
            "subject: repo:acme@4242/app@123456789:ref:refs/heads/main"
        );
        assert_eq!(
            subject(&["--owner-id", "4242", "--environment", "production"]),
            "subject: repo:acme@4242/app@123456789:environment:production"
        );
    }

    #[test]
    fn what_is_given_cannot_break_out_of_its_value() {
        for flags in [
            &["d", "--repo", "acme/app", "--permission", "contents=read", "--branch", "a\npermissions: {}"][..],
            &["d", "--repo", "acme/app\nx", "--permission", "contents=read"],
            &["../d", "--repo", "acme/app", "--permission", "contents=read"],
            &["d", "--repo", "acme", "--permission", "contents=read"],
            &["d", "--repo", "acme/app", "--permission", "contents"],
        ] {
            assert!(matches!(written(flags, ""), Err(Failure::Usage(_))), "{flags:?}");
        }
        let yaml =
            written(&["d", "--repo", "acme/app", "--permission", "contents=read", "--event", ".*|x"], "")
                .unwrap();
        assert!(yaml.contains(r"event_name: '\.\*\|x'"), "{yaml}");
    }
}
