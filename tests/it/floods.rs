//! A thousand hostile requests of each kind, and exactly what they cost: requests sent, KV reads, KV writes. Where a
//! cost grows with the flood, the comment says what bounds it.

use http::Method;
use serde_json::{Value, json};

use crate::support::fault::Fault;
use crate::support::proxy::upstreams;
use crate::support::{Answer, World};

const FLOOD: usize = 1000;

/// Newcomers that an isolate writes to KV in a minute.
const WRITTEN: usize = 600;

/// Entries of the smallest memory tier.
const ISSUERS_IN_MEMORY: usize = 256;

/// What something cost.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    sent: usize,
    kv_reads: usize,
    kv_writes: usize,
}

fn spent(world: &World) -> Cost {
    Cost {
        sent: world.network.requests.borrow().len(),
        kv_reads: usize::try_from(world.kv.reads.get()).unwrap(),
        kv_writes: usize::try_from(world.kv.writes.get()).unwrap(),
    }
}

/// A thousand requests, and what they cost together.
fn flood(world: &World, request: impl Fn(usize) -> Answer, check: impl Fn(&Answer)) -> Cost {
    let before = spent(world);
    for n in 0..FLOOD {
        check(&request(n));
    }
    let after = spent(world);
    Cost {
        sent: after.sent - before.sent,
        kv_reads: after.kv_reads - before.kv_reads,
        kv_writes: after.kv_writes - before.kv_writes,
    }
}

/// Signed by our issuer's key, which is not registered as a secret: a thousand of them would be looked for in all logs.
fn token(world: &World, changes: &Value) -> String {
    let mut claims = world.claims();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    world.issuer().sign(&claims)
}

/// The service is as warm as before: an exchange sends the mint and reads nothing.
#[track_caller]
fn is_still_warm(world: &World) {
    let reads = world.kv.reads.get();
    let answer = world.exchange();
    answer.granted();
    assert_eq!((answer.sent.len(), world.kv.reads.get() - reads), (1, 0), "{:?}", answer.sent);
}

/// Each made-up issuer costs one look-up a minute, bounded by how many a stranger makes up. Memory is bounded, and KV
/// is written only for the first few.
#[test]
fn made_up_issuers_cost_a_look_each_and_a_bounded_share_of_kv() {
    for (fault, status, sent_for_each) in [
        // Not reachable: tried once more within the request.
        (Fault::Refused, 503, 2),
        (Fault::Status(404), 401, 1),
        (Fault::TimedOut, 503, 1),
    ] {
        let world = World::new();
        world.network.fail("made-up.example.com", fault);
        let tokens: Vec<_> = (0..FLOOD)
            .map(|n| token(&world, &json!({ "iss": format!("https://{n}.made-up.example.com") })))
            .collect();
        let ask = |n: usize| world.exchange_with("acme/app", "deploy", &tokens[n]);
        let cost = flood(&world, ask, |answer| assert_eq!(answer.status.as_u16(), status));
        assert_eq!(cost, Cost { sent: sent_for_each * FLOOD, kv_reads: FLOOD, kv_writes: WRITTEN });

        // Facts still in memory cost nothing, and neither do those written to KV.
        let before = spent(&world);
        for n in (FLOOD - ISSUERS_IN_MEMORY + 1..FLOOD).chain(0..WRITTEN) {
            assert_eq!(ask(n).status.as_u16(), status);
        }
        let after = spent(&world);
        assert_eq!(after.sent - before.sent, 0);
        assert_eq!(after.kv_reads - before.kv_reads, WRITTEN);
        assert_eq!(after.kv_writes, before.kv_writes);
    }
}

