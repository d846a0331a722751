//! The verifier as Python sees it: `octo_sts._native`. The Rust library decides; this module only passes texts and
//! claims. It releases Python's lock while it verifies a token or waits for keys.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::AUTHORIZATION};
use octo_sts::github::GitHubClaims;
use octo_sts::{Claims, FetchError, Inbound, Outbound, Refusal, Transport, VerifiedClaims, Verifier};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString};
use serde_json::{Map, Value};

pyo3::create_exception!(
    octo_sts._native,
    TokenRefused,
    pyo3::exceptions::PyException,
    "A token that is not accepted: (reason, code, status, public_message, challenge, retry_after)."
);

type Verifying = Pin<Box<dyn Future<Output = Result<VerifiedClaims, Refusal>> + Send>>;

/// Verifies tokens; one serves a whole server.
#[pyclass(frozen, name = "NativeVerifier", module = "octo_sts._native")]
struct NativeVerifier(Verifier);

#[pymethods]
impl NativeVerifier {
    /// `clock` (seconds since 1970) and `fetch` (an address to status, headers and body) are for tests.
    #[new]
    #[pyo3(signature = (audiences, issuers, allow, max_lifetime, allow_loopback_http, clock=None, fetch=None))]
    fn new(
        audiences: Vec<String>,
        issuers: Vec<String>,
        allow: Vec<String>,
        max_lifetime: u64,
        allow_loopback_http: bool,
        clock: Option<f64>,
        fetch: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let mut builder = Verifier::builder()
            .allow_loopback_http(allow_loopback_http)
            .max_lifetime(Duration::from_secs(max_lifetime));
        for audience in audiences {
            builder = builder.audience(audience);
        }
        for issuer in issuers {
            builder = builder.issuer(issuer);
        }
        for rule in allow {
            builder = builder.allow(rule);
        }
        if let Some(clock) = clock {
            let since = Duration::try_from_secs_f64(clock)
                .map_err(|error| PyValueError::new_err(error.to_string()))?;
            builder = builder.clock(move || UNIX_EPOCH + since);
        }
        if let Some(fetch) = fetch {
            builder = builder.transport(PythonTransport(fetch));
        }
        builder.build().map(Self).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// Verifies a token; waits for keys on the calling thread.
    fn verify(&self, py: Python<'_>, token: &str) -> PyResult<Py<PyDict>> {
        finished(py, py.detach(|| self.0.verify_blocking(token)))
    }

    /// Starts to verify a token.
    fn start(&self, token: String) -> Check {
        let verifier = self.0.clone();
        Check::of(Box::pin(async move { verifier.verify(&token).await }))
    }

    /// Starts to verify the bearer token of a request with these `Authorization` headers.
    fn start_request(&self, authorization: Vec<String>) -> Check {
        let mut headers = HeaderMap::new();
        for value in authorization {
            // Text that no header can contain is not ASCII either, so the verifier refuses it.
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap_or(HeaderValue::from_static("\t"));
            headers.append(AUTHORIZATION, value);
        }
        let verifier = self.0.clone();
        Check::of(Box::pin(async move { verifier.verify_headers(&headers).await }))
    }
}

/// A verification in progress.
#[pyclass(frozen, module = "octo_sts._native")]
struct Check(Mutex<Option<Verifying>>);

#[pymethods]
impl Check {
    /// Continues: the claims, or `None` while keys are being fetched; `wake` is then called, on another thread, when
    /// there is more to do.
    fn poll(&self, py: Python<'_>, wake: Py<PyAny>) -> PyResult<Option<Py<PyDict>>> {
        let waker = Waker::from(Arc::new(PythonWaker(wake)));
        let polled = py.detach(|| {
            let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let polled = place.as_mut()?.as_mut().poll(&mut Context::from_waker(&waker));
            if polled.is_ready() {
                *place = None;
            }
            Some(polled)
        });
        match polled {
            Some(Poll::Ready(outcome)) => finished(py, outcome).map(Some),
            Some(Poll::Pending) => Ok(None),
            None => Err(PyRuntimeError::new_err("the check is over")),
        }
    }
}

impl Check {
    fn of(verifying: Verifying) -> Self {
        Self(Mutex::new(Some(verifying)))
    }
}

struct PythonWaker(Py<PyAny>);

impl Wake for PythonWaker {
    fn wake(self: Arc<Self>) {
        // `None` while the interpreter shuts down: nobody is waiting then.
        Python::try_attach(|py| {
            if let Err(error) = self.0.call0(py) {
                // The event loop is closed, so nobody can be notified but a test that watches for this.
                error.write_unraisable(py, None);
            }
        });
    }
}

/// A way to the network in Python.
struct PythonTransport(Py<PyAny>);

impl Transport for PythonTransport {
    fn send(&self, outbound: Outbound) -> Result<Inbound, FetchError> {
        let url = outbound.request.uri().to_string();
        let answer = Python::try_attach(|py| -> PyResult<(u16, BTreeMap<String, String>, Vec<u8>)> {
            self.0.call1(py, (url,))?.extract(py)
        });
        let Some(Ok((status, given, body))) = answer else { return Err(FetchError::Network) };
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value))
            {
                headers.append(name, value);
            }
        }
        let status = StatusCode::from_u16(status).map_err(|_| FetchError::Network)?;
        Ok(Inbound { status, headers, body: Ok(body.into()) })
    }
}

fn finished(py: Python<'_>, outcome: Result<VerifiedClaims, Refusal>) -> PyResult<Py<PyDict>> {
    match outcome {
        Ok(verified) => Ok(typed(py, verified.claims())?.unbind()),
        Err(refusal) => Err(TokenRefused::new_err((
            refusal.to_string(),
            refusal.code(),
            refusal.status().as_u16(),
            refusal.public_message().to_owned(),
            refusal.challenge(),
            refusal.retry_after_seconds(),
        ))),
    }
}

/// GitHub's claims in their types; the registered claims and all others as they came.
fn typed<'py>(py: Python<'py>, claims: &Claims) -> PyResult<Bound<'py, PyDict>> {
    let dictionary = object(py, &GitHubClaims::from(claims).into_json())?;
    for name in ["iss", "sub", "aud", "exp", "iat", "nbf"] {
        if let Some(value) = claims.claim(name) {
            dictionary.set_item(name, python(py, value)?)?;
        }
    }
    Ok(dictionary)
}

fn object<'py>(py: Python<'py>, members: &Map<String, Value>) -> PyResult<Bound<'py, PyDict>> {
    let dictionary = PyDict::new(py);
    for (name, value) in members {
        dictionary.set_item(name, python(py, value)?)?;
    }
    Ok(dictionary)
}

/// Verified claims nest at most 16 levels deep.
fn python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(flag) => PyBool::new(py, *flag).to_owned().into_any(),
        Value::String(text) => PyString::new(py, text).into_any(),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => PyInt::new(py, number).into_any(),
            (None, Some(number)) => PyInt::new(py, number).into_any(),
            (None, None) => PyFloat::new(py, number.as_f64().unwrap_or_default()).into_any(),
        },
        Value::Array(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(python(py, item)?)?;
            }
            list.into_any()
        }
        Value::Object(members) => object(py, members)?.into_any(),
    })
}

#[pymodule(gil_used = false)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<NativeVerifier>()?;
    module.add_class::<Check>()?;
    module.add("TokenRefused", module.py().get_type::<TokenRefused>())
}
