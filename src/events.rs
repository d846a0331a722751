//! Delivers audit events: one log line each, and a CloudEvent for the ingress if there is one.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{Method, Uri};

use crate::context::Context;
use crate::ports::{Inbound, Level, Outbound};
use crate::redact::redact;

/// An event that does not arrive is not lost: it is in the log.
const DELIVERY_TRIES: usize = 3;
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(5);

/// Writes an event, and sends it to the ingress after the answer. `line` is its JSON, `kind` the end of its type,
/// `subject` what it is about.
pub(crate) fn publish(
    kind: &str,
    time: &str,
    subject: Option<&str>,
    line: &str,
    ingress: Option<&Uri>,
    context: &Context,
) {
    context.ports.log.write(Level::Info, line);
    if let Some(ingress) = ingress {
        let after = context.clone();
        let (ingress, body) = (ingress.clone(), cloud_event(kind, time, subject, line, context));
        context.defer(async move { deliver(ingress, body, &after).await });
    }
}

/// CloudEvents 1.0 in structured content mode, redacted as the log is.
/// <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>
fn cloud_event(kind: &str, time: &str, subject: Option<&str>, data: &str, context: &Context) -> Bytes {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let subject = subject.map(|subject| format!(r#","subject":{}"#, quoted(subject))).unwrap_or_default();
    let envelope = format!(
        concat!(
            r#"{{"specversion":"1.0","type":"dev.octo-sts.{kind}","source":"octo-sts-worker","id":{id},"#,
            r#""time":{time}{subject},"datacontenttype":"application/json","data":{data}}}"#,
        ),
        kind = kind,
        id = quoted(&context.request_id),
        time = quoted(time),
        subject = subject,
        data = data,
    );
    Bytes::from(redact(&envelope).into_owned())
}

async fn deliver(ingress: Uri, body: Bytes, context: &Context) {
    let mut reason = String::new();
    for _ in 0..DELIVERY_TRIES {
        let request = http::Request::builder()
            .method(Method::POST)
            .uri(ingress.clone())
            .header(CONTENT_TYPE, "application/cloudevents+json; charset=utf-8")
            .header(USER_AGENT, concat!("octo-sts-worker/", env!("CARGO_PKG_VERSION")))
            .body(body.clone());
        let Ok(request) = request else {
            return;
        };
        let outbound = Outbound { request, timeout: DELIVERY_TIMEOUT, max_body: 16 * 1024 };
        match context.ports.fetch.send(outbound).await {
            Ok(Inbound { status, .. }) if status.is_success() => return,
            Ok(Inbound { status, .. }) => status.as_str().clone_into(&mut reason),
            Err(error) => reason = format!("{error:?}").to_ascii_lowercase(),
        }
    }
    context.log(Level::Error, "audit event not delivered", &[("reason", &reason)]);
}
