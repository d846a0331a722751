//! What is measured: tokens, key sets and policies of every size, and the steps of a decision over them. Signatures
//! count as valid, because the platform verifies them, at no cost to the core.

mod proxied;

pub use proxied::{BudgetObject, Credential, Proxy};

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt as _;
use octo_sts_doubles::signatures::Trusting;
use octo_sts_worker::jose::JwkSet;
use octo_sts_worker::names::Scope;
use octo_sts_worker::oidc::{
    self, Claims, Issuer, IssuerRules, UnverifiedToken, VerifiedClaims, VerifyRules,
};
use octo_sts_worker::policy::trusted_issuers::{self, TrustedIssuers};
use octo_sts_worker::policy::{self, AppIdentity, CompiledPolicy, Grant, PolicyHome, Report};
use octo_sts_worker::time::Timestamp;
use serde_json::{Value, json};

/// The issuer of every token.
pub const ISSUER: &str = "https://token.actions.githubusercontent.com";
const DOMAIN: &str = "sts.example.com";
const APP: AppIdentity<'_> = AppIdentity { name: None, id: "1" };
const NOW: i64 = 1_795_197_600;

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A token of a GitHub Actions job, with this many additional claims.
pub fn token(key_id: &str, more_claims: usize) -> String {
    token_for(DOMAIN, key_id, more_claims)
}

fn token_for(audience: &str, key_id: &str, more_claims: usize) -> String {
    let mut payload = json!({
        "iss": ISSUER, "aud": audience, "sub": "repo:acme/app:ref:refs/heads/main",
        "iat": NOW - 10, "nbf": NOW - 310, "exp": NOW + 300, "jti": "3f9a1c5e-0000-4000-8000-000000000000",
        "actor": "octocat", "actor_id": "583231", "base_ref": "", "event_name": "push", "head_ref": "",
        "job_workflow_ref": "acme/app/.github/workflows/deploy.yaml@refs/heads/main",
        "job_workflow_sha": "6113728f27ae82c7b1a177c8d03f9e96e0adf246", "ref": "refs/heads/main",
        "ref_protected": "true", "ref_type": "branch", "repository": "acme/app", "repository_id": "4242",
        "repository_owner": "acme", "repository_owner_id": "99", "repository_visibility": "private",
        "run_attempt": "1", "run_id": "11111111111", "run_number": "1234",
        "runner_environment": "github-hosted", "sha": "6113728f27ae82c7b1a177c8d03f9e96e0adf246",
        "workflow": "deploy", "workflow_ref": "acme/app/.github/workflows/deploy.yaml@refs/heads/main",
        "workflow_sha": "6113728f27ae82c7b1a177c8d03f9e96e0adf246",
    });
    for index in 0..more_claims {
        payload[format!("claim_{index:02}")] = json!(format!("value {index:02} of the bench"));
    }
    let header = json!({ "typ": "JWT", "alg": "RS256", "kid": key_id });
    format!("{}.{}.{}", encoded(&header), encoded(&payload), URL_SAFE_NO_PAD.encode([0x5a; 256]))
}

/// The text of a key set with this many RSA keys, from `k0`.
pub fn key_set(keys: usize) -> String {
    let key = |index: usize| {
        let mut modulus = [0xa5; 256];
        modulus[1] = u8::try_from(index).unwrap_or_default();
        let n = URL_SAFE_NO_PAD.encode(modulus);
        json!({ "kty": "RSA", "alg": "RS256", "use": "sig", "kid": format!("k{index}"), "n": n, "e": "AQAB" })
    };
    json!({ "keys": (0..keys).map(key).collect::<Vec<_>>() }).to_string()
}

/// A policy with this many claim patterns, which [`token`] with as many additional claims satisfies.
pub fn policy_text(claim_patterns: usize) -> String {
    let mut text =
        format!("issuer: {ISSUER}\nsubject_pattern: repo:acme/app:ref:refs/heads/(main|release-.+)\n");
    if claim_patterns > 0 {
        text.push_str("claim_pattern:\n");
    }
    for index in 0..claim_patterns {
        let _ = writeln!(text, "  claim_{index:02}: value {index:02} of .+");
    }
    text.push_str("permissions:\n  contents: read\n  issues: write\n");
    text
}

/// A policy of an organization for this many repositories.
pub fn organization_policy_text(repositories: usize) -> String {
    let mut text = policy_text(3);
    text.push_str("repositories:\n");
    for index in 0..repositories {
        let _ = writeln!(text, "  - repository-{index:03}");
    }
    text
}

/// A pattern of this many characters with a choice at every step, for [`value`].
pub fn pattern(characters: usize) -> String {
    let mut pattern = "[a-f]+|".repeat((characters - 3) / 7);
    pattern.push_str(&"a".repeat(characters - pattern.len() - 2));
    pattern.push_str(".*");
    pattern
}

/// The longest value that a claim may have here: what a pattern has to go through to its end.
pub fn value() -> String {
    "abcdef".repeat(43)[..255].to_owned()
}

/// Everything that a decision starts from.
pub struct World {
    pub credential: String,
    pub keys: JwkSet,
    pub policy: CompiledPolicy,
    issuers: IssuerRules,
    scope: Scope,
    now: Timestamp,
}

