//! The KV tier: the form of an entry, and how it is read, written and deleted. A failure is a line in the log.
//!
//! An entry of a group belongs to a generation, and is valid while that is the group's current one. Writing another
//! generation invalidates the group, without knowing its entries. What may be forgotten by itself is a group of its own
//! as well: it is deleted, and what is written meanwhile by who read before it does not hold.

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join;
use serde_json::Value;

use super::{Group, Key};
use crate::context::{Context, Generation};
use crate::json::{Shape, ToJson as _, read_members};
use crate::ports::{KeyValueError, Level};
use crate::time::Timestamp;

/// Entries dated further in the future than this come from a wrong clock: a miss.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(60);

/// Longer than any entry of a group is stored: when the generation expires, no entry of an older one is left.
const GENERATION_KEPT: Duration = Duration::from_secs(86_400);

octo_sts_verifier::json_object! {
    /// A value from KV, before it is parsed.
    pub(super) struct Written {
        pub(super) learnt_at: Timestamp => take,
        pub(super) written_at: Timestamp => take,
        pub(super) written_by: Rc<str> => take,
        /// Of the key's group.
        pub(super) generation: Generation => take_optional,
        /// Of the key alone.
        pub(super) own_generation: Generation => take_optional,
        pub(super) record: Value => take,
    }
}

/// The generations in which something was learnt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Generations {
    /// Of the key's group.
    pub(super) of_group: Generation,
    /// Of the key alone.
    pub(super) own: Generation,
}

impl Written {
    pub(super) fn generations(&self) -> Generations {
        Generations { of_group: self.generation.clone(), own: self.own_generation.clone() }
    }

    pub(super) fn to_text(&self) -> String {
        self.to_json().to_string()
    }

    fn decode(text: &str, now: Timestamp) -> Option<Self> {
        let written: Self = read_members(text.as_bytes(), Shape::ALL).ok()?;
        let is_sane = written.learnt_at.max(written.written_at) <= now.plus(MAX_CLOCK_SKEW);
        is_sane.then_some(written)
    }
}

/// The valid entry in KV; an error if KV did not answer.
pub(super) async fn read(key: &Key, context: &Context) -> Result<Option<Written>, KeyValueError> {
    let read = read_with_generations(key, context).await;
    if let Err(error) = &read {
        context.log(Level::Warn, "kv read failed", &[("key", key.as_str()), ("error", &error.0)]);
    }
    let (Some(text), generations) = read? else { return Ok(None) };
    let written = Written::decode(&text, context.now);
    if written.is_none() {
        undecodable(key, context);
    }
    Ok(written.filter(|written| written.generations() == generations))
}

/// An entry's text, and the generations of today, by one operation.
async fn read_with_generations(
    key: &Key,
    context: &Context,
) -> Result<(Option<String>, Generations), KeyValueError> {
    let kv = &context.ports.kv_read;
    let groups = [key.group(), key.alone()];
    let mut keys = vec![key.as_str()];
    keys.extend(groups.iter().flatten().map(|group| group.as_str()));
    if let [key] = keys.as_slice() {
        return Ok((kv.read(key).await?, Generations::default()));
    }
    let mut stored = kv.read_all(&keys).await?.into_iter();
    let text = stored.next().flatten();
    let mut generation_of = |group: Option<&Group>| -> Generation {
        let group = group?;
        let generation: Generation = stored.next().flatten().map(Rc::from);
        context.note_generation(group.as_str(), generation.clone());
        generation
    };
    let [group, alone] = groups;
    Ok((text, Generations { of_group: generation_of(group), own: generation_of(alone) }))
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

/// Forgets a key, now, and with it what is written meanwhile by who read its origin before. That is kept from holding by a
/// write; where it fails, the key is deleted all the same.
pub(super) async fn forget(key: &Key, context: &Context) -> Result<(), KeyValueError> {
    let deleted = context.ports.kv_write.delete(key.as_str());
    let Some(alone) = key.alone() else { return deleted.await };
    let (begun, deleted) = join(forget_all(alone, context), deleted).await;
    if let Err(error) = begun {
        context.log(Level::Warn, "kv write failed", &[("key", alone.as_str()), ("error", &error.0)]);
    }
    deleted
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
