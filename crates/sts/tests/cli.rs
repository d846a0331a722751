//! The `sts` command in use: arguments in, text and exit code out.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use octo_sts_doubles::command::{Ran, run};
use octo_sts_doubles::key::Key;
use serde_json::{Value, json};

const POLICY: &str = "issuer: https://token.actions.githubusercontent.com\n\
                      subject: repo:acme/app:ref:refs/heads/main\n\
                      permissions: {contents: read}\n";

/// An empty folder for this test.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli").join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A repository with these files in its policy folder.
fn repository(folder: &Path, files: &[(&str, &str)]) {
    let policies = folder.join(".github/chainguard");
    std::fs::create_dir_all(&policies).unwrap();
    for (name, text) in files {
        std::fs::create_dir_all(policies.join(name).parent().unwrap()).unwrap();
        std::fs::write(policies.join(name), text).unwrap();
    }
}

struct Sts {
    command: Command,
}

fn sts(folder: &Path, arguments: &[&str]) -> Sts {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sts"));
    command.current_dir(folder).args(arguments);
    for variable in ["NO_COLOR", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(variable);
    }
    Sts { command }
}

impl Sts {
    fn variable(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    fn run(self) -> Ran {
        self.reads("")
    }

    fn reads(self, input: &str) -> Ran {
        run(self.command, input)
    }
}

#[test]
fn a_repository_is_found_and_its_problems_are_told() {
    let here = folder("found");
    let broken = POLICY.replace("contents", "content");
    repository(&here, &[("a.sts.yaml", POLICY), ("b.sts.yaml", &broken), ("README.md", "no policy")]);
    for arguments in [
        &["validate"][..],
        &["validate", "."],
        &["validate", ".github/chainguard"],
        &["validate", ".github/chainguard/a.sts.yaml", ".github/chainguard/b.sts.yaml"],
    ] {
        let ran = sts(&here, arguments).run();
        assert_eq!(ran.code, 1, "{arguments:?}");
        assert!(ran.out.contains(" --> .github/chainguard/b.sts.yaml:3:15\n"), "{}", ran.out);
        assert!(ran.out.contains("did you mean `contents`?"), "{}", ran.out);
        assert!(ran.out.ends_with("failed: 2 files, 1 error\n"), "{}", ran.out);
        assert!(ran.notes.is_empty() && !ran.out.contains('\u{1b}'), "no colour in a pipe");
    }
    let alone = sts(&here, &["validate", ".github/chainguard/a.sts.yaml"]).run();
    assert_eq!((alone.code, alone.out.as_str()), (0, "ok: 1 file, no problems\n"));
    let piped = sts(&here, &["validate", "-"]).reads(&broken);
    assert!(piped.code == 1 && piped.out.contains("--> <stdin>:3:15"), "{piped:?}");
}

#[test]
fn the_folder_or_a_flag_says_whose_rules_hold() {
    let here = folder("home");
    let organization = format!("{POLICY}repositories: [app]\n");
    for name in [".github", "app"] {
        repository(&here.join(name), &[("a.sts.yaml", &organization)]);
    }
    let code = |arguments: &[&str]| sts(&here, &[&["validate"], arguments].concat()).run().code;
    assert_eq!(code(&[".github"]), 0);
    assert_eq!(code(&["app"]), 1);
    assert_eq!(code(&["--org", "app"]), 0);
    assert_eq!(code(&["--policy-repository", "app", "app"]), 0);
    assert_eq!(code(&["--policy-repository", "policies", ".github"]), 1);
    assert_eq!(sts(&here.join(".github"), &["validate"]).run().code, 0, "the folder's name is looked up");
    assert_eq!(sts(&here.join(".github/.github/chainguard"), &["validate", "a.sts.yaml"]).run().code, 0);
    assert_eq!(sts(&here, &["validate", "--org", "-"]).reads(&organization).code, 0);
}

#[test]
fn names_that_nothing_reads_are_pointed_out() {
    let here = folder("names");
    repository(
        &here,
        &[
            ("a.yaml", POLICY),
            ("b.sts.yml", POLICY),
            ("c d.sts.yaml", POLICY),
            ("e/f.sts.yaml", POLICY),
            ("trusted-token-issuers.yaml", "issuers: [https://gitlab.com]\n"),
            ("trusted-issuers.yml", ""),
        ],
    );
    let ran = sts(&here, &["validate", "--format", "json"]).run();
    let document: Value = serde_json::from_str(&ran.out).unwrap();
    let told: Vec<String> = document["files"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|file| {
            let path = file["path"].as_str().unwrap().replace(".github/chainguard/", "");
            let diagnostics = file["diagnostics"].as_array().unwrap().clone();
            diagnostics.into_iter().map(move |problem| {
                format!(
                    "{path}: {} {}: {}",
                    problem["severity"].as_str().unwrap(),
                    problem["code"].as_str().unwrap(),
                    problem["help"].as_str().unwrap()
                )
            })
        })
        .collect();
    let expected = [
        "a.yaml: warning file-misnamed: rename it to `a.sts.yaml`",
        "b.sts.yml: warning file-misnamed: rename it to `b.sts.yaml`",
        "c d.sts.yaml: error identity-name: rename the file: an identity is 1 to 100 letters, digits, `.`, `_` or `-`, does not start with `.` and has no `..`",
        "e/f.sts.yaml: warning file-misnamed: move it one folder up",
        "trusted-issuers.yml: warning file-misnamed: rename it to `trusted-token-issuers.yaml`",
        "trusted-token-issuers.yaml: warning file-misnamed: move it there; if this is that repository, pass `--org`",
    ];
    assert_eq!(told, expected);
    assert_eq!(ran.code, 1, "a name that is no identity is an error");
}

#[test]
fn what_has_one_meaning_is_repaired_and_shown() {
    let here = folder("fix");
    let broken = POLICY.replace("{contents: read}", "\n  pull-requests: read");
    let policies = here.join(".github/chainguard");
    let read = |name: &str| std::fs::read_to_string(policies.join(name)).unwrap();
    repository(
        &here,
        &[
            ("a.sts.yaml", &broken),
            ("b.yaml", &broken),
            ("c.yaml", POLICY),
            ("c.sts.yaml", POLICY),
            ("d.yaml", "not: a policy\n"),
            ("e.sts.yaml", &format!("{POLICY}x: y z\n")),
        ],
    );
    let ran = sts(&here, &["validate", "--fix"]).run();
    for expected in [
        "--- .github/chainguard/a.sts.yaml\n+++ .github/chainguard/a.sts.yaml\n@@ -4 +4 @@\n-  pull-requests: read\n+  pull_requests: read\n",
        "renamed .github/chainguard/b.yaml to .github/chainguard/b.sts.yaml\n",
        "kept .github/chainguard/c.yaml: .github/chainguard/c.sts.yaml exists\n",
    ] {
        assert!(ran.out.contains(expected), "{expected}\n{}", ran.out);
    }
    // Problems that cannot be repaired are still reported.
    assert!(ran.code == 1 && ran.out.contains("error[unknown-key]"), "{}", ran.out);
    assert_eq!(read("a.sts.yaml"), broken.replace('-', "_"));
    assert_eq!(read("b.sts.yaml"), read("a.sts.yaml"));
    assert_eq!(read("d.yaml"), "not: a policy\n");
    assert!(!policies.join("d.sts.yaml").exists() && policies.join("c.yaml").exists());
    let again = sts(&here, &["validate", "--fix", "--format", "json"]).run();
    assert!(serde_json::from_str::<Value>(&again.out).is_ok(), "{}", again.out);
    assert_eq!(std::fs::read_dir(&policies).unwrap().count(), 6, "nothing is left beside the files");

    repository(&here, &[("f.yml", &broken)]);
    let one = sts(&here, &["validate", "--fix", ".github/chainguard/f.yml"]).run();
    assert!(one.code == 0 && one.out.ends_with("ok: 1 file, no problems\n"), "{one:?}");
    let input = sts(&here, &["validate", "--fix", "-"]).reads(&broken);
    assert!(input.code == 2 && input.notes.contains("standard input"), "{input:?}");
}

#[test]
#[cfg(unix)]
fn a_link_that_leads_out_of_the_policy_folder_is_not_followed() {
    use std::os::unix::fs::symlink;
    let here = folder("links");
    let secret = "[remote]\n  url = https://user:hunter2@example.com/acme/app\n";
    std::fs::create_dir_all(here.join(".git")).unwrap();
    std::fs::write(here.join(".git/config"), secret).unwrap();
    repository(&here, &[("a.sts.yaml", POLICY)]);
    let policies = here.join(".github/chainguard");
    symlink("../../.git/config", policies.join("b.sts.yaml")).unwrap();
    symlink("../../.git", policies.join("folder")).unwrap();
    symlink("a.sts.yaml", policies.join("c.sts.yaml")).unwrap();
    symlink("nowhere", policies.join("d.sts.yaml")).unwrap();
    for format in ["human", "json", "sarif", "github"] {
        for path in [&[][..], &[".github/chainguard/b.sts.yaml"]] {
            let arguments = [&["validate", "--format", format][..], path].concat();
            let ran = sts(&here, &arguments).run();
            assert_eq!(ran.code, 1, "{ran:?}");
            assert!(ran.out.contains("file-is-link") && !ran.out.contains("hunter2"), "{ran:?}");
        }
    }
    let human = sts(&here, &["validate"]).run();
    assert!(human.out.ends_with("failed: 4 files, 2 errors\n"), "{}", human.out);
    let explained =
        sts(&here, &["explain", ".github/chainguard/b.sts.yaml", "--claims", "-", "--domain", "d"]).run();
    assert!(explained.code == 2 && explained.notes.contains("is a link"), "{explained:?}");
    let inside = sts(&policies, &["validate", "b.sts.yaml"]).run();
    assert!(inside.code == 1 && inside.out.contains("file-is-link"), "{inside:?}");

    // The folder itself, and writing.
    let outside = folder("links-folder");
    std::fs::create_dir_all(outside.join(".github")).unwrap();
    symlink(&policies, outside.join(".github/chainguard")).unwrap();
    assert!(sts(&outside, &["validate"]).run().out.contains("file-is-link"));
    let init = ["init", "b", "--repo", "acme/app", "--permission", "contents=read", "--force"];
    for repository in [&here, &outside] {
        let ran = sts(repository, &init).run();
        assert!(ran.code == 2 && ran.notes.contains("is a link"), "{ran:?}");
    }
    assert_eq!(std::fs::read_to_string(here.join(".git/config")).unwrap(), secret);
}

#[test]
fn a_token_in_a_wrong_place_is_never_told() {
    let here = folder("wrong-place");
    let token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJqb2IiLCJpc3MiOiJ4In0.c2lnbmF0dXJlc2lnbmF0dXJl";
    let minted = "ghs_0123456789abcdefghijABCDEFGHIJ012345";
    std::fs::write(here.join("a.sts.yaml"), POLICY).unwrap();
    let opaque = r#"{"token": "s3cr3t-opaque-value"}"#;
    for (name, text) in [
        ("jwt", token.to_owned()),
        ("minted", minted.to_owned()),
        ("answer", format!(r#"{{"count": 4, "value": "{token}"}}"#)),
        ("opaque", opaque.to_owned()),
        ("in-yaml", format!("issuer: {token}\nsubject: [{minted}]\npermissions: {{{minted}: read}}\n")),
        ("long", format!("issuer: x\nsubject: [{}{token}{minted}]\n", "a-".repeat(120))),
    ] {
        std::fs::write(here.join(name), text).unwrap();
    }
    let bearer = format!("Bearer {token}");
    let json = format!(r#"{{"value": "{token}"}}"#);
    let given = |arguments: &[&str], places: &[&str]| {
        let ran = sts(&here, arguments).run();
        let said = format!("{}{}", ran.out, ran.notes);
        for part in token.split('.').chain([minted, "s3cr3t", "c2lnbmF0dXJl", "0123456789"]) {
            assert!(!said.contains(part), "{arguments:?}: {said}");
        }
        assert_ne!(ran.code, 0, "{arguments:?}: {said}");
        assert!(
            places.is_empty() || places.iter().any(|place| said.contains(place)),
            "{arguments:?}: {said}"
        );
    };
    let where_to = &["--token"][..];
    for argument in [token, minted, &bearer, &json, opaque, "bearer opaque"] {
        given(&["explain", "a.sts.yaml", "--token", argument], where_to);
        given(&["explain", "a.sts.yaml", "--claims", argument], where_to);
        given(&["explain", argument, "--claims", "x"], where_to);
        given(&["explain", "a.sts.yaml", argument], where_to);
        given(&["validate", argument], where_to);
        given(&["init", argument], where_to);
        given(&["init", "x", "--repo", argument], where_to);
        given(&["man", argument], where_to);
        given(&[argument], where_to);
    }
    given(&["explain", "a.sts.yaml", "--domain", "d", "--token", &format!("env:{token}")], where_to);
    for file in ["jwt", "minted", "answer", "opaque"] {
        given(&["explain", file, "--claims", "x"], where_to);
        given(&["explain", "a.sts.yaml", "--domain", "d", "--claims", file], where_to);
        given(&["validate", file], where_to);
    }
    given(&["explain", "a.sts.yaml", "--domain", "d", "--token", "minted"], &["OIDC token"]);
    for file in ["in-yaml", "long"] {
        for format in ["human", "json", "sarif", "github"] {
            given(&["validate", file, "--format", format], &[]);
        }
    }
}

#[test]
#[cfg(unix)]
fn nothing_from_outside_reaches_a_terminal_or_runner_raw() {
    let here = folder("hostile");
    let hostile = "x\u{1b}[31m\u{9b}2J\u{202e}\n::error::y ##[add-mask]z";
    let name = format!("{hostile}.sts.yaml");
    let policy = format!("{POLICY}claim_pattern:\n  '{}': '['\n", "\u{202e}::error::##[error]");
    repository(&here, &[("a.yaml", POLICY), (&name, &policy), ("::warning::b.sts.yaml", &policy)]);
    let file = format!(".github/chainguard/{name}");
    let claims =
        json!({"iss": hostile, "sub": "s", "aud": "a", "\u{202e}::error::##[error]": hostile}).to_string();
    let check = |arguments: &[&str], input: &str| {
        let ran = sts(&here, arguments).reads(input);
        for text in [&ran.out, &ran.notes] {
            let raw = text
                .chars()
                .find(|c| (c.is_control() && *c != '\n') || ('\u{202a}'..='\u{202e}').contains(c));
            assert_eq!(raw, None, "{arguments:?}: {text:?}");
            let is_github = arguments.contains(&"github");
            for line in text.lines() {
                let is_ours = is_github
                    && line.starts_with("::")
                    && (line.contains(" file=.github/chainguard/") || line.contains(" file=<stdin>,"));
                assert!(is_ours || !line.trim_start().starts_with("::"), "{arguments:?}: {line}");
                assert!(!line.contains("##["), "{arguments:?}: {line}");
            }
        }
    };
    for format in ["human", "json", "sarif", "github"] {
        check(&["validate", "--format", format], "");
        check(&["validate", "--format", format, &file], "");
        check(&["validate", "--format", format, "-"], &policy);
    }
    for format in ["human", "json"] {
        check(&["explain", &file, "--claims", "-", "--format", format, "--domain", hostile], &claims);
        check(
            &[
                "explain",
                ".github/chainguard/a.yaml",
                "--claims",
                "-",
                "--format",
                format,
                "--domain",
                hostile,
            ],
            &claims,
        );
        let claims = claims.replace(&json!(hostile).to_string(), "\"https://a.example.com\"");
        check(
            &[
                "explain",
                ".github/chainguard/a.yaml",
                "--claims",
                "-",
                "--format",
                format,
                "--domain",
                hostile,
            ],
            &claims,
        );
    }
    for arguments in [
        &["validate", hostile][..],
        &["validate", "--format", hostile],
        &["validate", "--policy-repository", hostile, "--format", "json"],
        &["explain", hostile, "--claims", hostile],
        &["explain", ".github/chainguard/a.yaml", "--domain", "d", "--token", hostile],
        &["explain", ".github/chainguard/a.yaml", "--domain", "d", "--token", &format!("env:{hostile}")],
        &["init", hostile, "--repo", "acme/app", "--permission", "contents=read"],
        &["init", "x", "--repo", hostile, "--permission", "contents=read"],
        &["init", "x", "--repo", "acme/app", "--permission", hostile],
        &["init", "x", "--repo", "acme/app", "--permission", &format!("{hostile}=read")],
        &["init", "x", "--repo", "acme/app", "--permission", "contents=read", "--branch", hostile],
        &["init", "x", "--repo", "acme/app", "--permission", "contents=read", "--event", hostile, "-o", "-"],
        &[
            "init",
            "x",
            "--repo",
            "acme/app",
            "--permission",
            "contents=read",
            "-o",
            &format!("{hostile}/\u{202e}"),
        ],
        &["man", hostile],
        &["schema", hostile],
        &[hostile],
        &["--color", "always", "man", hostile],
    ] {
        check(arguments, "");
    }
}

#[test]
fn warnings_are_errors_when_strict() {
    let here = folder("strict");
    repository(&here, &[("a.sts.yaml", &POLICY.replace("contents: read", "issues: write"))]);
    let ran = sts(&here, &["validate"]).run();
    assert_eq!(ran.code, 0);
    assert!(ran.out.ends_with("ok: 1 file, 2 warnings\n"), "{}", ran.out);
    let ran = sts(&here, &["validate", "--strict"]).run();
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("error[event-name-unrestricted]"), "{}", ran.out);
}

#[test]
fn what_the_author_accepts_does_not_count_when_strict() {
    let here = folder("accepted");
    let policy = format!(
        "{}  # sts: accept write-on-policy-repository because a ruleset guards it\n",
        POLICY.replace("app:ref:refs/heads/main", "app:ref:refs/tags/v1").replace("acme/app", "acme@1/app@2")
    )
    .replace("{contents: read}\n", "{contents: write}");
    repository(&here, &[("a.sts.yaml", &policy)]);
    let ran = sts(&here, &["validate", "--strict"]).run();
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert!(ran.out.contains("accepted[write-on-policy-repository]"), "{}", ran.out);
    assert!(ran.out.contains("= because: a ruleset guards it\n"), "{}", ran.out);
    assert!(ran.out.ends_with("ok: 1 file, no problems, 1 warning accepted\n"), "{}", ran.out);
    let without_reason = policy.replace(" because a ruleset guards it", "");
    repository(&here, &[("a.sts.yaml", &without_reason)]);
    let ran = sts(&here, &["validate", "--strict"]).run();
    assert!(ran.code == 1 && ran.out.contains("error[acceptance-malformed]"), "{}", ran.out);
}

#[test]
fn wrong_usage_is_2_and_is_explained() {
    let here = folder("usage");
    std::fs::write(here.join("a.yaml"), POLICY).unwrap();
    for (arguments, expected) in [
        (&["validate"][..], "there is no `.github/chainguard` in `.`"),
        (&["validate", "none.yaml"], "cannot read `none.yaml`"),
        (&["validate", "--format", "xml"], "possible values: human, json, sarif, github"),
        (&["explain", "a.yaml"], "--claims"),
        (&["explain", "a.yaml", "--claims", "-", "--token", "-"], "cannot be used with"),
        (&["explain", "a.yaml", "--claims", "-", "--verify"], "cannot be used with"),
        (&["explain", "a.yaml", "--claims", "-"], "--domain sts.example.com"),
        (&["explain", "-", "--claims", "-"], "cannot both come from standard input"),
        (&["explain", "a.yaml", "--token", "env:NO_SUCH_VARIABLE", "--domain", "d"], "`NO_SUCH_VARIABLE`"),
        (&["init", "a", "--repo", "acme/app"], "--permission"),
        (&["schema", "policy"], "trust-policy"),
        (&["man", "nothing"], "there is no command `nothing`"),
        (&["frobnicate"], "unrecognized subcommand"),
        (&[], "Usage: sts"),
    ] {
        let ran = sts(&here, arguments).run();
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:?}");
        assert!(ran.notes.contains(expected), "{arguments:?}: {}", ran.notes);
    }
    let empty = folder("usage/empty");
    repository(&empty, &[("README.md", "")]);
    assert!(sts(&empty, &["validate"]).run().notes.contains("there is no policy in"));
}

#[test]
fn colour_is_for_terminals_and_for_those_who_ask() {
    let here = folder("colour");
    repository(&here, &[("a.sts.yaml", "")]);
    let coloured = |arguments: &[&str]| sts(&here, arguments).run().out.contains('\u{1b}');
    assert!(!coloured(&["validate"]));
    assert!(coloured(&["validate", "--color", "always"]));
    assert!(!coloured(&["validate", "--color", "never"]));
    let piped = sts(&here, &["validate"]).variable("NO_COLOR", "1").run();
    assert!(!piped.out.contains('\u{1b}'));
}

#[test]
fn a_reader_that_stops_is_no_failure() {
    let here = folder("pipe");
    let files: Vec<(String, &str)> = (0..500).map(|index| (format!("p{index}.sts.yaml"), POLICY)).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    repository(&here, &files);
    let mut child = sts(&here, &["validate", "--format", "json"])
        .command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_format_has_every_problem() {
    let here = folder("formats");
    repository(&here, &[("a.sts.yaml", &POLICY.replace("contents: read", "contents: all, x: read"))]);
    let run = |format: &str| sts(&here, &["validate", "--format", format]).run();
    let json: Value = serde_json::from_str(&run("json").out).unwrap();
    assert_eq!(json["summary"], json!({"files": 1, "errors": 2, "warnings": 0, "accepted": 0}));
    let sarif: Value = serde_json::from_str(&run("sarif").out).unwrap();
    assert_eq!(
        (sarif["version"].as_str(), sarif["runs"][0]["results"].as_array().unwrap().len()),
        (Some("2.1.0"), 2)
    );
    let github = run("github").out;
    assert_eq!(github.matches("::error file=.github/chainguard/a.sts.yaml,line=3,").count(), 2, "{github}");
    assert_eq!(run("human").out.matches("error[").count(), 2);
    for format in ["human", "json", "sarif", "github"] {
        assert_eq!(run(format).code, 1);
    }
}

fn claims(subject: &str) -> String {
    json!({
        "iss": "https://token.actions.githubusercontent.com",
        "sub": subject,
        "aud": "sts.example.com",
        "ref": "refs/heads/main",
    })
    .to_string()
}

#[test]
fn a_decision_is_explained() {
    let here = folder("explain");
    std::fs::write(here.join("a.sts.yaml"), format!("{POLICY}claim_pattern: {{ref: main}}\n")).unwrap();
    std::fs::write(here.join("good.sts.yaml"), POLICY).unwrap();
    std::fs::write(here.join("broken.sts.yaml"), "issuer: on\n").unwrap();
    let explain = |policy: &str, subject: &str| {
        sts(&here, &["explain", policy, "--claims", "-", "--domain", "sts.example.com"])
            .reads(&claims(subject))
    };
    let refused = explain("a.sts.yaml", "repo:acme/app:ref:refs/heads/dev");
    assert_eq!(refused.code, 1);
    insta::assert_snapshot!("explain_refused", refused.out);

    let admitted = explain("good.sts.yaml", "repo:acme/app:ref:refs/heads/main");
    assert_eq!(admitted.code, 0);
    insta::assert_snapshot!("explain_admitted", admitted.out);

    let broken = explain("broken.sts.yaml", "s");
    assert_eq!(broken.code, 1);
    assert!(
        broken.out.contains("yaml-ambiguous-scalar") && broken.out.contains("it admits nobody"),
        "{}",
        broken.out
    );

    let arguments = ["explain", "a.sts.yaml", "--claims", "-", "--domain", "d", "--format", "json"];
    let machine = sts(&here, &arguments).reads(&claims("repo:acme/app:ref:refs/heads/main"));
    let document: Value = serde_json::from_str(&machine.out).unwrap();
    assert_eq!((machine.code, document["decision"].as_str()), (1, Some("refused")));
    assert_eq!(document["rules"].as_array().unwrap().len(), 4);
    assert_eq!(document["change"]["audience"], "sts.example.com");
}

#[test]
fn a_policy_for_an_issuer_without_its_scheme_admits_nobody() {
    let here = folder("scheme");
    let policy = "issuer: accounts.google.com\nsubject: '1234'\naudience: a\npermissions: {contents: read}\n";
    std::fs::write(here.join("a.sts.yaml"), policy).unwrap();
    let claims = json!({"iss": "accounts.google.com", "sub": "1234", "aud": "a"}).to_string();
    let explain = |format: &str| {
        sts(&here, &["explain", "a.sts.yaml", "--claims", "-", "--format", format]).reads(&claims)
    };
    let human = explain("human");
    assert!(human.code == 1 && !human.out.contains("admitted"), "{human:?}");
    assert!(human.out.contains("refused: the issuer `accounts.google.com` is not accepted"), "{}", human.out);
    assert!(!human.out.contains("unless its operator"), "{}", human.out);
    let machine = explain("json");
    let document: Value = serde_json::from_str(&machine.out).unwrap();
    assert_eq!((document["decision"].as_str(), document["change"].is_null()), (Some("refused"), true));
    assert_eq!(document["refusals"].as_array().unwrap().len(), 1);
}

#[test]
fn the_app_that_a_policy_is_for_is_told_and_kept() {
    let here = folder("app");
    for (name, pin, note, machine) in [
        (
            "a.sts.yaml",
            "app: deploys",
            "only for the app `deploys` of the service",
            json!({"exact": "deploys"}),
        ),
        (
            "b.sts.yaml",
            "app_pattern: deploy.*",
            "only for an app of the service whose whole name matches `deploy.*`",
            json!({"pattern": "deploy.*"}),
        ),
    ] {
        std::fs::write(here.join(name), format!("{POLICY}{pin}\n")).unwrap();
        let explain = |subject: &str, format: &str| {
            let arguments =
                ["explain", name, "--claims", "-", "--domain", "sts.example.com", "--format", format];
            sts(&here, &arguments).reads(&claims(subject))
        };
        let admitted = explain("repo:acme/app:ref:refs/heads/main", "human");
        assert!(admitted.code == 0 && admitted.out.contains(note), "{admitted:?}");
        let refused = explain("repo:acme/app:ref:refs/heads/dev", "json");
        let document: Value = serde_json::from_str(&refused.out).unwrap();
        assert_eq!(document["app"], machine);
        assert!(document["change"]["policy"].as_str().unwrap().ends_with(&format!("{pin}\n")), "{document}");
    }
}

#[test]
fn the_change_that_is_offered_admits_the_token() {
    let here = folder("change");
    std::fs::write(here.join("a.sts.yaml"), format!("{POLICY}claim_pattern: {{ref: main, x: z1}}\n"))
        .unwrap();
    let claims = claims("repo:acme/app:environment:it~s");
    let explain = |policy: &str, extra: &[&str]| {
        let arguments =
            [&["explain", policy, "--claims", "-", "--domain", "sts.example.com"][..], extra].concat();
        sts(&here, &arguments).reads(&claims)
    };
    let refused = explain("a.sts.yaml", &["--format", "json"]);
    let document: Value = serde_json::from_str(&refused.out).unwrap();
    assert_eq!(document["change"]["dropped"], json!(["x"]));
    std::fs::write(here.join("b.sts.yaml"), document["change"]["policy"].as_str().unwrap()).unwrap();
    assert_eq!(explain("b.sts.yaml", &[]).code, 0);
}

#[test]
fn claims_are_read_strictly() {
    let here = folder("claims");
    std::fs::write(here.join("a.sts.yaml"), POLICY).unwrap();
    for (input, code, expected) in [
        ("", 1, "not a JSON object"),
        ("[]", 1, "not a JSON object"),
        (r#"{"sub": "a", "sub": "b"}"#, 1, "not a JSON object"),
        (r#"{"sub": "a", "iss": "b"}"#, 1, "no claim `aud`"),
        ("eyJhIjoxfQ.eyJhIjoxfQ.c2ln", 2, "give it with `--token`"),
    ] {
        let ran = sts(&here, &["explain", "a.sts.yaml", "--claims", "-", "--domain", "d"]).reads(input);
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.notes.contains(expected) && !ran.notes.contains("eyJ"), "{}", ran.notes);
    }
}

/// An issuer on loopback, which signs.
struct LoopbackIssuer {
    address: String,
    key: Key,
}

fn issuer() -> LoopbackIssuer {
    let key = Key::generate("k");
    LoopbackIssuer { address: key.issuer().url, key }
}

impl LoopbackIssuer {
    fn token(&self, lifetime: i64) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let now = i64::try_from(now).unwrap();
        self.key.sign(&json!({
            "iss": self.address, "sub": "job", "aud": "sts.example.com",
            "iat": now - 600, "exp": now + lifetime,
        }))
    }
}

/// No part of the token is anywhere in the output. (The header is the same for every token, so it may be.)
fn assert_not_told(ran: &Ran, token: &str) {
    for part in token.split('.').skip(1).filter(|part| part.len() > 3) {
        assert!(!ran.out.contains(part) && !ran.notes.contains(part), "{ran:?}");
    }
}

#[test]
fn a_token_is_decoded_and_on_request_verified_and_never_told() {
    let here = folder("token");
    let issuer = issuer();
    let policy = format!("issuer: {}\nsubject: job\npermissions: {{contents: read}}\n", issuer.address);
    std::fs::write(here.join("a.sts.yaml"), policy).unwrap();
    let explain = |token: &str, extra: &[&str]| {
        let arguments = ["explain", "a.sts.yaml", "--token", "env:TOKEN", "--domain", "sts.example.com"];
        let ran = sts(&here, &[&arguments[..], extra].concat()).variable("TOKEN", token).run();
        assert_not_told(&ran, token);
        ran
    };
    let loopback = ["--verify", "--allow-loopback-http"];
    let token = issuer.token(300);

    // A token that an exchange refuses is never called admitted, even if every rule holds.
    let at_home = explain(&token, &[]);
    assert!(at_home.code == 1 && at_home.out.contains("refused: the issuer"), "{at_home:?}");
    assert!(at_home.out.contains("before any policy is read") && !at_home.out.contains("admitted"));

    let decoded = explain(&token, &["--allow-loopback-http"]);
    assert_eq!(decoded.code, 0);
    assert!(decoded.out.contains("NOT verified") && !decoded.out.contains("expired"), "{}", decoded.out);

    let verified = explain(&token, &loopback);
    assert_eq!(verified.code, 0, "{verified:?}");
    assert!(verified.out.contains("token  verified: signed by its issuer"), "{}", verified.out);

    let (signed, _) = token.rsplit_once('.').unwrap();
    let forged = explain(&format!("{signed}.{}", URL_SAFE_NO_PAD.encode([7; 64])), &loopback);
    assert!(forged.code == 1 && forged.notes.contains("signature does not verify"), "{forged:?}");

    let other = LoopbackIssuer { key: Key::generate("k"), address: issuer.address.clone() };
    let other = explain(&other.token(300), &loopback);
    assert!(other.code == 1 && other.notes.contains("signature does not verify"), "{other:?}");

    let old = issuer.token(-60);
    let expired = explain(&old, &["--allow-loopback-http"]);
    assert!(expired.code == 1 && expired.out.contains("refused: the token has expired"), "{expired:?}");
    assert!(!expired.out.contains("admitted"), "{}", expired.out);
    assert!(explain(&old, &loopback).notes.contains("the token expired at"));

    let refused = explain(&token, &["--verify"]);
    assert!(refused.code == 1 && refused.notes.contains("does not begin with `https://`"), "{refused:?}");

    for text in ["", "abc", "a.b.c", &token.replace('.', "")] {
        let ran = explain(text, &[]);
        assert!(ran.code == 1 && ran.notes.starts_with("error: "), "{ran:?}");
    }
    std::fs::write(here.join("token"), format!("{token}\n")).unwrap();
    let file = sts(
        &here,
        &[
            "explain",
            "a.sts.yaml",
            "--token",
            "token",
            "--domain",
            "sts.example.com",
            "--allow-loopback-http",
        ],
    )
    .run();
    assert_eq!(file.code, 0, "{file:?}");
    let direct = sts(&here, &["explain", "a.sts.yaml", "--token", &token, "--domain", "d"]).run();
    assert!(direct.code == 2 && direct.notes.contains("env:NAME"), "{direct:?}");
    assert_not_told(&direct, &token);
}

#[test]
fn a_policy_is_written_once_and_loads() {
    let here = folder("init");
    let arguments = [
        "init",
        "deploy",
        "--repo",
        "acme/app",
        "--branch",
        "main",
        "--permission",
        "deployments=write",
        "--workflow",
        "deploy.yaml",
        "--repository-id",
        "1",
        "--owner-id",
        "2",
        "--event",
        "push",
    ];
    let first = sts(&here, &arguments).run();
    assert_eq!((first.code, first.notes.as_str()), (0, ""), "{first:?}");
    assert_eq!(first.out, "wrote .github/chainguard/deploy.sts.yaml\n");
    let written = std::fs::read_to_string(here.join(".github/chainguard/deploy.sts.yaml")).unwrap();
    insta::assert_snapshot!("init", written);
    assert_eq!(sts(&here, &["validate", "--strict"]).run().code, 0);

    let again = sts(&here, &arguments).run();
    assert!(again.code == 2 && again.notes.contains("`--force` overwrites it"), "{again:?}");
    let forced = sts(&here, &[&arguments[..], &["--force", "--environment", "production"]].concat()).run();
    assert_eq!(forced.code, 0);
    let overwritten = std::fs::read_to_string(here.join(".github/chainguard/deploy.sts.yaml")).unwrap();
    assert!(overwritten.contains("environment:production") && overwritten.contains("ref: refs/heads/main"));

    let printed =
        sts(&here, &["init", "x", "--repo", "acme/app", "--permission", "contents=read", "-o", "-"]).run();
    assert_eq!((printed.code, sts(&here, &["validate", "-"]).reads(&printed.out).code), (0, 0));
    let wrong = sts(&here, &["init", "x", "--repo", "acme/app", "--permission", "pull-requests=read"]).run();
    assert!(wrong.code == 2 && wrong.notes.contains("did you mean `pull_requests`?"), "{wrong:?}");
    let organization =
        ["init", "x", "--org", "--covers", "app", "--repo", "acme/bot", "--permission", "members=read"];
    assert_eq!(sts(&here, &organization).run().code, 0);
}

#[test]
fn schemas_completions_and_pages_are_printed() {
    let here = folder("printed");
    for name in ["trust-policy", "organization-trust-policy", "trusted-token-issuers"] {
        let printed = sts(&here, &["schema", name]).run();
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../policies-schema/{name}.schema.json"));
        assert_eq!((printed.code, printed.out), (0, std::fs::read_to_string(file).unwrap()));
    }
    assert!(sts(&here, &["schema"]).run().out.contains("/trust-policy.schema.json"));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let printed = sts(&here, &["completions", shell]).run();
        assert!(printed.code == 0 && printed.out.contains("policy-repository"), "{shell}");
    }
    let page = sts(&here, &["man"]).run();
    assert!(
        page.code == 0 && page.out.contains(".TH sts 1") && page.out.contains("validate"),
        "{}",
        page.out
    );
    assert!(sts(&here, &["man", "explain"]).run().out.contains(".TH sts-explain 1"));
    let version = sts(&here, &["--version"]).run();
    assert_eq!(version.out, format!("sts {}\n", env!("CARGO_PKG_VERSION")));
}
