//! The headers of a request or an answer that stays with the platform.

use http::{HeaderMap, HeaderName, HeaderValue};
use octo_sts_worker::ports::Headers;

/// Headers as they are on a message.
#[derive(Debug, Default)]
pub struct Message(pub HeaderMap);

impl Message {
    /// A message with these.
    #[must_use]
    pub fn new(headers: &[(&str, &str)]) -> Self {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
        }
        Self(map)
    }
}

impl Headers for Message {
    fn names(&self) -> Vec<String> {
        self.0.keys().map(ToString::to_string).collect()
    }

    fn value(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self.0.get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }
}