/// A stranger with a domain can have any number of issuers that answer, and sign for each of them.
#[test]
fn issuers_that_answer_get_the_same_share_of_kv() {
    let world = World::new();
    let (keys, tokens): (Vec<_>, Vec<_>) = (0..FLOOD)
        .map(|n| {
            let issuer = format!("https://{n}.mallory.example.com");
            let document = json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/jwks") }).to_string();
            (
                (format!("{n}.mallory.example.com/.well-known"), document),
                token(&world, &json!({ "iss": issuer })),
            )
        })
        .unzip();
    for (document, body) in keys {
        world.network.fail(&format!("GET {document}"), Fault::Body(200, body));
    }
    world.network.fail("mallory.example.com/jwks", Fault::Body(200, r#"{"keys":[]}"#.to_owned()));
    let cost = flood(
        &world,
        |n| world.exchange_with("acme/app", "deploy", &tokens[n]),
        |answer| assert_eq!(answer.status.as_u16(), 401, "{}", answer.text),
    );
    assert_eq!(cost, Cost { sent: 2 * FLOOD, kv_reads: FLOOD, kv_writes: WRITTEN });
}

/// The share is per isolate and minute. Later newcomers are stored as usual.
#[test]
fn newcomers_are_written_again_when_the_minute_is_over() {
    let world = World::new();
    let ask = |n: usize| {
        let issuer = format!("https://{n}.made-up.example.com");
        world
            .exchange_with("acme/app", "deploy", &token(&world, &json!({ "iss": issuer })))
            .is(503, "unavailable");
    };
    (0..WRITTEN + 5).for_each(ask);
    assert_eq!(spent(&world).kv_writes, WRITTEN);
    world.advance(59);
    ask(WRITTEN + 5);
    assert_eq!(spent(&world).kv_writes, WRITTEN);
    world.advance(1);
    ask(WRITTEN + 6);
    assert_eq!(spent(&world).kv_writes, WRITTEN + 1);
}

/// A known issuer is written whatever strangers do, so that every isolate drops its keys when it rotates them.
#[test]
fn a_known_issuer_is_written_during_a_flood() {
    let world = World::new();
    world.exchange().granted();
    for n in 0..WRITTEN {
        let issuer = format!("https://{n}.made-up.example.com");
        world.exchange_with("acme/app", "deploy", &token(&world, &json!({ "iss": issuer })));
    }
    world.issuer().rotate("key-2");
    let before = spent(&world);
    world.exchange().granted();
    assert_eq!(spent(&world).kv_writes - before.kv_writes, 1);
    assert!(world.kv.values().iter().any(|value| value.contains("key-2")));
}

/// Nobody can keep an older fact alive by using up the share.
#[test]
fn an_absence_that_replaces_what_was_known_is_written_during_a_flood() {
    let mut world = World::new();
    world.exchange().granted();
    let token = world.token();
    for n in 0..WRITTEN {
        world.exchange_with(&format!("nobody-{n}/app"), "deploy", &token).is(404, "installation_not_found");
    }
    world.github().installations.borrow_mut().clear();
    world.exchange().is(404, "installation_not_found");
    world.new_isolate();
    let answer = world.exchange();
    answer.is(404, "installation_not_found");
    assert_eq!(answer.sent.len(), 0, "the other isolate's absence is in KV: {:?}", answer.sent);
}

/// The first one causes one more request to the issuer; the others meet the cool-down.
#[test]
fn unknown_key_ids_cost_one_refetch() {
    let world = World::new();
    world.exchange().granted();
    let tokens: Vec<_> =
        (0..FLOOD).map(|n| world.issuer().sign_as(&format!("kid-{n}"), &world.claims())).collect();
    let cost = flood(
        &world,
        |n| world.exchange_with("acme/app", "deploy", &tokens[n]),
        |answer| assert_eq!(answer.status.as_u16(), 401),
    );
    assert_eq!(cost, Cost { sent: 2, kv_reads: 1, kv_writes: 1 });
    is_still_warm(&world);
}

#[test]
fn unknown_key_ids_at_one_moment_cost_one_refetch() {
    let world = World::new();
    world.exchange().granted();
    let tokens: Vec<_> =
        (0..FLOOD).map(|n| world.issuer().sign_as(&format!("kid-{n}"), &world.claims())).collect();
    let before = spent(&world);
    let answers = world.exchange_at_once(&tokens);
    assert!(answers.iter().all(|answer| matches!(answer.status.as_u16(), 401 | 503)));
    let after = spent(&world);
    assert_eq!((after.sent - before.sent, after.kv_writes - before.kv_writes), (2, 1));
    // Each may check whether another isolate knows more, until the first of them starts the cool-down.
    assert!(after.kv_reads - before.kv_reads <= FLOOD, "{after:?}");
}

/// Before a token is verified, nothing is read or sent, whatever it or the request says.
#[test]
fn garbage_and_expired_tokens_and_wrong_scopes_cost_nothing() {
    let world = World::new();
    let nothing = Cost { sent: 0, kv_reads: 0, kv_writes: 0 };
    let expired = token(&world, &json!({ "exp": world.now() - 1 }));
    let good = world.token();
    let hostile: [&dyn Fn(usize) -> (String, String); 6] = [
        &|n| ("acme/app".to_owned(), format!("{n}.b.c")),
        &|n| ("acme/app".to_owned(), format!("{}{n}", "x".repeat(16_000))),
        &|n| (format!("acme/app-{n}"), expired.clone()),
        &|n| (format!("acme/app/{n}"), good.clone()),
        &|n| (format!("acme/..{n}%2f"), good.clone()),
        &|n| (format!("-{n}/app"), good.clone()),
    ];
    for make in hostile {
        let cost = flood(
            &world,
            |n| {
                let (scope, token) = make(n);
                world.exchange_with(&scope, "deploy", &token)
            },
            |answer| assert!(matches!(answer.status.as_u16(), 400 | 401), "{}", answer.text),
        );
        assert_eq!(cost, nothing);
    }
    let revocations = flood(
        &world,
        |n| world.call(Method::POST, "/sts/revoke", &[("authorization", &format!("Bearer ghp_{n}"))], ""),
        |answer| assert_eq!(answer.status.as_u16(), 400),
    );
    assert_eq!(revocations, nothing);
    let deliveries = flood(
        &world,
        |n| world.deliver_with("push", &format!("{{\"n\":{n}}}"), &[("x-hub-signature-256", "sha256=00")]),
        |answer| assert_eq!(answer.status.as_u16(), 401),
    );
    assert_eq!(deliveries, nothing);
}

/// The holder of a verified token costs one look-up for each name that it makes up (two for an owner without a
/// repository): what bounds that is the limit of the identity. The same name is asked for once a minute.
#[test]
fn unknown_owners_cost_a_look_up_each_and_a_bounded_share_of_kv() {
    for (suffix, sent_for_each) in [("/app", 1), ("", 2)] {
        let world = World::new();
        world.exchange().granted();
        let token = world.token();
        let ask = |n: usize| world.exchange_with(&format!("nobody-{n}{suffix}"), "deploy", &token);
        let check = |answer: &Answer| _ = answer.is(404, "installation_not_found");
        let cost = flood(&world, ask, check);
        assert_eq!(
            cost,
            Cost { sent: sent_for_each * FLOOD, kv_reads: 3 * FLOOD, kv_writes: WRITTEN - 1 },
            "our issuer was new too"
        );
        // Memory has room for all of them, and refuses by itself.
        assert_eq!(flood(&world, ask, check), Cost { sent: 0, kv_reads: 0, kv_writes: 0 });
        is_still_warm(&world);
    }
}

#[test]
fn unknown_owners_are_bounded_by_the_limit_of_the_identity() {
    let world = World::new().limited("RATE_LIMIT_IDENTITY", 100);
    let token = world.token();
    let ask = |n: usize| world.exchange_with(&format!("nobody-{n}/app"), "deploy", &token);
    let cost = flood(&world, ask, |answer| assert!(matches!(answer.status.as_u16(), 404 | 429)));
    assert_eq!(cost, Cost { sent: 2 + 100, kv_reads: 1 + 3 * 100, kv_writes: 1 + 100 });
}

/// Each costs a token, a look, and the token's end, of the budget that GitHub gives the owner's installation; KV is
/// written for each, because an absence has to end what other isolates may still believe. What bounds that is the limit
/// of the owner, which counts tokens, and GitHub's own.
#[test]
fn unknown_identities_cost_a_look_each_once_a_minute() {
    let world = World::new();
    world.exchange().granted();
    let token = world.token();
    let ask = |n: usize| world.exchange_with("acme/app", &format!("nothing-{n}"), &token);
    let check = |answer: &Answer| _ = answer.is(404, "policy_not_found");
    assert_eq!(flood(&world, ask, check), Cost { sent: 4 * FLOOD, kv_reads: FLOOD, kv_writes: FLOOD });
    assert_eq!(flood(&world, ask, check), Cost { sent: 0, kv_reads: 0, kv_writes: 0 });
}

#[test]
fn unknown_identities_are_bounded_by_the_limit_of_the_owner() {
    let world = World::new().limited("RATE_LIMIT_OWNER", 100);
    world.exchange().granted();
    let subjects: Vec<_> =
        (0..FLOOD).map(|n| token(&world, &json!({ "sub": format!("subject-{n}") }))).collect();
    let ask = |n: usize| world.exchange_with("acme/app", &format!("nothing-{n}"), &subjects[n]);
    let cost = flood(&world, ask, |answer| assert!(matches!(answer.status.as_u16(), 404 | 429)));
    assert_eq!(
        cost,
        Cost { sent: 4 * 98, kv_reads: FLOOD, kv_writes: 98 },
        "the first exchange read two files"
    );
    is_still_warm(&world);
}

/// A refusal by the policy costs nothing: not a request, not a read.
#[test]
fn refused_subjects_cost_nothing() {
    let world = World::new();
    world.exchange().granted();
    let subjects: Vec<_> =
        (0..FLOOD).map(|n| token(&world, &json!({ "sub": format!("subject-{n}") }))).collect();
    let cost = flood(
        &world,
        |n| world.exchange_with("acme/app", "deploy", &subjects[n]),
        |answer| _ = answer.is(403, "permission_denied"),
    );
    assert_eq!(cost, Cost { sent: 0, kv_reads: 0, kv_writes: 0 });
}

/// Sending `ghs_` and anything costs one request to GitHub, because revocation must not be refused. Nothing is stored.
#[test]
fn revocations_of_what_is_no_token_cost_one_request_each() {
    let world = World::new();
    let cost = flood(
        &world,
        |n| world.call(Method::POST, "/sts/revoke", &[("authorization", &format!("Bearer ghs_{n}"))], ""),
        |answer| assert_eq!(answer.status.as_u16(), 204),
    );
    assert_eq!(cost, Cost { sent: FLOOD, kv_reads: 0, kv_writes: 0 });
}

/// Facts in use stay in memory while strangers cause others to be added.
#[test]
fn floods_do_not_push_out_what_is_in_use() {
    let world = World::new();
    world.exchange().granted();
    for n in 0..FLOOD {
        let issuer = format!("https://{n}.made-up.example.com");
        world.exchange_with("acme/app", "deploy", &token(&world, &json!({ "iss": issuer })));
        if n % 200 == 0 {
            is_still_warm(&world);
        }
    }
}

/// Paths can be made up on any host: it gets sixty requests a minute, and known good issuers there still work.
#[test]
fn one_host_is_asked_for_sixty_strangers_a_minute() {
    let world = World::new();
    // Known good, but stale: its keys have to be fetched during the flood.
    world.exchange().granted();
    world.advance(30 * 60 * 24);
    let host = "token.actions.githubusercontent.com";
    let made_up = |n: usize| token(&world, &json!({ "iss": format!("https://{host}/made-up/{n}") }));
    let before = world.network.count(host);
    for n in 0..60 {
        world.exchange_with("acme/app", "deploy", &made_up(n)).is(401, "invalid_token");
    }
    world.advance(7);
    for n in 60..200 {
        let answer = world.exchange_with("acme/app", "deploy", &made_up(n));
        answer.is(503, "unavailable");
        assert_eq!(answer.header("retry-after"), Some("53"), "the rest of the minute");
    }
    assert_eq!(world.network.count(host) - before, 60);
    let answer = world.exchange();
    answer.granted();
    assert!(answer.sent.iter().any(|sent| sent.ends_with("/jwks")), "{:?}", answer.sent);
    // Nothing is remembered of those that were not asked.
    world.advance(53);
    world.exchange_with("acme/app", "deploy", &made_up(199)).is(401, "invalid_token");

    // A document that points to another host uses that host's share.
    let world = World::new();
    for n in 0..60 {
        let issuer = format!("https://{n}.mallory.example.com");
        let document =
            json!({ "issuer": issuer, "jwks_uri": format!("https://victim.example.com/{n}") }).to_string();
        world.network.fail(&format!("GET {n}.mallory.example.com/"), Fault::Body(200, document));
        world.exchange_with("acme/app", "deploy", &token(&world, &json!({ "iss": issuer })));
    }
    // Not reachable: each was tried twice.
    assert_eq!(world.network.count("victim.example.com"), 60);
}

/// The operator's own issuers are known good from the start.
#[test]
fn an_issuer_that_the_operator_lists_is_not_counted() {
    let issuers: Vec<String> = (0..70).map(|n| format!("https://idp.example.com/{n}")).collect();
    let world = World::with_settings(&[("ALLOWED_ISSUERS", &issuers.join(","))]);
    world.network.fail("idp.example.com", Fault::Status(404));
    for issuer in &issuers {
        let answer = world.exchange_with("acme/app", "deploy", &token(&world, &json!({ "iss": issuer })));
        answer.is(401, "invalid_token");
    }
    assert_eq!(world.network.count("idp.example.com"), 70);

    // A rule of an upstream names issuers too, where it names them exactly.
    let rules = |from: usize| -> Vec<Value> {
        let exact = |issuer: &String| json!({ "issuer": issuer, "subject": "s" });
        issuers.iter().skip(from).take(32).map(exact).collect()
    };
    let upstream = |rules: Vec<Value>| {
        let credential = json!({ "secret": { "name": "EXAMPLE_API_KEY" } });
        json!({ "url": "https://api.example.com", "credential": credential, "allow": rules })
    };
    let pattern = json!({ "issuer_pattern": "https://pattern\\.example\\.com/[0-9]+", "subject": "s" });
    let upstreams = json!({
        "a": upstream(rules(0)), "b": upstream(rules(32)), "c": upstream(rules(64)), "d": upstream(vec![pattern]),
    });
    let world = World::with_settings(&[("UPSTREAMS", &upstreams.to_string())]);
    world.network.fail("example.com", Fault::Status(404));
    for issuer in &issuers {
        let answer = world.exchange_with("acme/app", "deploy", &token(&world, &json!({ "iss": issuer })));
        answer.is(401, "invalid_token");
    }
    assert_eq!(world.network.count("idp.example.com"), 70);
    for n in 0..70 {
        let issuer = format!("https://pattern.example.com/{n}");
        world.exchange_with("acme/app", "deploy", &token(&world, &json!({ "iss": issuer })));
    }
    assert_eq!(world.network.count("pattern.example.com"), 60);
}

/// So are those that a rule of the proxy names exactly. A pattern names none.
#[test]
fn an_issuer_that_a_rule_of_the_proxy_names_is_not_counted() {
    let of = |changes: &Value| {
        World::with_settings(&[("UPSTREAMS", &upstreams(changes)), ("EXAMPLE_API_KEY", "x")])
    };
    let named = json!({ "allow": [
        { "issuer_pattern": "https://idp\\.example\\.com/.*", "subject": "s" },
        { "issuer": "https://idp.example.com/known", "subject": "s" },
    ] });
    let world = of(&named);
    world.network.fail("idp.example.com", Fault::Status(404));
    for n in 0..60 {
        let issuer = format!("https://idp.example.com/made-up/{n}");
        let answer = world.exchange_with("acme/app", "deploy", &token(&world, &json!({ "iss": issuer })));
        answer.is(401, "invalid_token");
    }
    let last = |path: &str| {
        let issuer = format!("https://idp.example.com/{path}");
        world.exchange_with("acme/app", "deploy", &token(&world, &json!({ "iss": issuer })))
    };
    last("made-up/60").is(503, "unavailable");
    last("known").is(401, "invalid_token");
    assert_eq!(world.network.count("idp.example.com"), 61);
}

/// Each waiting request holds a token; for unknown issuers there are at most sixty-four.
#[test]
fn sixty_four_requests_wait_for_strangers() {
    let world = World::new();
    // One that is known good, and stale by now, is not made to wait behind them.
    world.exchange().granted();
    world.advance(30 * 60 * 24);
    let mut tokens: Vec<String> = (0..70)
        .map(|n| token(&world, &json!({ "iss": format!("https://{n}.made-up.example.com") })))
        .collect();
    tokens.push(world.token());
    let answers = world.exchange_at_once(&tokens);
    let told = |wanted: &str| answers.iter().filter(|answer| answer.message_or_empty() == wanted).count();
    assert_eq!(told("too many requests are waiting for issuers that are not known yet"), 6);
    answers.last().unwrap().granted();
    let refused = answers.iter().filter(|answer| answer.header("retry-after") == Some("5"));
    assert_eq!(refused.count(), 6);
    // They have finished, so others may follow.
    let later = token(&world, &json!({ "iss": "https://later.made-up.example.com" }));
    world.exchange_with("acme/app", "deploy", &later);
    assert_eq!(world.network.count("later.made-up.example.com"), 2, "asked, and once more");
}
