//! Google Cloud's workload identity federation: a token exchange, and with a service account a second leg for its
//! access token. <https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token>

use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderValue, Uri};
use serde_json::{Value, json};

use super::credential::{ASSERTION_LIFETIME, NO_MANNERS, Provider, Reader, Trade};
use super::engine::{
    Encoding, Exchange, Granted, JWT, TOKEN_EXCHANGE, alive_until, body_of, nothing_more, oauth_code,
    percent_encoded, post, send, token,
};
use super::failure::{NotGranted, Reason};
use super::members::Rule;
use crate::json::{FromJson as _, read_members};
use crate::ports::Fetch;
use crate::secret::Secret;
use crate::time::Timestamp;

pub(super) const KIND: &str = "google";

const TOKEN_URL: &str = "https://sts.googleapis.com/v1/token";
pub(super) const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// Without a second leg, the token expires with its assertion.
const LONG_LIFETIME: Duration = Duration::from_secs(3600);

pub(super) const MAX_SCOPES: usize = 16;

const AUDIENCE: Rule = (
    |text| {
        text.len() <= 255
            && text.bytes().all(|byte| byte.is_ascii_graphic())
            && text
                .strip_prefix("//iam.googleapis.com/projects/")
                .is_some_and(|rest| rest.contains("/providers/"))
    },
    "it is not `//iam.googleapis.com/projects/…/providers/…`",
);

const EMAIL: Rule = (is_email, "it is not the e-mail address of a service account");

/// The exchange, and its second leg.
#[derive(Debug)]
pub(super) struct Google {
    exchange: Exchange,
    account: Option<Account>,
}

#[derive(Debug)]
struct Account {
    url: Uri,
    scopes: Vec<String>,
}

pub(super) fn parse(reader: &mut Reader<'_>) -> Option<Trade> {
    let identity = reader.identity();
    let members = reader.members()?;
    let audience = members.text("audience", AUDIENCE);
    let account = members.optional_text("service_account", EMAIL);
    let scopes = scopes(reader);
    let (audience, account, scopes) = (audience?, account?, scopes?);
    let lifetime = if account.is_some() { ASSERTION_LIFETIME } else { LONG_LIFETIME };
    // The first token is only for the second leg, which then asks for the scopes.
    let scope = if account.is_some() { CLOUD_PLATFORM.to_owned() } else { scopes.join(" ") };
    let exchange = Exchange {
        url: Uri::from_static(TOKEN_URL),
        encoding: Encoding::Form,
        headers: Vec::new(),
        members: vec![
            ("grant_type".to_owned(), TOKEN_EXCHANGE.to_owned()),
            ("audience".to_owned(), audience.clone()),
            ("scope".to_owned(), scope),
            ("requested_token_type".to_owned(), ACCESS_TOKEN.to_owned()),
            ("subject_token_type".to_owned(), JWT.to_owned()),
        ],
        assertion: "subject_token",
        code: nothing_more,
    };
    let account = match account {
        Some(email) => Some(Account { url: account_url(&email)?, scopes }),
        None => None,
    };
    Some(Trade {
        kind: KIND,
        identity: identity?,
        audience: format!("https:{audience}"),
        lifetime,
        provider: Provider::Google(Google { exchange, account }),
        manners: &NO_MANNERS,
    })
}

fn scopes(reader: &mut Reader<'_>) -> Option<Vec<String>> {
    let members = reader.members()?;
    let Some(value) = members.value("scopes") else { return Some(vec![CLOUD_PLATFORM.to_owned()]) };
    let scopes: Option<Vec<String>> = value.as_array().and_then(|list| {
        list.iter().map(|scope| scope.as_str().filter(|scope| is_scope(scope)).map(str::to_owned)).collect()
    });
    let scopes = scopes.filter(|scopes| (1..=MAX_SCOPES).contains(&scopes.len()));
    if scopes.is_none() {
        members.problem("scopes", "it is not a list of 1 to 16 scopes");
    }
    scopes
}

fn is_scope(scope: &str) -> bool {
    (1..=255).contains(&scope.len()) && scope.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_email(text: &str) -> bool {
    let is_plain = |text: &str| {
        text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
    };
    text.len() <= 254
        && text
            .split_once('@')
            .is_some_and(|(account, domain)| is_plain(account) && is_plain(domain) && domain.contains('.'))
}

fn account_url(email: &str) -> Option<Uri> {
    let email = percent_encoded(email);
    format!("https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{email}:generateAccessToken")
        .parse()
        .ok()
}

impl Google {
    /// Exchanges an assertion, in one leg or two.
    pub(super) async fn trade(
        &self,
        assertion: &Secret,
        now: Timestamp,
        fetch: &dyn Fetch,
    ) -> Result<Granted<Secret>, NotGranted> {
        let leg = |leg| move |failure: NotGranted| NotGranted { leg: Some(leg), ..failure };
        let federated = self.exchange.trade(assertion, fetch).await.map_err(leg("exchange"))?;
        match &self.account {
            None => Ok(federated),
            Some(account) => {
                account.token(&federated.credential, now, fetch).await.map_err(leg("service_account"))
            }
        }
    }
}

octo_sts_verifier::json_members! {
    struct Minted {
        token: Value => take as "accessToken",
        end: String => take as "expireTime",
    }
}

impl Account {
    async fn token(
        &self,
        federated: &Secret,
        now: Timestamp,
        fetch: &dyn Fetch,
    ) -> Result<Granted<Secret>, NotGranted> {
        let body = json!({ "scope": self.scopes }).to_string();
        let mut request = post(&self.url, "application/json", body)?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", federated.expose()))
            .map_err(|_| NotGranted::of(Reason::NotSent))?;
        bearer.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, bearer);
        let answer = send(request, fetch).await?;
        let body = body_of(&answer, |body| oauth_code(body, nothing_more))?;
        let unreadable = || NotGranted::of(Reason::Unreadable).with(answer.status);
        let minted: Minted = read_members(body, Minted::SHAPE).map_err(|_| unreadable())?;
        let credential = token(minted.token).ok_or_else(unreadable)?;
        let end = Timestamp::from_rfc3339(&minted.end).ok_or_else(unreadable)?;
        alive_until(credential, end, now).map_err(|failure| failure.with(answer.status))
    }
}
