//! Bodies, read as streams and cut: nobody makes the isolate (128 MB for all of its requests) hold more than we asked for.

use bytes::Bytes;
use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{ReadableStream, ReadableStreamDefaultReader};

/// The stream broke before its end: the connection, or the content encoding.
#[derive(Debug)]
pub(super) struct Interrupted;

/// Reads until the end or until `limit` bytes are there, whichever comes first; the rest is cancelled unread. Whoever
/// wants to know whether there was more asks for one byte more.
pub(super) async fn read(stream: &ReadableStream, limit: usize) -> Result<Bytes, Interrupted> {
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    let mut body = Vec::new();
    while let Some(chunk) = next(&reader).await? {
        let wanted = u32::try_from(limit.saturating_sub(body.len())).unwrap_or(u32::MAX);
        if chunk.length() >= wanted {
            body.extend(chunk.subarray(0, wanted).to_vec());
            // Nobody waits for the peer to notice, and it does not matter whether it does.
            drop(reader.cancel());
            break;
        }
        body.extend(chunk.to_vec());
    }
    Ok(Bytes::from(body))
}

/// The next chunk, `None` at the end.
async fn next(reader: &ReadableStreamDefaultReader) -> Result<Option<Uint8Array>, Interrupted> {
    let result = JsFuture::from(reader.read()).await.map_err(|_| Interrupted)?;
    let member = |name: &str| Reflect::get(&result, &JsValue::from_str(name)).map_err(|_| Interrupted);
    if member("done")?.is_truthy() {
        return Ok(None);
    }
    member("value")?.dyn_into().map(Some).map_err(|_| Interrupted)
}
