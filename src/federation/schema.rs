//! The JSON Schema of the member `credential`, for editors. Its bounds are the readers' own. Never part of the Worker.

use serde_json::{Map, Value, json};

use super::oauth::{MAX_HEADERS, MAX_PARAMETERS, MAX_VALUE};
use super::{anthropic, aws, azure, credential, google, oauth, openai};

/// An identifier from any provider.
const IDENTIFIER: &str = "^[!-~]{1,255}$";
const ADDRESS: &str = "^https?://[^?#@\\s]+$";

/// Exactly one kind.
pub(crate) fn credential() -> Value {
    json!({
        "description": "What is put in: an object with exactly one kind. All but `secret` trade an assertion for a short-lived credential.",
        "type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": false,
        "properties": {
            "secret": secret(),
            "assertion": assertion(),
            anthropic::KIND: anthropic(),
            aws::KIND: aws(),
            google::KIND: google(),
            azure::KIND: azure(),
            openai::KIND: openai(),
            oauth::KIND: oauth(),
        },
        "examples": [{ "secret": { "name": "ANTHROPIC_API_KEY", "header": "x-api-key" } }],
    })
}

fn kind(description: &str, required: &[&str], members: Value) -> Value {
    json!({
        "description": description,
        "type": "object", "additionalProperties": false, "required": required, "properties": members,
    })
}

/// A kind that exchanges an assertion, with a choice of whose.
fn trade(description: &str, required: &[&str], mut members: Value) -> Value {
    if let Value::Object(members) = &mut members {
        members.insert("identity".to_owned(), identity());
    }
    kind(description, required, members)
}

fn identity() -> Value {
    json!({
        "description": "Whose assertion is traded: one about this upstream, one about the calling principal, or the caller's own token.",
        "enum": ["service", "caller-subject", "caller-token"], "default": "service",
    })
}

fn identifier(description: &str) -> Value {
    text(description, IDENTIFIER)
}

fn text(description: &str, pattern: &str) -> Value {
    json!({ "description": description, "type": "string", "pattern": pattern })
}

fn with(mut schema: Value, name: &str, value: impl Into<Value>) -> Value {
    if let Value::Object(members) = &mut schema {
        members.insert(name.to_owned(), value.into());
    }
    schema
}

fn audience(default: Option<&str>) -> Value {
    let schema = identifier("Whom the assertion is for, never this service.");
    match default {
        Some(default) => with(schema, "default", default),
        None => schema,
    }
}

fn token_url(default: Option<&str>) -> Value {
    let schema = text("Where the exchange goes: https, a public host, no query, fragment or user.", ADDRESS);
    match default {
        Some(default) => with(schema, "default", default),
        None => schema,
    }
}

fn secret() -> Value {
    kind(
        "A secret of the Worker, put into a header.",
        &["name"],
        json!({
            "name": {
                "description": "The secret's name, none of the service's own settings.",
                "type": "string", "maxLength": 128, "pattern": "^[A-Z][A-Z0-9_]*$",
                "examples": ["ANTHROPIC_API_KEY"],
            },
            "header": {
                "description": "The header that it goes into.",
                "type": "string", "minLength": 1, "maxLength": 64, "default": "authorization",
                "examples": ["x-api-key"],
            },
            "prefix": {
                "description": "What comes before it: `Bearer ` for `authorization`, else nothing.",
                "type": "string", "pattern": "^[ -~]{0,64}$", "examples": ["Bearer "],
            },
        }),
    )
}

fn assertion() -> Value {
    kind(
        "An assertion of this service itself.",
        &["audience"],
        json!({
            "audience": audience(None),
            "subject": {
                "description": "Whom it is about: this upstream, or the calling principal.",
                "enum": ["service", "caller"], "default": "service",
            },
        }),
    )
}

fn anthropic() -> Value {
    trade(
        "Anthropic's workload identity federation.",
        &["federation_rule_id", "organization_id", "service_account_id"],
        json!({
            "federation_rule_id": identifier("The federation rule."),
            "organization_id": identifier("The organization."),
            "service_account_id": identifier("The service account that the token is of."),
            "workspace_id": identifier("The workspace, where the account has several."),
            "audience": audience(Some(anthropic::AUDIENCE)),
            "token_url": token_url(Some(anthropic::TOKEN_URL)),
        }),
    )
}

