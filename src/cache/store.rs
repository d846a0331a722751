//! The tier in KV: what an entry looks like there, and how it comes and goes. A failure is a line in the log.
//!
//! An entry of a group was written in a generation of it, and holds while that is the group's: whoever forgets the group
//! writes another generation, and need not know what there is of it.

use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Group, Key};
use crate::context::{Context, Generation};
use crate::json::{FromJson, Object, Shape, Unfit, read_members};
use crate::ports::{KeyValueError, Level};
use crate::time::Timestamp;

/// Entries "from the future" by more than this were not written by a sane clock: a miss.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(60);

/// Longer than any entry of a group is kept: when the generation is forgotten, no entry of an older one is left.
const GENERATION_KEPT: Duration = Duration::from_secs(86_400);

/// What KV holds, before anything is made of it.
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

/// What KV has and holds; an error where it did not say.
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

/// Makes every entry of a group void, now, by one write: those that are written meanwhile by who read before it, too.
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_194_000;

    fn read(text: &str) -> Option<String> {
        let now = Timestamp::from_unix_seconds(NOW).unwrap();
        Written::decode(text, now).map(|written| written.to_text())
    }

    /// KV has entries that an earlier version wrote.
    #[test]
    fn an_entry_is_written_as_it_always_was() {
        for text in [
            r#"{"generation":"g1","learnt_at":1795194000000,"record":"Absent","written_at":1795194000123,"written_by":"request-1"}"#,
            r#"{"learnt_at":1795193999999,"record":{"a":[1,null]},"written_at":1795194000000,"written_by":""}"#,
            r#"{"learnt_at":0,"record":null,"written_at":-1,"written_by":"x"}"#,
        ] {
            assert_eq!(read(text).as_deref(), Some(text));
        }
        let without = r#"{"learnt_at":0,"record":1,"written_at":0,"written_by":"x"}"#;
        let more =
            r#"{"learnt_at":0,"record":1,"written_at":0,"written_by":"x","generation":null,"later":[]}"#;
        assert_eq!(read(more).as_deref(), Some(without));
    }

    #[test]
    fn what_no_version_wrote_is_no_entry() {
        for text in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"learnt_at":0,"written_at":0,"written_by":"x"}"#,
            r#"{"learnt_at":0,"record":1,"written_at":0}"#,
            r#"{"learnt_at":0,"record":1,"written_by":"x"}"#,
            r#"{"record":1,"written_at":0,"written_by":"x"}"#,
            r#"{"learnt_at":"0","record":1,"written_at":0,"written_by":"x"}"#,
            r#"{"learnt_at":0.5,"record":1,"written_at":0,"written_by":"x"}"#,
            r#"{"learnt_at":9223372036854775807,"record":1,"written_at":0,"written_by":"x"}"#,
            r#"{"learnt_at":0,"record":1,"written_at":0,"written_by":null}"#,
            r#"{"generation":1,"learnt_at":0,"record":1,"written_at":0,"written_by":"x"}"#,
            r#"{"learnt_at":0,"learnt_at":0,"record":1,"written_at":0,"written_by":"x"}"#,
            r#"{"learnt_at":1795194060001,"record":1,"written_at":0,"written_by":"x"}"#,
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
