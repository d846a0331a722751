//! The parts of GitHub that the service needs: installations, tokens with scopes, contents, revocation.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde_json::{Value, json};

use super::START;
use super::platform::Sent;
use super::repositories::Repositories;

#[derive(Debug, Clone)]
pub(crate) struct Installation {
    pub(crate) id: u64,
    pub(crate) owner: String,
    pub(crate) repositories: Vec<String>,
    pub(crate) suspended: bool,
    pub(crate) permissions: BTreeMap<String, String>,
}

/// A line of the ledger: what was minted.
#[derive(Debug, Clone)]
pub(crate) struct Minted {
    pub(crate) token: String,
    pub(crate) permissions: Value,
    pub(crate) repositories: Value,
    pub(crate) revoked: bool,
}

#[derive(Default)]
pub(crate) struct GitHub {
    pub(crate) installations: RefCell<Vec<Installation>>,
    files: RefCell<BTreeMap<String, Value>>,
    pub(crate) ledger: RefCell<Vec<Minted>>,
    pub(crate) now: Cell<i64>,
    pub(crate) repositories: Repositories,
    /// Changes the mint's answer before it is sent.
    pub(crate) distort: RefCell<Option<Distortion>>,
}

/// A change to the mint's answer.
pub(crate) type Distortion = Box<dyn Fn(&mut Value)>;

type Answer = (u16, HeaderMap, String);

fn plain(status: u16, body: &Value) -> Answer {
    (status, HeaderMap::new(), body.to_string())
}

fn not_found() -> Answer {
    plain(404, &json!({ "message": "Not Found" }))
}

impl GitHub {
    pub(crate) fn new() -> Self {
        Self { now: Cell::new(START), ..Self::default() }
    }

    pub(crate) fn install(&self, id: u64, owner: &str, repositories: &[&str]) {
        let permissions = ["contents", "issues", "pull_requests", "checks", "members"];
        self.installations.borrow_mut().push(Installation {
            id,
            owner: owner.to_owned(),
            repositories: repositories.iter().map(ToString::to_string).collect(),
            suspended: false,
            permissions: permissions.iter().map(|name| ((*name).to_owned(), "write".to_owned())).collect(),
        });
    }

    /// Changes an owner's installation.
    pub(crate) fn alter(&self, owner: &str, change: impl Fn(&mut Installation)) {
        self.installations.borrow_mut().iter_mut().filter(|i| i.owner == owner).for_each(change);
    }

    pub(crate) fn commit(&self, repository: &str, path: &str, text: &str) {
        let content = json!({
            "type": "file", "encoding": "base64", "size": text.len(), "path": path, "sha": blob_sha(text),
            "content": STANDARD.encode(text),
        });
        self.put(repository, path, content);
    }

    /// Adds something that is not a file.
    pub(crate) fn put(&self, repository: &str, path: &str, content: Value) {
        self.files.borrow_mut().insert(file_key(repository, path), content);
    }

    pub(crate) fn delete(&self, repository: &str, path: &str) {
        self.files.borrow_mut().remove(&file_key(repository, path));
    }

    /// All tokens, delivered or not, except those with which the service reads files.
    pub(crate) fn minted(&self) -> Vec<Minted> {
        let read_only = json!({ "contents": "read" });
        let ledger = self.ledger.borrow();
        ledger.iter().filter(|m| !(m.revoked && m.permissions == read_only)).cloned().collect()
    }

    pub(crate) fn answer(&self, sent: &Sent) -> Answer {
        assert_eq!(sent.headers["accept"], "application/vnd.github+json");
        assert_eq!(sent.headers["x-github-api-version"], "2022-11-28");
        assert!(sent.headers.contains_key("user-agent"));
        let credential =
            sent.headers[AUTHORIZATION].to_str().unwrap().strip_prefix("Bearer ").unwrap().to_owned();
        let (path, query) = sent.path.split_once('?').unwrap_or((&sent.path, ""));
        let query: BTreeMap<String, String> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let path: Vec<&str> = path.split('/').skip(1).collect();
        match (sent.method.as_str(), path.as_slice()) {
            ("GET", ["repos", owner, repository, "installation"]) => self
                .installation(owner, |i| i.repositories.iter().any(|r| r.eq_ignore_ascii_case(repository))),
            ("GET", ["orgs", owner, "installation"]) if !owner.starts_with("user-") => {
                self.installation(owner, |_| true)
            }
            ("GET", ["users", owner, "installation"]) if owner.starts_with("user-") => {
                self.installation(owner, |_| true)
            }
            ("POST", ["app", "installations", id, "access_tokens"]) => {
                self.mint(id.parse().unwrap(), &sent.body)
            }
            (method, ["repos", owner, repository, rest @ ..])
                if !rest.is_empty() && (!query.is_empty() || rest[0] == "check-runs") =>
            {
                let permission = match rest[0] {
                    "contents" | "compare" => ("contents", "read"),
                    "pulls" => ("pull_requests", "read"),
                    _ => ("checks", "write"),
                };
                if !self.allows(&credential, repository, permission) {
                    return plain(403, &json!({ "message": "Resource not accessible by integration" }));
                }
                let full_name = format!("{owner}/{repository}");
                let (status, body) = self.repositories.answer(method, &full_name, rest, &query, &sent.body);
                plain(status, &body)
            }
            ("GET", ["repos", owner, repository]) => {
                if self.allows(&credential, repository, ("contents", "read")) {
                    plain(
                        200,
                        &json!({ "id": 1, "full_name": format!("{owner}/{repository}"), "private": true }),
                    )
                } else {
                    not_found()
                }
            }
            ("GET", ["repos", owner, repository, "contents", path @ ..]) => {
                self.contents(&credential, owner, repository, &path.join("/"))
            }
            ("DELETE", ["installation", "token"]) => self.revoke(&credential),
            _ => not_found(),
        }
    }

