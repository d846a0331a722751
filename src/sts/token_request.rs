//! The request to `POST /sts/token`: a token exchange of RFC 8693, section 2.1, as a form. If there are several faults,
//! the answer names the first in the order of [`PARAMETERS`].

use bytes::Bytes;
use http::Request;
use http::header::CONTENT_TYPE;

use crate::config::{Misconfigured, is_upstream_name};
use crate::issuer::TOKEN_EXCHANGE;
use crate::names::{IdentityName, Scope};
use crate::policy::Narrowing;
use crate::ports::Truncated;
use crate::problem::Problem;
use crate::sts::parameters::{MAX_BODY, Parameters, form_decoded};

/// RFC 8693, section 3.
pub(crate) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
pub(crate) const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

const FORM: &str = "application/x-www-form-urlencoded";

/// The supported parameters, in the order in which their faults are reported. Others are ignored (RFC 6749, 3.2).
const PARAMETERS: [&str; 9] = [
    "grant_type",
    "subject_token",
    "subject_token_type",
    "resource",
    "scope",
    "requested_token_type",
    "audience",
    "actor_token",
    "actor_token_type",
];

/// Where targets are.
pub(crate) struct Places {
    /// The address for browsers: `https://github.com`. A session needs to know nothing of it.
    pub(crate) web: Result<String, Misconfigured>,
    /// `https://{DOMAIN}/proxy/`
    pub(crate) proxy: String,
}

/// The target of a token.
pub(crate) enum Target {
    /// An installation token.
    GitHub(Parameters),
    /// A session of the proxy, for the upstream with this name. Whether it exists is not known yet.
    Upstream(String),
}

/// A request that is well-formed.
pub(crate) struct TokenRequest {
    pub(crate) subject_token: String,
    pub(crate) target: Target,
}

/// The form, each parameter with all its values.
pub(crate) struct Form([Vec<String>; PARAMETERS.len()]);

impl Form {
    /// Reads the body, and nothing but the body.
    ///
    /// # Errors
    /// [`Problem`]: too large, of another type, or not a form.
    pub(crate) fn read(request: &Request<Bytes>) -> Result<Self, Problem> {
        let body = request.body();
        if body.len() > MAX_BODY {
            return Err(Problem::PayloadTooLarge(MAX_BODY));
        }
        let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case(FORM) {
            return Err(Problem::UnsupportedMediaType(FORM));
        }
        if request.extensions().get::<Truncated>().is_some() {
            return Err(invalid("the request cannot be read to its end"));
        }
        let text = std::str::from_utf8(body).ok();
        let form = text.and_then(Self::parse);
        form.ok_or_else(|| invalid("the body is not percent-encoded utf-8"))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut form = Self(Default::default());
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (form_decoded(name)?, form_decoded(value)?);
            let slot = PARAMETERS.iter().position(|known| *known == name);
            if let Some(values) = slot.and_then(|slot| form.0.get_mut(slot)) {
                values.push(value);
            }
        }
        Some(form)
    }

    /// Whether the request is for an upstream of the proxy; the audit event says so whatever follows.
    pub(crate) fn upstream(&self, places: &Places) -> Option<&str> {
        match self.values("resource") {
            [resource] => upstream_of(resource, places),
            _ => None,
        }
    }

    fn values(&self, name: &str) -> &[String] {
        let slot = PARAMETERS.iter().position(|known| *known == name);
        slot.and_then(|slot| self.0.get(slot)).map_or(&[], Vec::as_slice)
    }

    /// The only value of a parameter, if there is one.
    fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        match self.values(name) {
            [] => Ok(None),
            [value] => Ok(Some(value)),
            _ => Err(invalid(&format!("parameter `{name}` is given more than once"))),
        }
    }

    /// Checks every parameter.
    ///
    /// # Errors
    /// The first fault in the order of [`PARAMETERS`].
    pub(crate) fn check(&self, places: &Places) -> Result<TokenRequest, Problem> {
        if self.one("grant_type")? != Some(TOKEN_EXCHANGE) {
            return Err(Problem::UnsupportedGrantType);
        }
        let subject_token = self.one("subject_token")?.filter(|token| !token.is_empty());
        let subject_token = subject_token.ok_or_else(|| invalid("parameter `subject_token` is missing"))?;
        if !matches!(self.one("subject_token_type")?, Some(ID_TOKEN | JWT)) {
            return Err(invalid(&format!(
                "parameter `subject_token_type` is neither `{ID_TOKEN}` nor `{JWT}`"
            )));
        }
        let resource = self.one("resource")?.ok_or_else(|| no_target("parameter `resource` is missing"))?;
        let target = match upstream_of(resource, places) {
            Some(name) => Err(name.to_owned()),
            None => Ok(github_scope(resource, places)?),
        };
        let scope = self.one("scope")?;
        let (target, issued) = match target {
            Ok(of) => (Target::GitHub(permissions_of(of, scope)?), ACCESS_TOKEN),
            Err(_) if scope.is_some() => {
                return Err(Problem::InvalidScope(
                    "parameter `scope` is not for an upstream of the proxy".to_owned(),
                ));
            }
            Err(upstream) => (Target::Upstream(upstream), JWT),
        };
        if self.one("requested_token_type")?.is_some_and(|wanted| wanted != issued) {
            return Err(invalid(&format!("parameter `requested_token_type` is not `{issued}`")));
        }
        for name in ["audience", "actor_token", "actor_token_type"] {
            if self.one(name)?.is_some() {
                return Err(invalid(&format!("parameter `{name}` is not supported")));
            }
        }
        Ok(TokenRequest { subject_token: subject_token.to_owned(), target })
    }
}

