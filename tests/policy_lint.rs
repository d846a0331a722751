//! Every warning: a policy that has it, and the same policy with one change that does not.

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
        code: "subject-shape",
        home: HERE,
        warned: &[
            &["subject: ' repo:acme/app:ref:refs/heads/main'"],
            &["subject: 'a b'"],
            &["subject: 'it''s'"],
            &["subject: |\n  repo:acme/app:ref:refs/heads/main"],
        ],
        quiet: &[
            &["subject: auth0|12345"],
            &["subject: a.b+c@example.com"],
            &["subject: >-\n  repo:acme/app:x"],
        ],
    },
    Rule {
        code: "audience-shape",
        home: HERE,
        warned: &[&["audience: sts.example.com acme"], &["audience: a@b"], &["audience: a|b"]],
        quiet: &[&["audience: https://sts.example.com/acme"], &["audience: ü"]],
    },
    Rule {
        code: "exact-looks-like-pattern",
        home: HERE,
        warned: &[
            &["subject: repo:acme/.*"],
            &["subject: (1122|3344)"],
            &["subject: repo:acme/app:ref:refs/heads/*"],
            &["subject: repo:acme/app:ref:refs/tags/v[0-9]+"],
            &["subject: '^repo:acme/app:ref:refs/heads/main$'"],
            &["issuer: https://oidc\\.eks\\.eu-central-1\\.amazonaws\\.com"],
            &["issuer: https://*.example.com"],
            &["audience: sts\\.example\\.com"],
        ],
        quiet: &[
            &["subject: repo:acme/app:ref:refs/heads/main"],
            &["subject: auth0|12345"],
            &["subject: 'a b(c)'"],
            &["subject_pattern: repo:acme/app:ref:refs/heads/.*"],
        ],
    },
    Rule {
        code: "pattern-glob",
        home: HERE,
        warned: &[
            &["subject_pattern: repo:acme/app:ref:refs/heads/*"],
            &["subject_pattern: repo:acme/app:*"],
            &["claim_pattern: {repository_id: '1', event_name: push, ref: refs/heads/*}"],
        ],
        quiet: &[
            &["subject_pattern: repo:acme/app:ref:refs/heads/.*"],
            &["subject_pattern: 'repo:acme/app:[/:]*'"],
        ],
    },
    Rule {
        code: "pattern-line-feed",
        home: HERE,
        warned: &[
            &["subject_pattern: |\n  repo:acme/app:.*"],
            &["subject_pattern: >\n  repo:acme/app:.*"],
            &["subject_pattern: |-\n  repo:acme/app:a\n  repo:acme/app:b"],
        ],
        quiet: &[&["subject_pattern: >-\n  repo:acme/app:.*"], &["subject_pattern: |-\n  repo:acme/app:.*"]],
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
            &[
                "subject_pattern: repo:acme/.*",
                "claim_pattern: {event_name: push, repository_owner_id: '4\\d+'}",
            ],
            &["subject_pattern: 'repo:acme(@\\d+)?/.*'", "claim_pattern: {event_name: push}"],
            // Other GitHubs.
            &[
                "issuer: https://token.actions.acme.ghe.com",
                "subject_pattern: .*",
                "claim_pattern: {event_name: push}",
            ],
            &[
                "issuer: https://github.example.com/_services/token",
                "subject_pattern: .*",
                "claim_pattern: {event_name: push}",
            ],
        ],
        quiet: &[
            &["subject_pattern: repo:acme/app:.*"],
            &["subject_pattern: 'repo:acme/(app|docs):ref:refs/heads/[a-z]+'"],
            &["subject_pattern: 'repo:acme/(app|docs):ref:refs/heads/main'"],
            &["subject_pattern: 'repo:[Aa]cme/app:.*'"],
            &["subject_pattern: '(?i)repo:acme/app:.*'"],
            // A claim fixes the repository, or its owner if all of the owner's are meant.
            &["subject_pattern: repo:acme/.*"],
            &[
                "subject_pattern: repo:acme/.*",
                "claim_pattern: {event_name: push, repository_owner_id: '4242'}",
            ],
            &["subject_pattern: repo:acme@4242/.*", "claim_pattern: {event_name: push}"],
            // Both forms of GitHub's subjects.
            &["subject_pattern: 'repo:acme(@\\d+)?/app(@\\d+)?:ref:.*'", "claim_pattern: {event_name: push}"],
            &["subject_pattern: 'repo:acme@[0-9]+/app@[0-9]+:.*'", "claim_pattern: {event_name: push}"],
            &["subject_pattern: 'repo:acme@4242/app@1:.*'", "claim_pattern: {event_name: push}"],
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
            &["claim_pattern: {repository_id: '1', event_name: push, job_workflow_ref: 'acme/a.b/w.yml@x'}"],
            &["claim_pattern: {repository_id: '1', event_name: push, ref: 'w.yml@x'}"],
        ],
        quiet: &[
            &["issuer_pattern: 'https://token\\.actions\\.githubusercontent\\.com'"],
            &["claim_pattern: {repository_id: '1', event_name: push, ref: 'a.*b[.]c.'}"],
            // The dot of a workflow's extension.
            &["claim_pattern: {repository_id: '1', event_name: push, job_workflow_ref: 'acme/a/w.yml@x'}"],
            &["claim_pattern: {repository_id: '1', event_name: push, workflow_ref: 'acme/a/w.yaml@x'}"],
            &["claim_pattern: {repository_id: '1', event_name: push, workflow_ref: 'acme/a/w.yaml'}"],
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
            &["subject_pattern: 'repo:acme/app:.*'", "claim_pattern: {repository_id: '1', ref: refs/.*}"],
            &[
                "subject_pattern: 'repo:acme/app:.*'",
                "claim_pattern: {repository_id: '1', ref_protected: .*}",
            ],
            &["subject: repo:acme@4242/app@1:pull_request", "claim_pattern: {repository_id: '1'}"],
            &[
                "issuer: https://token.actions.acme.ghe.com",
                "subject: repo:acme/app:pull_request",
                "claim_pattern: {repository_id: '1'}",
            ],
        ],
        quiet: &[
            &["subject: repo:acme/app:pull_request"],
            // The claims refuse a pull request run.
            &[
                "subject_pattern: 'repo:acme/app:.*'",
                "claim_pattern: {repository_id: '1', ref: refs/heads/main}",
            ],
            &[
                "subject_pattern: 'repo:acme/app:.*'",
                "claim_pattern: {repository_id: '1', ref_protected: 'true'}",
            ],
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
            &["claim_pattern: {repository_id: '1'}", "issuer: https://github.example.com/_services/token"],
            &[
                "claim_pattern: {repository_id: '1'}",
                "issuer_pattern: 'https://token\\.actions\\.widgets\\.ghe\\.com'",
            ],
            &[
                "claim_pattern: {repository_id: '1'}",
                "subject_pattern: 'repo:acme/app:(ref:refs/tags/v1|ref:refs/heads/main)'",
            ],
            &["claim_pattern: {repository_id: '1'}", "subject_pattern: 'repo:acme/app:.*'"],
        ],
        quiet: &[
            // Strangers cannot start a run on a tag.
            &["claim_pattern: {repository_id: '1'}", "subject: repo:acme/app:ref:refs/tags/v1"],
            &["claim_pattern: {repository_id: '1'}", "subject: repo:acme@4242/app@1:ref:refs/tags/v1"],
            &["claim_pattern: {repository_id: '1'}", "subject_pattern: 'repo:acme/app:ref:refs/tags/v.*'"],
            &[
                "claim_pattern: {repository_id: '1'}",
                "subject_pattern: 'repo:acme/(app|docs):ref:refs/tags/(v1|v2)'",
            ],
            &[
                "claim_pattern: {repository_id: '1', ref: refs/tags/v.*}",
                "subject: repo:acme/app:environment:production",
            ],
            &[
                "claim_pattern: {repository_id: '1', ref_type: tag}",
                "subject: repo:acme/app:environment:production",
            ],
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
                "subject: repo:acme/app:environment:production",
                "claim_pattern: {repository_id: '1', event_name: push, job_workflow_ref: 'acme/x/w\\.yaml@.*'}",
            ],
            &[
                "subject_pattern: 'repo:acme/app:.*'",
                "claim_pattern: {repository_id: '1', event_name: push, job_workflow_ref: 'acme/x/w\\.yaml@(.+)$'}",
            ],
            &[
                "subject: repo:acme/app:pull_request",
                "claim_pattern: {repository_id: '1', event_name: push, workflow_ref: 'acme/x/w\\.yaml@.*'}",
            ],
        ],
        quiet: &[
            // One branch or tag decides which workflow runs.
            &[
                "claim_pattern: {repository_id: '1', event_name: push, job_workflow_ref: 'acme/x/w\\.yaml@.*'}",
            ],
            &[
                "subject: repo:acme/app:environment:production",
                "claim_pattern: {repository_id: '1', event_name: push, job_workflow_ref: 'acme/x/w\\.yaml@refs/heads/main'}",
            ],
            &[
                "subject: repo:acme/app:environment:production",
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
            &["claim_pattern: {event_name: push, repository_id: .*}"],
            &["claim_pattern: {event_name: push}", "issuer: https://token.actions.acme.ghe.com"],
            &[
                "claim_pattern: {event_name: push}",
                "subject_pattern: 'repo:acme(@4242)?/app(@1)?:ref:refs/heads/main'",
            ],
            &["claim_pattern: {event_name: push}", "subject_pattern: 'repo:acme@\\d+/app@\\d+:.*'"],
            &["claim_pattern: {event_name: push}", "subject_pattern: 'repo:acme@1/app@1:x|repo:acme/app:x'"],
            &["claim_pattern: {event_name: push}", "subject_pattern: '(repo:acme@1/app@1|repo:acme/app):x'"],
        ],
        quiet: &[
            // The numbers of the immutable subject.
            &["claim_pattern: {event_name: push}", "subject: repo:acme@4242/app@1:ref:refs/heads/main"],
            &[
                "claim_pattern: {event_name: push}",
                "subject_pattern: 'repo:acme@4242/app@1:ref:refs/heads/.*'",
            ],
            &[
                "claim_pattern: {event_name: push}",
                "subject_pattern: 'repo:acme@4242/app@1:ref:refs/heads/main'",
            ],
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
fn what_was_meant_is_suggested() {
    for (change, code, suggestion) in [
        (
            "subject: repo:acme/.*",
            "exact-looks-like-pattern",
            "did you mean `subject_pattern: repo:acme/.*`?",
        ),
        ("subject: (1122|3344)", "exact-looks-like-pattern", "did you mean `subject_pattern: (1122|3344)`?"),
        (
            "subject: repo:acme/a.b:ref:refs/heads/*",
            "exact-looks-like-pattern",
            "did you mean `subject_pattern: repo:acme/a\\.b:ref:refs/heads/.*`?",
        ),
        ("subject: ' a'", "subject-shape", "did you mean `a`?"),
    ] {
        let report = check(policy(&[change]).as_bytes(), HERE);
        let warning = report.warnings().find(|warning| warning.code == code).unwrap();
        assert_eq!(warning.suggestion.as_deref(), Some(suggestion), "{change}");
    }
    let report = check(policy(&["subject_pattern: 'repo:acme/app:ref:refs/heads/*'"]).as_bytes(), HERE);
    let warning = report.warnings().find(|warning| warning.code == "pattern-glob").unwrap();
    assert_eq!((warning.line, warning.column), (4, 48));
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
