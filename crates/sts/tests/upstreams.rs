//! The proxy's upstreams at the command line: validated with their places, explained rule by rule.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const GOOD: &str = r#"
[vars]
DOMAIN = "sts.example.com"

[vars.UPSTREAMS.example]
url = "https://api.example.com"
credential = { secret = { name = "EXAMPLE_API_KEY" } }
allow = [{ issuer = "https://token.actions.githubusercontent.com", subject = "repo:acme/app:ref:refs/heads/main" }]
"#;

fn folder(name: &str, toml: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("upstreams").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("wrangler.toml"), toml).unwrap();
    folder
}

fn sts(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_sts")).current_dir(folder).args(arguments).output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn claims(folder: &Path, subject: &str, audience: &str) {
    let text = format!(
        r#"{{"iss": "https://token.actions.githubusercontent.com", "sub": "{subject}", "aud": "{audience}"}}"#
    );
    std::fs::write(folder.join("claims.json"), text).unwrap();
}

#[test]
fn problems_of_upstreams_are_told_with_their_places() {
    let good = folder("good", GOOD);
    assert_eq!(sts(&good, &["validate", "wrangler.toml"]).0, 0);
    let broken = folder("broken", &GOOD.replace("https://api.example.com", "http://api.example.com"));
    let (code, out, _) = sts(&broken, &["validate", "wrangler.toml"]);
    assert_eq!(code, 1);
    assert!(out.contains("wrangler.toml:6:8"), "{out}");
    assert!(out.contains("example.url: it does not begin with `https://`"), "{out}");
    let (code, out, _) = sts(&broken, &["validate", "--format", "json", "wrangler.toml"]);
    assert_eq!(code, 1);
    assert!(out.contains("upstreams-malformed"), "{out}");
}

#[test]
fn rules_of_an_upstream_are_explained() {
    let folder = folder("explain", GOOD);
    let explain = ["explain", "wrangler.toml", "--claims", "claims.json", "--upstream"];
    let ask = |name: &str| sts(&folder, &[&explain[..], &[name]].concat());
    let audience = "https://sts.example.com/proxy/example";
    claims(&folder, "repo:acme/app:ref:refs/heads/main", audience);
    let (code, out, _) = ask("example");
    assert_eq!(code, 0, "{out}");
    assert!(out.starts_with("admitted by the upstream `example`"), "{out}");
    claims(&folder, "repo:acme/app:ref:refs/heads/main", "sts.example.com");
    let (code, out, _) = ask("example");
    assert_eq!(code, 1);
    assert!(out.contains(&format!("fails  audience: expected `{audience}`, is `sts.example.com`")), "{out}");
    let (code, _, notes) = ask("other");
    assert_eq!(code, 1);
    assert!(notes.contains("there is no upstream `other`; there are `example`"), "{notes}");
}
