//! Everything outside of the service: GitHub, the issuers, the ingress of events, and hosts that say one thing.

use std::cell::RefCell;
use std::collections::BTreeMap;

use http::header::AUTHORIZATION;
use octo_sts_doubles::network::Peers;
use octo_sts_doubles::sent::inbound;
pub(crate) use octo_sts_doubles::{kv::KvFault, sent::Sent, sent::only};
use octo_sts_worker::ports::{FetchError, Inbound};
use serde_json::Value;

use super::github::GitHub;
use super::issuer::Issuer;

/// Who is outside, and what they were told.
pub(crate) struct Outside {
    pub(crate) github: GitHub,
    pub(crate) issuers: Vec<Issuer>,
    /// Every credential that was sent.
    pub(crate) secrets: RefCell<Vec<String>>,
    /// Events that arrived at the ingress.
    pub(crate) ingress: RefCell<Vec<Value>>,
    /// Hosts with a fixed answer: a status and a body.
    pub(crate) hosts: RefCell<BTreeMap<&'static str, (u16, String)>>,
}

impl Outside {
    pub(crate) fn new(github: GitHub, issuer: Issuer) -> Self {
        Self {
            github,
            issuers: vec![issuer],
            secrets: RefCell::default(),
            ingress: RefCell::default(),
            hosts: RefCell::default(),
        }
    }
}

impl Peers for Outside {
    fn see(&self, sent: &Sent) {
        if let Some(value) = sent.headers.get(AUTHORIZATION) {
            let is_theirs = matches!(
                sent.host.as_str(),
                "api.github.com" | "ghes.example.com" | "iamcredentials.googleapis.com"
            );
            assert!(is_theirs, "a credential left for {sent}");
            let credential = value.to_str().unwrap().strip_prefix("Bearer ").unwrap();
            self.secrets.borrow_mut().push(credential.to_owned());
        }
    }

    fn answer(&self, _: usize, sent: &Sent) -> Result<Inbound, FetchError> {
        let (status, headers, body) = match sent.host.as_str() {
            "api.github.com" => self.github.answer(sent),
            "events.example.com" => {
                self.ingress.borrow_mut().push(sent.body.clone());
                return Ok(inbound(202, ""));
            }
            host => match self.issuers.iter().find(|issuer| issuer.has_host(host)) {
                Some(issuer) => issuer.answer(sent),
                None => {
                    let hosts = self.hosts.borrow();
                    let (status, body) = hosts.get(host).ok_or(FetchError::Network)?;
                    return Ok(inbound(*status, body.clone()));
                }
            },
        };
        Ok(Inbound { headers, ..inbound(status, body) })
    }
}
