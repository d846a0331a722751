//! What goes wrong with a request.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};
use octo_sts_worker::ports::{BodyError, FetchError, Inbound};

/// What goes wrong with a request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    // Instead of the answer.
    Status(u16),
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
    Garbage,
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
    pub(crate) fn of(&self, body: String, headers: &mut HeaderMap, cap: usize) -> String {
        match self {
            Self::None => body,
            Self::Padded { above } => format!("{body}{}", " ".repeat(cap.saturating_sub(body.len()) + above)),
            Self::OtherType => {
                headers.insert("content-type", "text/html; charset=utf-16".parse().unwrap());
                body
            }
            Self::Body(alter) => alter(&body),
        }
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
                status: StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::new(),
                body: body.map(|text| Bytes::copy_from_slice(text.as_bytes())),
            })
        };
        Ok(match self {
            Self::Status(status) | Self::LateStatus(status, _) => {
                answered(status, Ok(r#"{"message":"upstream says no"}"#))
            }
            Self::StatusWith(status, header, value) => answered(status, Ok("{}")).map(|mut inbound| {
                inbound.headers.insert(HeaderName::from_static(header), value.parse().unwrap());
                inbound
            }),
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
