//! Workers Analytics Engine.
//! <https://developers.cloudflare.com/analytics/analytics-engine/>

use std::rc::Rc;

use js_sys::{Array, Function, Object, Reflect};
use wasm_bindgen::{JsCast, JsValue};

use crate::ports::{Metrics, MetricsError, Point};

/// The binding `METRICS`. Whether it is a dataset shows when a point is written: a binding of another kind causes a log
/// line for each point, and is not ignored silently.
struct Dataset(JsValue);

/// The sink of data points written to a binding.
pub(super) fn dataset(binding: JsValue) -> Rc<dyn Metrics> {
    Rc::new(Dataset(binding))
}

impl Metrics for Dataset {
    fn write(&self, point: &Point<'_>) -> Result<(), MetricsError> {
        // `worker::AnalyticsEngineDataset` does not check what it is bound to.
        let method = Reflect::get(&self.0, &JsValue::from_str("writeDataPoint")).ok();
        let method = method.and_then(|method| method.dyn_into::<Function>().ok());
        let method = method.ok_or_else(|| {
            MetricsError("the binding `METRICS` is not an analytics engine dataset".to_owned())
        })?;
        let blobs: Array = point.blobs.iter().map(|blob| JsValue::from_str(blob)).collect();
        let doubles: Array = point.doubles.iter().map(|double| JsValue::from_f64(*double)).collect();
        let data = Object::new();
        let indexes = Array::of1(&JsValue::from_str(point.index));
        for (name, values) in [("indexes", indexes), ("blobs", blobs), ("doubles", doubles)] {
            Reflect::set(&data, &JsValue::from_str(name), &values).map_err(failure)?;
        }
        method.call1(&self.0, &data).map(drop).map_err(failure)
    }
}

/// The runtime's error text for the log. A point contains nothing secret.
fn failure(error: JsValue) -> MetricsError {
    let message = error.dyn_into::<js_sys::Error>().map(|error| String::from(error.message()));
    MetricsError(message.unwrap_or_else(|_| "the call failed".to_owned()))
}