fn aws() -> Value {
    let (shortest, longest) = (aws::SESSION_SECONDS.start(), aws::SESSION_SECONDS.end());
    let members = json!({
        "role_arn": with(
            text("The role.", "^arn:aws(-[a-z0-9-]+)?:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+$"),
            "examples",
            json!(["arn:aws:iam::123456789012:role/example"]),
        ),
        "region": with(text("The region.", "^[a-z0-9-]{1,63}$"), "examples", json!(["eu-central-1"])),
        "service": with(
            text("The service's signing name: `bedrock` for Bedrock's runtime.", "^[a-z0-9-]{1,63}$"),
            "examples",
            json!(["bedrock"]),
        ),
        "session_seconds": {
            "description": "How long a session of the role lives.",
            "type": "integer", "minimum": shortest, "maximum": longest, "default": aws::DEFAULT_SECONDS,
        },
        "audience": audience(Some(aws::AUDIENCE)),
        "sign": {
            "description": "A signature over each request, or Bedrock's short-term key once per session.",
            "enum": ["sigv4", "bedrock-key"], "default": "sigv4",
        },
    });
    let schema = trade("AWS, by a role.", &["role_arn", "region", "service"], members);
    let by_key = json!({ "properties": { "sign": { "const": "bedrock-key" } }, "required": ["sign"] });
    let for_bedrock = json!({ "properties": { "service": { "const": aws::BEDROCK } } });
    with(with(schema, "if", by_key), "then", for_bedrock)
}

fn google() -> Value {
    trade(
        "Google Cloud's workload identity federation.",
        &["audience"],
        json!({
            "audience": {
                "description": "The provider's full name, without a scheme.",
                "type": "string", "maxLength": 255,
                "pattern": "^//iam\\.googleapis\\.com/projects/[!-~]*/providers/[!-~]*$",
                "examples": ["//iam.googleapis.com/projects/123456789/locations/global/workloadIdentityPools/example/providers/sts"],
            },
            "service_account": {
                "description": "With it the token is this account's, and without it the federated principal's.",
                "type": "string", "maxLength": 254,
                "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*@[A-Za-z0-9][A-Za-z0-9._-]*$",
                "examples": ["deploy@example.iam.gserviceaccount.com"],
            },
            "scopes": {
                "description": "What the token is for.",
                "type": "array", "minItems": 1, "maxItems": google::MAX_SCOPES,
                "items": { "type": "string", "pattern": IDENTIFIER },
                "default": [google::CLOUD_PLATFORM],
            },
        }),
    )
}

fn azure() -> Value {
    trade(
        "Microsoft Entra's federated credentials.",
        &["tenant_id", "client_id", "scope"],
        json!({
            "tenant_id": text("The tenant's id or domain.", "^[A-Za-z0-9][A-Za-z0-9.-]{0,254}$"),
            "client_id": identifier("The application's id."),
            "scope": with(
                identifier("What the token is for."),
                "examples",
                json!(["https://cognitiveservices.azure.com/.default"]),
            ),
            "audience": audience(Some(azure::AUDIENCE)),
        }),
    )
}

fn openai() -> Value {
    trade(
        "OpenAI's workload identity federation; experimental.",
        &["identity_provider_id", "service_account_id", "audience"],
        json!({
            "identity_provider_id": identifier("The identity provider."),
            "service_account_id": identifier("The service account that the token is of."),
            "audience": audience(None),
            "token_url": token_url(Some(openai::TOKEN_URL)),
        }),
    )
}

fn oauth() -> Value {
    let (shortest, longest) = (oauth::ASSERTION_SECONDS.start(), oauth::ASSERTION_SECONDS.end());
    let never: Vec<&str> = oauth::SECRETS.into_iter().chain(["grant_type"]).collect();
    trade(
        "Any token endpoint (RFC 8693 or RFC 7523).",
        &["token_url", "grant", "audience"],
        json!({
            "token_url": token_url(None),
            "grant": {
                "description": "A token exchange (RFC 8693), or a JWT bearer grant (RFC 7523).",
                "enum": ["token-exchange", "jwt-bearer"],
            },
            "encoding": { "description": "How the request is written.", "enum": ["form", "json"], "default": "form" },
            "audience": audience(None),
            "assertion_seconds": {
                "description": "How long the assertion lives.",
                "type": "integer", "minimum": shortest, "maximum": longest,
                "default": credential::ASSERTION_LIFETIME.as_secs(),
            },
            "parameters": texts("More members of the request, none of them the grant's own or a secret.", MAX_PARAMETERS, &never),
            "headers": texts("Headers of the exchange alone.", MAX_HEADERS, &oauth::OWN_HEADERS),
        }),
    )
}

fn texts(description: &str, most: usize, never: &[&str]) -> Value {
    let closed: Map<String, Value> = never.iter().map(|name| ((*name).to_owned(), false.into())).collect();
    json!({
        "description": description,
        "type": "object", "maxProperties": most, "propertyNames": { "pattern": "^[!-~]{1,64}$" },
        "properties": closed,
        "additionalProperties": { "type": "string", "maxLength": MAX_VALUE },
    })
}
