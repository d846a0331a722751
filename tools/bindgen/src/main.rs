//! `bindgen INPUT.wasm FOLDER`: writes `index.js` and `index_bg.wasm`, the module and its bindings, for a runtime that
//! imports wasm as a module. A panic aborts, so the bindings can restart the module (`__wbg_reset_state`).

use std::error::Error;
use std::fs;
use std::path::Path;

use wasm_bindgen_cli_support::Bindgen;

/// Where the bindings begin to copy a text into wasm, one character at a time.
const ONE_BY_ONE: &str = "    let offset = 0;\n\n    for (; offset < len; offset++) {\n        const code = arg.charCodeAt(offset);\n";

/// A text that is longer than a name is copied in one call. Of a token, that takes a twentieth of the instructions, and an
/// isolate that has just started has no fast code for the loop. A text with other characters than ASCII's does not fit, and
/// takes the old way.
const AT_ONCE: &str = "    if (len > 48) {\n        const { read } = cachedTextEncoder.encodeInto(arg, mem.subarray(ptr, ptr + len));\n        if (read === len) {\n            WASM_VECTOR_LEN = len;\n            return ptr;\n        }\n    }\n\n";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(input), Some(folder), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: bindgen INPUT.wasm FOLDER".into());
    };
    let mut bindgen = Bindgen::new();
    bindgen.module(true)?;
    bindgen
        .input_path(input)
        .out_name("index")
        .typescript(false)
        .reset_state_function(true)
        .force_enable_abort_handler(true);
    bindgen.generate(&folder)?;
    copy_long_texts_at_once(&Path::new(&folder).join("index.js"))
}

fn copy_long_texts_at_once(bindings: &Path) -> Result<(), Box<dyn Error>> {
    let text = fs::read_to_string(bindings)?;
    let [before, after] = text.split(ONE_BY_ONE).collect::<Vec<_>>()[..] else {
        return Err("another release of wasm-bindgen copies texts in another way: see ONE_BY_ONE".into());
    };
    Ok(fs::write(bindings, format!("{before}{AT_ONCE}{ONE_BY_ONE}{after}"))?)
}
