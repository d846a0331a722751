//! `bindgen INPUT.wasm FOLDER`: writes `index.js` and `index_bg.wasm`, the module and its bindings, for a runtime that
//! imports wasm as a module. A panic aborts, so the bindings can restart the module (`__wbg_reset_state`).

use std::error::Error;

use wasm_bindgen_cli_support::Bindgen;

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
    Ok(bindgen.generate(folder)?)
}
