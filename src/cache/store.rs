//! The KV tier: the form of an entry, and how it is read, written and deleted. A failure is a line in the log.
//!
//! An entry of a group belongs to a generation, and is valid while that is the group's current one. Writing another
//! generation invalidates the group, without knowing its entries.

use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Group, Key};
use crate::context::{Context, Generation};
use crate::json::{FromJson, Object, Shape, Unfit, read_members};
use crate::ports::{KeyValueError, Level};
use crate::time::Timestamp;

/// Entries dated further in the future than this come from a wrong clock: a miss.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(60);

/// Longer than any entry of a group is stored: when the generation expires, no entry of an older one is left.
const GENERATION_KEPT: Duration = Duration::from_secs(86_400);

/// A value from KV, before it is parsed.
pub(super) struct Written {
    pub(super) learnt_at: Timestamp,
    pub(super) written_at: Timestamp,
    pub(super) written_by: Rc<str>,
    pub(super) generation: Generation,
    pub(super) record: Value,
}

impl FromJson for Written {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        let mut written = Object::from_json(json)?;
        let mut instant = |name| Timestamp::from_unix_millis(written.take(name)?).ok_or(Unfit);
        Ok(Self {
            learnt_at: instant("learnt_at")?,
            written_at: instant("written_at")?,
            written_by: written.take::<String>("written_by")?.into(),
            generation: written.take_optional::<String>("generation")?.map(Rc::from),
            record: written.take("record")?,
        })
    }
}

impl Written {
    pub(super) fn to_text(&self) -> String {
        let mut written = json!({
            "learnt_at": self.learnt_at.unix_millis(),
            "written_at": self.written_at.unix_millis(),
            "written_by": &*self.written_by,
            "record": self.record,
        });
        if let (Some(generation), Some(members)) = (&self.generation, written.as_object_mut()) {
            members.insert("generation".to_owned(), (&**generation).into());
        }
        written.to_string()
    }

    fn decode(text: &str, now: Timestamp) -> Option<Self> {
        let written: Self = read_members(text.as_bytes(), Shape::ALL).ok()?;
        let is_sane = written.learnt_at.max(written.written_at) <= now.plus(MAX_CLOCK_SKEW);
        is_sane.then_some(written)
    }
}

/// The valid entry in KV; an error if KV did not answer.
pub(super) async fn read(key: &Key, context: &Context) -> Result<Option<Written>, KeyValueError> {
    let kv = &context.ports.kv_read;
    let read = match key.group() {
        None => kv.read(key.as_str()).await.map(|text| (text, None)),
        Some(group) => kv.read_both([key.as_str(), group.as_str()]).await.map(|[text, generation]| {
            let generation: Generation = generation.map(Rc::from);
            context.note_generation(group.as_str(), generation.clone());
            (text, generation)
        }),
    };
    if let Err(error) = &read {
        context.log(Level::Warn, "kv read failed", &[("key", key.as_str()), ("error", &error.0)]);
    }
    let (Some(text), generation) = read? else { return Ok(None) };
    let written = Written::decode(&text, context.now);
    if written.is_none() {
        undecodable(key, context);
    }
    Ok(written.filter(|written| key.group().is_none() || written.generation == generation))
}

pub(super) fn undecodable(key: &Key, context: &Context) {
    context.log(Level::Warn, "kv value does not decode", &[("key", key.as_str())]);
}

/// Writes after the answer.
pub(super) fn write_later(key: &Key, text: String, kept: Duration, context: &Context) {
    let (key, context_after) = (key.clone(), context.clone());
    context.defer(async move {
        let written = context_after.ports.kv_write.write(key.as_str(), &text, kept).await;
        if let Err(error) = written {
            context_after.log(Level::Warn, "kv write failed", &[("key", key.as_str()), ("error", &error.0)]);
        }
    });
}

/// Forgets a key after the answer.
pub(super) fn forget_later(key: &Key, context: &Context) {
    let (key, context_after) = (key.clone(), context.clone());
    context.defer(async move {
        if let Err(error) = context_after.ports.kv_write.delete(key.as_str()).await {
            context_after.log(Level::Warn, "kv delete failed", &[("key", key.as_str()), ("error", &error.0)]);
        }
    });
}

/// Invalidates every entry of a group, now, with one write. This includes entries written meanwhile by requests that
/// read before it.
pub(super) async fn forget_all(group: &Group, context: &Context) -> Result<(), KeyValueError> {
    let mut generation = context.request_id.to_string();
    // A second time within a request is another generation.
    while context.generation(group.as_str()).flatten().is_some_and(|known| *known == *generation) {
        generation.push('+');
    }
    context.ports.kv_write.write(group.as_str(), &generation, GENERATION_KEPT).await?;
    context.note_generation(group.as_str(), Some(generation.into()));
    Ok(())
}