    fn installation(&self, owner: &str, covers: impl Fn(&Installation) -> bool) -> Answer {
        let installations = self.installations.borrow();
        match installations.iter().find(|i| i.owner.eq_ignore_ascii_case(owner) && covers(i)) {
            None => not_found(),
            Some(found) => plain(
                200,
                &json!({
                    "id": found.id,
                    "account": { "login": found.owner, "id": 7, "type": "Organization" },
                    "permissions": found.permissions,
                    "suspended_at": found.suspended.then_some("2026-01-01T00:00:00Z"),
                    "repository_selection": "selected",
                }),
            ),
        }
    }

    fn mint(&self, id: u64, body: &Value) -> Answer {
        let installations = self.installations.borrow();
        let Some(installation) = installations.iter().find(|i| i.id == id) else {
            return not_found();
        };
        if installation.suspended {
            return plain(403, &json!({ "message": "This installation has been suspended" }));
        }
        let permissions = body["permissions"].as_object().expect("permissions are never absent");
        assert!(!permissions.is_empty(), "permissions are never empty");
        let granted = |(name, level): (&String, &Value)| {
            installation
                .permissions
                .get(name)
                .is_some_and(|has| has == level || (has == "write" && level == "read"))
        };
        let asked: Option<Vec<&str>> =
            body["repositories"].as_array().map(|names| names.iter().map(|n| n.as_str().unwrap()).collect());
        let has = |name: &&str| installation.repositories.iter().any(|r| r.eq_ignore_ascii_case(name));
        if !permissions.iter().all(granted) || !asked.as_ref().is_none_or(|names| names.iter().all(has)) {
            return plain(
                422,
                &json!({ "message": "The permissions requested are not granted to this installation." }),
            );
        }
        let token = format!("ghs_{:036}", self.ledger.borrow().len() + 1);
        self.ledger.borrow_mut().push(Minted {
            token: token.clone(),
            permissions: body["permissions"].clone(),
            repositories: body["repositories"].clone(),
            revoked: false,
        });
        let mut given = body["permissions"].clone();
        given["metadata"] = json!("read");
        let mut answer = json!({
            "token": token,
            "expires_at": rfc3339(self.now.get() + 3600),
            "permissions": given,
            "repository_selection": if asked.is_some() { "selected" } else { "all" },
        });
        if let Some(names) = asked {
            let owner = &installation.owner;
            let described =
                |name: &&str| json!({ "name": name, "full_name": format!("{owner}/{name}"), "id": 1 });
            answer["repositories"] = names.iter().map(described).collect();
        }
        if let Some(distort) = &*self.distort.borrow() {
            distort(&mut answer);
        }
        plain(201, &answer)
    }

    /// Whether the token is valid and may do that in the repository.
    fn allows(&self, credential: &str, repository: &str, (permission, level): (&str, &str)) -> bool {
        self.ledger.borrow().iter().any(|minted| {
            minted.token == credential
                && !minted.revoked
                && minted.permissions[permission] == level
                && minted.repositories.as_array().is_some_and(|names| names.iter().any(|n| n == repository))
        })
    }

    fn contents(&self, credential: &str, owner: &str, repository: &str, path: &str) -> Answer {
        let readable = self.allows(credential, repository, ("contents", "read"));
        match self.files.borrow().get(&file_key(&format!("{owner}/{repository}"), path)) {
            Some(content) if readable => plain(200, content),
            _ => not_found(),
        }
    }

    fn revoke(&self, credential: &str) -> Answer {
        let mut ledger = self.ledger.borrow_mut();
        match ledger.iter_mut().find(|minted| minted.token == credential && !minted.revoked) {
            Some(minted) => {
                minted.revoked = true;
                (204, HeaderMap::new(), String::new())
            }
            None => plain(401, &json!({ "message": "Bad credentials" })),
        }
    }
}

/// Owners and repositories are case-insensitive, files are case-sensitive.
fn file_key(repository: &str, path: &str) -> String {
    format!("{}/{path}", repository.to_ascii_lowercase())
}

fn rfc3339(seconds: i64) -> String {
    let text = octo_sts_worker::time::Timestamp::from_unix_seconds(seconds).unwrap().to_rfc3339();
    text.replace(".000Z", "Z")
}

/// Not git's own, but as distinct.
pub(crate) fn blob_sha(text: &str) -> String {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{:040x}", hasher.finish())
}
