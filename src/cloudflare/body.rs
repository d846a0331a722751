//! Bodies, read as streams and cut off, so that nobody can make the isolate (128 MB for all of its requests) hold more
//! than we asked for.
//!
//! A stream read chunk by chunk costs a turn of the event loop for each chunk and one for the end. The runtime's
//! `readAtLeast` fills a buffer, or says by filling less that the end was reached: most bodies take one turn.
//! <https://developers.cloudflare.com/workers/runtime-apis/streams/readablestreambyobreader/>

use bytes::Bytes;
use js_sys::{Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    ReadableStream, ReadableStreamDefaultReader, ReadableStreamGetReaderOptions, ReadableStreamReaderMode,
};

/// Enough for GitHub's answer about a token for one repository.
const FIRST_BUFFER: usize = 16 * 1024;
/// A longer body is read in ever larger steps, up to this one.
const LARGEST_BUFFER: usize = 256 * 1024;

// `web_sys` has only the standard's reader, and none that can be refused.
#[wasm_bindgen]
extern "C" {
    type ByteStream;

    #[wasm_bindgen(method, catch, js_name = getReader)]
    fn byte_reader(
        this: &ByteStream,
        options: &ReadableStreamGetReaderOptions,
    ) -> Result<ByteReader, JsValue>;

    /// `ReadableStreamBYOBReader`, as the runtime has it.
    type ByteReader;

    #[wasm_bindgen(method, catch, js_name = readAtLeast)]
    fn read_at_least(this: &ByteReader, bytes: u32, into: &Uint8Array) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method)]
    fn cancel(this: &ByteReader) -> Promise;
}

/// The stream failed before its end, because of the connection or the content encoding.
#[derive(Debug)]
pub(super) struct Interrupted;

/// Reads until the end or until `limit` bytes are there, whichever comes first; the rest is canceled unread. To find
/// out whether there was more, ask for one byte more.
pub(super) async fn read(stream: &ReadableStream, limit: usize) -> Result<Bytes, Interrupted> {
    let options = ReadableStreamGetReaderOptions::new();
    options.set_mode(ReadableStreamReaderMode::Byob);
    let Ok(reader) = stream.unchecked_ref::<ByteStream>().byte_reader(&options) else {
        return read_chunks(stream, limit).await;
    };
    let mut body = Vec::new();
    let mut buffer = FIRST_BUFFER;
    while body.len() < limit {
        let wanted = buffer.min(limit.saturating_sub(body.len()));
        let filled = fill(&reader, u32::try_from(wanted).unwrap_or(u32::MAX)).await?;
        body.extend(filled.to_vec());
        if usize::try_from(filled.length()).is_ok_and(|length| length < wanted) {
            return Ok(Bytes::from(body));
        }
        buffer = buffer.saturating_mul(4).min(LARGEST_BUFFER);
    }
    // Nobody waits for the peer to notice, and it does not matter whether it does.
    drop(reader.cancel());
    Ok(Bytes::from(body))
}

/// The same for a stream that is not a byte stream, which JavaScript between us and the network may create.
async fn read_chunks(stream: &ReadableStream, limit: usize) -> Result<Bytes, Interrupted> {
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    let mut body = Vec::new();
    while body.len() < limit {
        let result = JsFuture::from(reader.read()).await.map_err(|_| Interrupted)?;
        let value = Reflect::get(&result, &JsValue::from_str("value")).map_err(|_| Interrupted)?;
        if value.is_undefined() {
            return Ok(Bytes::from(body));
        }
        let chunk: Uint8Array = value.dyn_into().map_err(|_| Interrupted)?;
        body.extend(chunk.to_vec());
    }
    body.truncate(limit);
    drop(reader.cancel());
    Ok(Bytes::from(body))
}

/// A stream of bytes that stay outside wasm.
pub(super) struct ByteBody(ByteReader);

impl ByteBody {
    /// `None`: not a byte stream.
    pub(super) fn of(stream: &ReadableStream) -> Option<Self> {
        let options = ReadableStreamGetReaderOptions::new();
        options.set_mode(ReadableStreamReaderMode::Byob);
        stream.unchecked_ref::<ByteStream>().byte_reader(&options).ok().map(Self)
    }

    /// The next so many bytes; fewer at the end.
    pub(super) async fn fill(&self, wanted: usize) -> Result<Uint8Array, Interrupted> {
        fill(&self.0, u32::try_from(wanted).unwrap_or(u32::MAX)).await
    }

    /// The rest is not read, and nothing waits for the peer to notice.
    pub(super) fn cancel(&self) {
        drop(self.0.cancel());
    }
}

/// The next so many bytes; fewer at the end.
async fn fill(reader: &ByteReader, wanted: u32) -> Result<Uint8Array, Interrupted> {
    let buffer = Uint8Array::new_with_length(wanted);
    let read = reader.read_at_least(wanted, &buffer).map_err(|_| Interrupted)?;
    let result = JsFuture::from(read).await.map_err(|_| Interrupted)?;
    let value = Reflect::get(&result, &JsValue::from_str("value")).map_err(|_| Interrupted)?;
    if value.is_undefined() {
        Ok(Uint8Array::new_with_length(0))
    } else {
        value.dyn_into().map_err(|_| Interrupted)
    }
}
