//! Compares the weight of a policy or a list in the caches' bounds with an allocator. Never less, because an isolate
//! has 128 MB for everything. And not much more, because overcounted facts are evicted needlessly.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use octo_sts_test_allocator::{Counting, kept};
use octo_sts_worker::jose::JwkSet;
use octo_sts_worker::oidc::{OpenToken, UnverifiedToken};
use octo_sts_worker::policy::{CompiledPolicy, PolicyHome, load, trusted_issuers};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn is_about(told: usize, counted: usize, of: &str) {
    assert!(told >= counted, "{of}: {told} bytes are told and {counted} in use");
    assert!(told <= 2 * counted + 1024, "{of}: {told} bytes are told and {counted} in use");
}

fn policy(rest: &str) -> (Box<CompiledPolicy>, usize) {
    let file = format!("issuer: https://a.example.com\npermissions: {{contents: read}}\n{rest}");
    // Boxed, as on the heap of an isolate.
    let load = || Box::new(load(file.as_bytes(), PolicyHome::OrganizationPolicyRepository).value.unwrap());
    // Once for allocations of the first call that stay.
    drop(load());
    kept(load)
}

#[test]
fn a_policy_weighs_what_it_takes() {
    let claims = |pattern: &str, times: usize| -> String {
        (0..times).map(|n| format!("  claim_{n}: '{pattern}'\n")).collect()
    };
    let names: String = (0..500).map(|n| format!("r{n}, ")).collect();
    let long_names: String = (0..500).map(|n| format!("{}{n}, ", "r".repeat(90))).collect();
    for rest in [
        "subject: s\n".to_owned(),
        "subject_pattern: 'repo:acme/app:ref:refs/heads/(main|release-\\d+)'\naudience_pattern: '[a-z]+'\n"
            .to_owned(),
        format!("subject: {}\n", "s".repeat(60_000)),
        format!("subject: s\nclaim_pattern:\n{}", claims("acme/app/\\.github/.*@.*", 1)),
        format!("subject: s\nclaim_pattern:\n{}", claims("acme/app/\\.github/.*@.*", 11)),
        format!("subject: s\nclaim_pattern:\n{}", claims("acme/app/\\.github/.*@.*", 12)),
        format!("subject: s\nclaim_pattern:\n{}", claims("acme/app/\\.github/.*@.*", 32)),
        format!("subject: s\nclaim_pattern:\n{}", claims("", 32).replace("''", "'a'")),
        format!("subject: s\nclaim_pattern:\n{}", claims("(abcdefgh){1000}", 32)),
        format!("subject: s\nclaim_pattern:\n{}", claims(&"[^acegikmoqsuwy]".repeat(60), 32)),
        format!("subject: s\nclaim_pattern:\n{}", claims(&"\\W".repeat(500), 32)),
        format!("subject: s\nrepositories: [{names}]\n"),
        format!("subject: s\nrepositories: [{long_names}]\n"),
    ] {
        let (policy, counted) = policy(&rest);
        is_about(policy.weight_bytes(), counted, rest.get(..rest.len().min(80)).unwrap());
    }
}

#[test]
fn a_policy_with_every_permission_weighs_what_it_takes() {
    for count in [1, 6, 7, 12, 30, 60] {
        let names = octo_sts_worker::policy::known_permissions().iter().take(count);
        let permissions: String =
            names.map(|known| format!("  {}: {}\n", known.name, known.levels[0])).collect();
        let file = format!("issuer: https://a.example.com\nsubject: s\npermissions:\n{permissions}");
        let load =
            || Box::new(load(file.as_bytes(), PolicyHome::OrganizationPolicyRepository).value.unwrap());
        drop(load());
        let (policy, counted) = kept(load);
        is_about(policy.weight_bytes(), counted, &format!("{count} permissions"));
    }
}

