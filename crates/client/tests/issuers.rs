//! Issuers that nobody here wrote, on the loopback: `oauth2-mock-server` and `oidc-provider`, by
//! `tests/issuers/loopback.mjs`. They are npm packages: `scripts/setup.sh build` installs them.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use octo_sts::{Refusal, Verifier};
use serde_json::{Value, json};

const AUDIENCE: &str = "api.example.com";

struct Issuers {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    urls: Value,
}

impl Issuers {
    fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/issuers/loopback.mjs");
        let mut command = Command::new("node");
        let command = command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let mut issuers = Self { process, input, output, urls: Value::Null };
        issuers.urls = serde_json::from_str(&issuers.line()).unwrap();
        issuers
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn ask(&mut self, what: &Value) -> String {
        writeln!(self.input, "{what}").unwrap();
        self.line()
    }

    fn verifier(&self, issuer: &str) -> Verifier {
        let url = self.urls[issuer].as_str().unwrap();
        let builder = Verifier::builder().issuer(url).audience(AUDIENCE).allow_loopback_http(true);
        builder.build().unwrap()
    }
}

impl Drop for Issuers {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn outcome(verifier: &Verifier, token: &str) -> &'static str {
    verifier.verify_blocking(token).as_ref().map_or_else(Refusal::code, |_| "accepted")
}

#[test]
fn tokens_of_other_peoples_issuers_are_verified_and_keys_may_rotate() {
    let mut issuers = Issuers::start();
    let (mock, certified) = (issuers.verifier("mock"), issuers.verifier("certified"));

    let good = issuers.ask(&json!({"issuer": "mock", "claims": {"repository_id": "74"}}));
    let verified = mock.verify_blocking(&good).unwrap();
    assert_eq!(verified.claims().subject(), "deployer");
    assert_eq!(octo_sts::github::GitHubClaims::from(&verified).repository_id, Some(74));
    assert_eq!(outcome(&certified, &good), "issuer_not_allowed");
    for (claims, expected) in [
        (json!({"aud": "other.example.com"}), "audience"),
        (json!({"exp": 1_000_000_000}), "expired"),
        (json!({"sub": "a b"}), "subject_shape"),
        (json!({"iss": "http://127.0.0.1:9"}), "issuer_not_allowed"),
    ] {
        let token = issuers.ask(&json!({"issuer": "mock", "claims": claims}));
        assert_eq!(outcome(&mock, &token), expected, "{claims}");
    }

    // PS256 and `at+jwt`, from a token endpoint.
    let token = issuers.ask(&json!({"issuer": "certified"}));
    let verified = certified.verify_blocking(&token).unwrap();
    assert_eq!(verified.claims().audiences(), [AUDIENCE]);

    // A key that came after the set was fetched.
    assert_eq!(issuers.ask(&json!({"rotate": "rotated"})), "done");
    let rotated = issuers.ask(&json!({"issuer": "mock", "kid": "rotated"}));
    assert_eq!(outcome(&mock, &rotated), "accepted");
    assert_eq!(outcome(&mock, &good), "accepted", "the issuer publishes the old one as well");
}
