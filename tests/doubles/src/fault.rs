//! What goes wrong with a request.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderName;
use octo_sts_worker::ports::{BodyError, FetchError, Inbound};

use crate::sent::inbound;

/// What goes wrong with a request.
#[derive(Debug, Clone)]
pub enum Fault {
    // Instead of the answer.
    /// This status.
    Status(u16),
    /// This status, and a header.
    StatusWith(u16, &'static str, String),
    /// The status, after this many seconds.
    LateStatus(u16, u64),
    /// The connection is refused or reset.
    Refused,
    /// No answer at all.
    TimedOut,
    /// The status, and a body that does not end in time.
    Drip,
    /// The status, and a body that is cut off, or cannot be decoded.
    BrokenOff,
    /// The status, and a body that the port stopped reading: it has no end.
    TooLarge,
    /// Markup in place of JSON.
    Garbage,
    /// This status and body.
    Body(u16, String),
    /// Like [`Fault::Refused`], at the last moment.
    RefusedLate,
    // A wrong answer, although the request was carried out.
    /// At the last moment.
    Late,
    /// Spaces around the body make it as long as the call allows.
    AtTheCap,
    /// One byte longer than that.
    AboveTheCap,
    /// Declared as HTML.
    OtherType,
    /// Another body.
    Altered(fn(&str) -> String),
}

/// What happens to an answer.
pub(crate) enum Alteration {
    None,
    Padded { above: usize },
    OtherType,
    Body(fn(&str) -> String),
}

impl Alteration {
    /// The answer as it becomes.
    pub(crate) fn of(&self, mut inbound: Inbound, cap: usize) -> Inbound {
        let text = |body: Bytes| String::from_utf8(body.to_vec()).unwrap();
        inbound.body = inbound.body.map(|body| match self {
            Self::None => body,
            Self::Padded { above } => {
                let blanks = cap.saturating_sub(body.len()) + above;
                Bytes::from(format!("{}{}", text(body), " ".repeat(blanks)))
            }
            Self::OtherType => {
                inbound.headers.insert("content-type", "text/html; charset=utf-16".parse().unwrap());
                body
            }
            Self::Body(alter) => Bytes::from(alter(&text(body))),
        });
        inbound
    }
}

impl Fault {
    /// Of the request's time.
    pub(crate) fn takes(&self, timeout: Duration) -> Duration {
        match self {
            Self::TimedOut | Self::Drip => timeout,
            Self::LateStatus(_, seconds) => Duration::from_secs(*seconds),
            Self::RefusedLate | Self::Late => timeout - Duration::from_millis(1),
            Self::Status(_) | Self::StatusWith(..) | Self::Refused | Self::BrokenOff | Self::TooLarge => {
                Duration::ZERO
            }
            Self::Garbage | Self::Body(..) | Self::Altered(_) => Duration::ZERO,
            Self::AtTheCap | Self::AboveTheCap | Self::OtherType => Duration::ZERO,
        }
    }

    /// What replaces the answer, or else what happens to it.
    pub(crate) fn instead_of_an_answer(self) -> Result<Result<Inbound, FetchError>, Alteration> {
        let answered = |status: u16, body: Result<&str, BodyError>| {
            Ok(Inbound {
                body: body.map(|text| Bytes::copy_from_slice(text.as_bytes())),
                ..inbound(status, "")
            })
        };
        Ok(match self {
            Self::Status(status) | Self::LateStatus(status, _) => {
                answered(status, Ok(r#"{"message":"upstream says no"}"#))
            }
            Self::StatusWith(status, header, value) => {
                answered(status, Ok("{}")).map(|mut inbound: Inbound| {
                    inbound.headers.insert(HeaderName::from_static(header), value.parse().unwrap());
                    inbound
                })
            }
            Self::Refused | Self::RefusedLate => Err(FetchError::Network),
            Self::TimedOut => Err(FetchError::TimedOut),
            Self::Drip => answered(200, Err(BodyError::TimedOut)),
            Self::BrokenOff => answered(200, Err(BodyError::Interrupted)),
            Self::TooLarge => answered(200, Err(BodyError::TooLarge)),
            Self::Garbage => answered(200, Ok("<html>upstream says what you did not think</html>")),
            Self::Body(status, body) => answered(status, Ok(&body)),
            Self::Late => return Err(Alteration::None),
            Self::AtTheCap => return Err(Alteration::Padded { above: 0 }),
            Self::AboveTheCap => return Err(Alteration::Padded { above: 1 }),
            Self::OtherType => return Err(Alteration::OtherType),
            Self::Altered(alter) => return Err(Alteration::Body(alter)),
        })
    }
}
