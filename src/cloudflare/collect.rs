//! Bodies that are signed and therefore must be complete before they are sent. They stay outside wasm, whose memory
//! never shrinks: the runtime holds and hashes them.

use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use js_sys::{Array, Uint8Array};
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::Request;
use worker::Delay;

use super::body::ByteBody;
use super::bridge;
use crate::proxy::NoHead;

/// A body must be complete within this time.
const LIMIT: Duration = Duration::from_secs(60);

/// The bytes of such bodies that an isolate holds at once; its 128 MB are for everything.
const ROOM: usize = 50_000_000;

/// A body without a declared length is read in steps of this.
const STEP: usize = 1024 * 1024;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// A complete body. While it lives, it occupies its share.
pub(super) struct Collected {
    /// `None`: it is empty.
    pub(super) bytes: Option<Uint8Array>,
    pub(super) sha256: String,
    _room: Room,
}

/// Reads the whole body of a request, up to this many bytes.
pub(super) async fn collect(request: &Request, most: usize) -> Result<Collected, NoHead> {
    let mut room = Room(0);
    let read = match select(pin!(read(request, most, &mut room)), pin!(Delay::from(LIMIT))).await {
        Either::Left((read, _)) => read,
        Either::Right(_) => Err(NoHead::BodyIncomplete),
    };
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(_) if request.signal().aborted() => return Err(NoHead::HungUp),
        Err(why) => return Err(why),
    };
    let sha256 = sha256(&bytes).await.ok_or(NoHead::Failed)?;
    Ok(Collected { bytes: (bytes.length() > 0).then_some(bytes), sha256, _room: room })
}

async fn read(request: &Request, most: usize, room: &mut Room) -> Result<Uint8Array, NoHead> {
    let Some(stream) = request.body() else { return Ok(Uint8Array::new_with_length(0)) };
    let body = ByteBody::of(&stream).ok_or(NoHead::BodyIncomplete)?;
    let read = match declared(request) {
        Some(length) if length > most => Err(NoHead::BodyTooLarge(most)),
        // The runtime refuses to fill an empty buffer.
        Some(0) => Ok(Uint8Array::new_with_length(0)),
        // The runtime ends the body there, so one buffer is enough.
        Some(length) => {
            room.grow(length)?;
            let bytes = body.fill(length).await.map_err(|_| NoHead::BodyIncomplete)?;
            if is_of(&bytes, length) { Ok(bytes) } else { Err(NoHead::BodyIncomplete) }
        }
        None => read_steps(&body, most, room).await,
    };
    if read.is_err() {
        body.cancel();
    }
    read
}

async fn read_steps(body: &ByteBody, most: usize, room: &mut Room) -> Result<Uint8Array, NoHead> {
    let (steps, mut total) = (Array::new(), 0_usize);
    loop {
        let left = most.saturating_sub(total);
        room.grow(STEP.min(left))?;
        // One byte more than there may be, to see that there is none.
        let wanted = STEP.min(left.saturating_add(1));
        let step = body.fill(wanted).await.map_err(|_| NoHead::BodyIncomplete)?;
        total = total.saturating_add(usize::try_from(step.length()).unwrap_or(usize::MAX));
        if total > most {
            return Err(NoHead::BodyTooLarge(most));
        }
        let is_last = !is_of(&step, wanted);
        steps.push(&step);
        if is_last {
            return Ok(joined(&steps, total));
        }
    }
}

fn joined(steps: &Array, total: usize) -> Uint8Array {
    let whole = Uint8Array::new_with_length(u32::try_from(total).unwrap_or(u32::MAX));
    let mut at = 0_u32;
    while let Ok(step) = steps.shift().dyn_into::<Uint8Array>() {
        whole.set(&step, at);
        at = at.saturating_add(step.length());
    }
    whole
}

fn is_of(bytes: &Uint8Array, length: usize) -> bool {
    usize::try_from(bytes.length()) == Ok(length)
}

fn declared(request: &Request) -> Option<usize> {
    request.headers().get("content-length").ok()??.trim().parse().ok()
}

async fn sha256(bytes: &Uint8Array) -> Option<String> {
    let subtle = bridge::global().crypto().ok()?.subtle();
    let digest = subtle.digest_with_str_and_buffer_source("SHA-256", bytes).ok()?;
    let digest = JsFuture::from(digest).await.ok()?;
    Some(hex::encode(Uint8Array::new(&digest).to_vec()))
}

/// Bytes that are held, until it is dropped.
struct Room(usize);

impl Room {
    fn grow(&mut self, by: usize) -> Result<(), NoHead> {
        let held = HELD.get().saturating_add(by);
        if held > ROOM {
            return Err(NoHead::NoRoom);
        }
        HELD.set(held);
        self.0 = self.0.saturating_add(by);
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        HELD.set(HELD.get().saturating_sub(self.0));
    }
}