impl World {
    /// With this many keys, of which the token's is the last, and this many claim patterns.
    pub fn new(keys: usize, claim_patterns: usize) -> Self {
        Self {
            credential: token(&format!("k{}", keys - 1), claim_patterns),
            keys: JwkSet::parse(key_set(keys).as_bytes()).expect("a key set"),
            policy: load(&policy_text(claim_patterns)),
            issuers: IssuerRules { allowed: None, own_domain: DOMAIN.to_owned(), allow_loopback_http: false },
            scope: "acme/app".parse().expect("a scope"),
            now: Timestamp::from_unix_seconds(NOW).expect("an instant"),
        }
    }

    /// Steps 3 to 5.
    pub fn read(&self) -> (UnverifiedToken, Issuer) {
        self.read_other(&self.credential)
    }

    fn read_other(&self, credential: &str) -> (UnverifiedToken, Issuer) {
        let token = UnverifiedToken::parse(credential).expect("a token");
        let issuer = Issuer::parse(token.issuer().expect("an issuer"), &self.issuers).expect("an issuer");
        token.check_not_expired(self.now).expect("a token that holds");
        (token, issuer)
    }

    /// Step 7 without the signature: the choice of a key, and the claims.
    pub fn verify(&self, token: &UnverifiedToken, issuer: &Issuer) -> VerifiedClaims {
        let rules = VerifyRules { max_lifetime: Duration::from_secs(86_400) };
        oidc::verify(token, issuer, &self.keys, &rules, self.now, &Trusting)
            .now_or_never()
            .expect("nobody to wait for")
            .expect("verified claims")
    }

    /// Step 11.
    pub fn decide(&self, claims: &VerifiedClaims) -> Grant {
        policy::authorize(&self.policy, claims, DOMAIN, &self.scope, APP).expect("a grant")
    }
}

/// The most expensive input that is accepted or refused, as an attacker would send it.
pub struct Worst {
    /// Nested groups with alternatives, forty to a pattern.
    pub nested_policy: String,
    /// One line of 62 KB with a warning at every other character.
    pub dotted_policy: String,
    /// A problem at nearly every character.
    pub broken_policy: String,
    /// 8192 states from a few characters.
    pub repeated_pattern: String,
    /// More live states than any budget has steps for, and claims of 10 KB for it.
    pub expensive_policy: CompiledPolicy,
    pub claims: Claims,
    /// 16 patterns with every state alive.
    pub expensive_issuers: String,
    /// A list, and an issuer for it.
    pub issuers: TrustedIssuers,
    pub issuer: String,
}

impl Worst {
    #[expect(clippy::new_without_default, reason = "it is a world, not a value")]
    pub fn new() -> Self {
        let policy = |rest: &str| {
            format!("issuer: {ISSUER}\nsubject_pattern: {rest}\npermissions: {{contents: write}}\n")
        };
        let nested = |inner: &str| format!("{}{inner}{}", "(".repeat(38), "|b)".repeat(38));
        let claims = |pattern: &str| -> String {
            (0..32).map(|n| format!("c{n}: '{pattern}',")).collect::<Vec<_>>().concat()
        };
        let dotted = format!("{{{}}}", claims(&"a.".repeat(480)));
        let expensive = policy("'s'\nclaim_pattern: {c: '(.*a?.*a?.*a?.*){200}z'}");
        let value: String = "a".repeat(10_000);
        let all = json!({"iss": ISSUER, "aud": DOMAIN, "sub": "s", "c": value});
        let Value::Object(all) = all else { unreachable!("an object") };
        let patterns: String =
            (0..16).map(|n| format!("- 'https://{n}(\\w?\\w*){{40}}z'\n")).collect::<Vec<_>>().concat();
        let expensive_issuers = format!("issuer_patterns:\n{patterns}");
        Self {
            nested_policy: policy(&format!("'repo:{}'", nested("a"))),
            dotted_policy: policy(&format!("'repo:acme/app:.*'\nclaim_pattern: {dotted}")),
            broken_policy: "[on,".repeat(19) + &"on,".repeat(4_000),
            repeated_pattern: "(abcdefgh){999}(xy){50}".to_owned(),
            expensive_policy: load(&expensive),
            claims: Claims::from_object(all).expect("claims"),
            issuers: trusted_issuers::load(expensive_issuers.as_bytes()).value.expect("a list"),
            expensive_issuers,
            issuer: format!("https://15{}", "a".repeat(200)),
        }
    }

    /// The steps run out.
    pub fn decide(&self) -> bool {
        policy::evaluate(&self.expensive_policy, &self.claims, DOMAIN).satisfied()
    }
}

/// Reads a policy with warnings, whatever the result.
pub fn check(text: &str) -> Report<CompiledPolicy> {
    policy::check(text.as_bytes(), PolicyHome::Repository)
}

/// Reads and compiles a policy.
pub fn load(text: &str) -> CompiledPolicy {
    policy::load(text.as_bytes(), PolicyHome::OrganizationPolicyRepository).value.expect("a policy")
}