fn invalid(text: &str) -> Problem {
    Problem::InvalidRequest(text.to_owned())
}

fn no_target(text: &str) -> Problem {
    Problem::InvalidTarget(text.to_owned())
}

/// The name of an upstream, if the resource has that form.
fn upstream_of<'a>(resource: &'a str, places: &Places) -> Option<&'a str> {
    resource.strip_prefix(places.proxy.as_str()).filter(|name| is_upstream_name(name))
}

/// Compared byte for byte, except for the names of owner and repository.
fn github_scope(resource: &str, places: &Places) -> Result<Scope, Problem> {
    let web = places.web.as_ref()?;
    let path = resource.strip_prefix(web.as_str()).and_then(|rest| rest.strip_prefix('/'));
    let path = path.ok_or_else(|| {
        no_target(&format!("parameter `resource` is neither below `{web}/` nor below `{}`", places.proxy))
    })?;
    path.parse().map_err(|error| no_target(&format!("parameter `resource` is malformed: {error}")))
}

/// The identity, and the permissions that narrow.
fn permissions_of(scope: Scope, items: Option<&str>) -> Result<Parameters, Problem> {
    let refused = |text: String| Problem::InvalidScope(text);
    let items: Vec<&str> = items.unwrap_or_default().split(' ').collect();
    if items.iter().any(|item| item.is_empty()) {
        return Err(refused("parameter `scope` is not a list of items separated by one space".to_owned()));
    }
    let (permissions, identities): (Vec<&str>, Vec<&str>) =
        items.into_iter().partition(|item| item.contains(':'));
    let [identity] = identities.as_slice() else {
        return Err(refused("parameter `scope` does not name exactly one identity".to_owned()));
    };
    let malformed =
        |error: &dyn std::fmt::Display| refused(format!("parameter `scope` is malformed: {error}"));
    let identity: IdentityName = identity.parse().map_err(|error| malformed(&error))?;
    let narrowing = if permissions.is_empty() {
        Narrowing::default()
    } else {
        Narrowing::default().permission_items(permissions).map_err(|error| malformed(&error))?
    };
    Ok(Parameters { scope, identity, narrowing })
}