#[test]
fn a_refusal_leaves_nothing_with_the_policy() {
    // The Go service's reading of a `|` is compiled only for a hint, and not stored.
    let (policy, _) = policy("subject_pattern: a|b\n");
    let before = policy.weight_bytes();
    let pattern = policy.subject().pattern().unwrap();
    let ((), more) = kept(|| assert!(pattern.matches_only_unanchored("aEVIL")));
    assert_eq!(more, 0);
    assert_eq!(policy.weight_bytes(), before);
}

#[test]
fn a_list_weighs_what_it_takes() {
    let issuers: String =
        (0..64).map(|n| format!("- https://issuer-{n}.example.com/{}\n", "p".repeat(100))).collect();
    let patterns: String = (0..16).map(|n| format!("- 'https://{n}(abcdefgh){{1000}}'\n")).collect();
    for file in [
        "issuers: [https://a.example.com]\n".to_owned(),
        format!("issuers:\n{issuers}"),
        format!("issuer_patterns:\n{patterns}"),
        format!("mode: audit\nissuers:\n{issuers}issuer_patterns:\n{patterns}"),
    ] {
        let load = || Box::new(trusted_issuers::load(file.as_bytes()).value.unwrap());
        drop(load());
        let (list, counted) = kept(load);
        is_about(list.weight_bytes(), counted, file.get(..30).unwrap());
    }
}

#[test]
fn a_key_set_weighs_what_it_takes() {
    let key = |n: usize, kty: &str| match kty {
        "RSA" => {
            format!(r#"{{"kty":"RSA","kid":"{}{n}","e":"AQAB","n":"{}Q"}}"#, "k".repeat(n), "_".repeat(1365))
        }
        _ => format!(r#"{{"kty":"EC","crv":"P-256","kid":"k{n}","x":"{0}A","y":"{0}A"}}"#, "_".repeat(42)),
    };
    for (kty, count) in [("RSA", 1), ("RSA", 5), ("RSA", 33), ("RSA", 65), ("EC", 1), ("EC", 65), ("EC", 100)]
    {
        let keys: Vec<String> = (0..count).map(|n| key(n, kty)).collect();
        // Dropped keys leave no spare capacity.
        let noise = r#",{"kty":"oct","k":"AA"}"#.repeat((100 - count).min(30));
        let document = format!(r#"{{"keys":[{}{noise}]}}"#, keys.join(","));
        let parse = || Box::new(JwkSet::parse(document.as_bytes()).unwrap());
        drop(parse());
        let (set, counted) = kept(parse);
        assert_eq!(set.keys().len(), count);
        is_about(set.weight(), counted, &format!("{count} keys {kty}"));
    }
}

/// Anybody may have made it up, and it is kept for as long as its issuer takes to answer.
#[test]
fn a_token_that_is_not_verified_keeps_its_text_and_little_more() {
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let issuer = format!("https://{}.example.com", "a".repeat(200));
    for (header, nested) in [
        (r#"{"alg":"RS256","kid":"k"}"#.to_owned(), r#"{"a":{"a":{}}},"#.repeat(600)),
        (r#"{"alg":"RS256","kid":"k"}"#.to_owned(), "1,".repeat(1_900)),
        (format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(9_000)), String::new()),
        (format!(r#"{{"alg":"RS256","x5c":[{}""]}}"#, r#""","#.repeat(1_900)), String::new()),
    ] {
        let payload = format!(r#"{{"iss":"{issuer}","exp":4102444800,"x":[{nested}0]}}"#);
        let token = format!("{}.{}.{}", encode(&header), encode(&payload), encode(&"s".repeat(256)));
        assert!(token.len() <= 16 * 1024, "{}", token.len());
        let parse = || Box::new(UnverifiedToken::parse(&token).unwrap());
        drop(parse());
        let (_token, counted) = kept(parse);
        let open = || Box::new(OpenToken::parse(&token).unwrap().close());
        assert_eq!(kept(open).1, counted, "and so does one that was read beside its text, once it is closed");
        assert!(counted <= 2 * token.len() + 1024, "{counted} of {}", token.len());
        assert!(header.len() > 5_000 || counted <= token.len() + 1024, "{counted} of {}", token.len());
    }
}
