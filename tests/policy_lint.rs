//! Every warning: a policy that has it, and the same policy with one thing changed that has not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use octo_sts_worker::policy::{PolicyHome, Severity, check};

fn warnings(home: PolicyHome, yaml: &str) -> Vec<&'static str> {
    let report = check(yaml.as_bytes(), home);
    assert!(report.value.is_some(), "{yaml}: {:?}", report.diagnostics);
    assert!(report.diagnostics.iter().all(|diagnostic| diagnostic.severity == Severity::Warning));
    report.diagnostics.iter().map(|diagnostic| diagnostic.code).collect()
}

/// A policy without any warning; `changes` are lines that replace those with the same key.
fn policy(changes: &[&str]) -> String {
    let mut lines = vec![
        "issuer: https://token.actions.githubusercontent.com",
        "subject: repo:acme/app:ref:refs/heads/main",
        "claim_pattern: {event_name: push, repository_id: '1'}",
        "permissions: {issues: write}",
    ];
    for change in changes {
        let (key, _) = change.split_once(':').unwrap();
        let replaced = key.strip_suffix("_pattern").filter(|_| key != "claim_pattern").unwrap_or(key);
        lines.retain(|line| line.split_once(':').unwrap().0 != replaced);
        lines.push(change);
    }
    lines.join("\n") + "\n"
}

struct Rule {
    code: &'static str,
    home: PolicyHome,
    warned: &'static [&'static [&'static str]],
    quiet: &'static [&'static [&'static str]],
}

const HERE: PolicyHome = PolicyHome::Repository;
const ORGANIZATION: PolicyHome = PolicyHome::OrganizationPolicyRepository;

const RULES: &[Rule] = &[
    Rule {
        code: "issuer-shape",
        home: HERE,
        warned: &[
            &["issuer: token.actions.githubusercontent.com"],
            &["issuer: 'https://a.example.com '"],
            &["issuer: http://a.example.com"],
            &["issuer: https://a.example.com?tenant=1"],
        ],
        quiet: &[&["issuer: https://a.example.com/"], &["issuer_pattern: https://[a-z]+\\.example\\.com"]],
    },
    Rule {
        code: "subject-pattern-open-repository",
        home: HERE,
        warned: &[
            &["subject_pattern: .*", "claim_pattern: {event_name: push}"],
            &["subject_pattern: repo:.*:ref:refs/heads/main", "claim_pattern: {event_name: push}"],
            &["subject_pattern: repo:acme/.*", "claim_pattern: {event_name: push}"],
            &["subject_pattern: 'repo:acme/[a-z]+:ref:refs/heads/main'", "claim_pattern: {event_name: push}"],
            &["subject_pattern: 'repo:[^/]+/app:ref:refs/heads/main'", "claim_pattern: {event_name: push}"],
            &["subject_pattern: '(?i)repo:acme/.+:ref:refs/heads/main'", "claim_pattern: {event_name: push}"],
            &[
                "subject_pattern: 'repo:(acme|.*)/app:ref:refs/heads/main'",
                "claim_pattern: {event_name: push}",
            ],
            &[
                "subject_pattern: repo:acme/.*",
                "claim_pattern: {event_name: push, repository_id: .*}",
                "claim_pattern: {event_name: push}",
            ],
        ],
        quiet: &[
            &["subject_pattern: repo:acme/app:.*"],
            &["subject_pattern: 'repo:acme/(app|docs):ref:refs/heads/[a-z]+'"],
            &["subject_pattern: 'repo:acme/(app|docs):ref:refs/heads/main'"],
            &["subject_pattern: 'repo:[Aa]cme/app:.*'"],
            &["subject_pattern: '(?i)repo:acme/app:.*'"],
            // A claim fixes the repository.
            &["subject_pattern: repo:acme/.*"],
            // Not GitHub's subjects.
            &["subject_pattern: '.*@example\\.com'", "issuer: https://a.example.com"],
        ],
    },
    Rule {
        code: "subject-pattern-open-end",
        home: HERE,
        warned: &[
            &["subject_pattern: repo:acme/app.*", "claim_pattern: {event_name: push}"],
            &["subject_pattern: 'repo:acme/app.*:ref:refs/heads/main'", "claim_pattern: {event_name: push}"],
            &[
                "subject_pattern: 'repo:acme/app-[a-z]+:ref:refs/heads/main'",
                "claim_pattern: {event_name: push}",
            ],
            &["subject_pattern: 'repo:acme/app(-x.*)?'", "claim_pattern: {event_name: push}"],
        ],
        quiet: &[
            &["subject_pattern: 'repo:acme/app:.*'", "claim_pattern: {event_name: push}"],
            &["subject_pattern: 'repo:acme/app(:.*)?'", "claim_pattern: {event_name: push}"],
            &["subject_pattern: repo:acme/app", "claim_pattern: {event_name: push}"],
        ],
    },
    Rule {
        code: "pattern-unescaped-dot",
        home: HERE,
        warned: &[
            &["issuer_pattern: 'https://token\\.actions.githubusercontent\\.com'"],
            &["subject_pattern: 'repo:acme/app:ref:refs/heads/v1.2'"],
            &["audience_pattern: sts.example\\.com"],
            &[
                "claim_pattern: {repository_id: '1', event_name: push, email_verified: 'true', email: 'a@example.com'}",
            ],
            &["claim_pattern: {repository_id: '1', event_name: push, ref: '(a.b|c)'}"],
        ],
        quiet: &[
            &["issuer_pattern: 'https://token\\.actions\\.githubusercontent\\.com'"],
            &["claim_pattern: {repository_id: '1', event_name: push, ref: 'a.*b[.]c.'}"],
        ],
    },
    Rule {
        code: "pattern-top-level-alternation",
        home: HERE,
        warned: &[
            &["claim_pattern: {repository_id: '1', event_name: push|schedule}"],
            &["audience_pattern: a|b"],
        ],
        quiet: &[
            &["claim_pattern: {repository_id: '1', event_name: (push|schedule)}"],
            &["audience_pattern: '[a|b]'"],
        ],
    },
    Rule {
        code: "pull-request-write",
        home: HERE,
        warned: &[
            &["subject: repo:acme/app:pull_request", "claim_pattern: {repository_id: '1'}"],
            &[
                "subject: repo:acme/app:pull_request",
                "claim_pattern: {repository_id: '1', event_name: pull_request}",
            ],
            &["subject_pattern: 'repo:acme/app:.*'", "claim_pattern: {repository_id: '1'}"],
            &[
                "subject_pattern: 'repo:acme/app:(pull_request|ref:refs/heads/main)'",
                "claim_pattern: {repository_id: '1'}",
            ],
        ],
        quiet: &[
            &["subject: repo:acme/app:pull_request"],
            &["subject_pattern: 'repo:acme/app:ref:.*'", "claim_pattern: {repository_id: '1'}"],
            &[
                "subject: repo:acme/app:pull_request",
                "claim_pattern: {repository_id: '1'}",
                "permissions: {issues: read}",
            ],
        ],
    },
    Rule {
        code: "event-name-unrestricted",
        home: HERE,
        warned: &[
            &["claim_pattern: {repository_id: '1'}"],
            &["claim_pattern: {repository_id: '1', event_name: .*}"],
            &["claim_pattern: {repository_id: '1', event_name: '[a-z_]+'}"],
        ],
        quiet: &[
            &["claim_pattern: {repository_id: '1'}", "permissions: {issues: read}"],
            &["claim_pattern: {repository_id: '1'}", "issuer: https://a.example.com"],
            &["claim_pattern: {repository_id: '1', event_name: push}"],
            &["claim_pattern: {repository_id: '1', event_name: (push|workflow_.*)}"],
        ],
    },
    Rule {
        code: "workflow-ref-any",
        home: HERE,
        warned: &[
            &[
                "claim_pattern: {repository_id: '1', event_name: push, job_workflow_ref: 'acme/x/w\\.yaml@.*'}",
            ],
            &[
                "claim_pattern: {repository_id: '1', event_name: push, job_workflow_ref: 'acme/x/w\\.yaml@(.+)$'}",
            ],
            &["claim_pattern: {repository_id: '1', event_name: push, workflow_ref: 'acme/x/w\\.yaml@.*'}"],
        ],
        quiet: &[
            &[
                "claim_pattern: {repository_id: '1', event_name: push, job_workflow_ref: 'acme/x/w\\.yaml@refs/heads/main'}",
            ],
            &[
                "claim_pattern: {repository_id: '1', event_name: push, job_workflow_ref: 'acme/x/w\\.yaml@refs/tags/v.*'}",
            ],
        ],
    },
    Rule {
        code: "email-unverified",
        home: HERE,
        warned: &[&["claim_pattern: {repository_id: '1', event_name: push, email: 'a@example\\.com'}"]],
        quiet: &[&[
            "claim_pattern: {repository_id: '1', event_name: push, email: 'a@example\\.com', email_verified: 'true'}",
        ]],
    },
    Rule {
        code: "organization-wide",
        home: ORGANIZATION,
        warned: &[&[]],
        quiet: &[&["repositories: [app]"]],
    },
    Rule {
        code: "write-on-policy-repository",
        home: ORGANIZATION,
        warned: &[
            &["permissions: {contents: write}"],
            &["permissions: {workflows: write}"],
            &["permissions: {administration: write}", "repositories: [app, .github]"],
        ],
        quiet: &[
            &["permissions: {contents: write}", "repositories: [app]"],
            &["permissions: {contents: read, issues: write}"],
        ],
    },
    Rule {
        code: "write-on-policy-repository",
        home: HERE,
        warned: &[&["permissions: {contents: write}"], &["permissions: {workflows: write}"]],
        quiet: &[&["permissions: {contents: read, issues: write, administration: read}"]],
    },
    Rule {
        code: "names-can-be-registered-anew",
        home: HERE,
        warned: &[
            &["claim_pattern: {event_name: push}"],
            &["claim_pattern: {event_name: push, repository: acme/app}"],
        ],
        quiet: &[
            &["claim_pattern: {event_name: push, repository_owner_id: '1'}"],
            &["claim_pattern: {event_name: push}", "permissions: {issues: read}"],
            &["claim_pattern: {event_name: push}", "issuer: https://a.example.com"],
        ],
    },
];

#[test]
fn every_warning_is_told_where_it_applies_and_nowhere_else() {
    assert_eq!(warnings(HERE, &policy(&[])), Vec::<&str>::new());
    for rule in RULES {
        for changes in rule.warned {
            let yaml = policy(changes);
            assert!(
                warnings(rule.home, &yaml).contains(&rule.code),
                "{} is not told about\n{yaml}",
                rule.code
            );
        }
        for changes in rule.quiet {
            let yaml = policy(changes);
            assert!(!warnings(rule.home, &yaml).contains(&rule.code), "{} is told about\n{yaml}", rule.code);
        }
    }
}

#[test]
fn a_broken_file_gets_no_warning_about_what_is_absent() {
    let yaml = "issuer: https://token.actions.githubusercontent.com\nsubject: repo:acme/app:pull_request\nclaim_pattern: {event_name: '('}\npermissions: {issues: write}\n";
    let report = check(yaml.as_bytes(), HERE);
    assert_eq!(
        report.diagnostics.iter().map(|diagnostic| diagnostic.code).collect::<Vec<_>>(),
        ["pattern-syntax"]
    );
}

#[test]
fn an_issuer_without_its_scheme_is_suggested_with_it() {
    for written in [
        "token.actions.githubusercontent.com",
        "http://token.actions.githubusercontent.com",
        "'https://token.actions.githubusercontent.com '",
    ] {
        let report = check(policy(&[&format!("issuer: {written}")]).as_bytes(), HERE);
        let warning = report.warnings().find(|warning| warning.code == "issuer-shape").unwrap();
        assert_eq!(
            warning.suggestion.as_deref(),
            Some("did you mean `https://token.actions.githubusercontent.com`?"),
            "{written}"
        );
    }
}
