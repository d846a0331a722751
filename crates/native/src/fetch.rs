//! HTTP for the command line: blocking, with the operating system's certificates and the crypto library that already
//! verifies signatures. Never part of the Worker, which has the platform's fetch.

use std::io::{ErrorKind, Read as _};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{self, LocalBoxFuture};
use ureq::config::AutoHeaderValue;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use octo_sts_verifier::ports::{BodyError, Fetch, FetchError, Inbound, Outbound};

/// HTTP without redirects. Proxies are taken from the usual variables (`HTTPS_PROXY`, `NO_PROXY`).
#[derive(Debug)]
pub struct NativeFetch {
    agent: ureq::Agent,
}

impl Default for NativeFetch {
    fn default() -> Self {
        Self::new()
    }
}

impl NativeFetch {
    /// Reads the certificates that the machine trusts. If there are none, every TLS connection fails.
    #[must_use]
    pub fn new() -> Self {
        let trusted: Vec<Certificate<'static>> = rustls_native_certs::load_native_certs()
            .certs
            .iter()
            .map(|certificate| Certificate::from_der(certificate).to_owned())
            .collect();
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::new_with_certs(&trusted))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .build();
        let config = ureq::config::Config::builder()
            .tls_config(tls)
            // Any status is an answer; the caller decides what it means.
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // Sends no additional headers. Without a content encoding, the size limit applies to the real body.
            .user_agent(AutoHeaderValue::None)
            .accept(AutoHeaderValue::None)
            .accept_encoding(AutoHeaderValue::None)
            .build();
        Self { agent: config.new_agent() }
    }

    fn send_now(&self, outbound: Outbound) -> Result<Inbound, FetchError> {
        let Outbound { request, timeout, max_body } = outbound;
        let (parts, body) = request.into_parts();
        // A method with a body always has a length, even zero, because not every server accepts chunks.
        let has_body = matches!(parts.method, http::Method::POST | http::Method::PUT | http::Method::PATCH);
        let answer = if body.is_empty() && !has_body {
            let request = http::Request::from_parts(parts, ());
            let request = self.agent.configure_request(request).timeout_global(Some(timeout)).build();
            self.agent.run(request)
        } else {
            let request = http::Request::from_parts(parts, Vec::from(body));
            let request = self.agent.configure_request(request).timeout_global(Some(timeout)).build();
            self.agent.run(request)
        };
        let (parts, body) = answer.map_err(|error| fetch_error(&error))?.into_parts();
        Ok(Inbound { status: parts.status, headers: parts.headers, body: read(body, max_body) })
    }
}

impl Fetch for NativeFetch {
    /// Blocks, because the command line does one thing at a time.
    fn send(&self, outbound: Outbound) -> LocalBoxFuture<'_, Result<Inbound, FetchError>> {
        future::ready(self.send_now(outbound)).boxed_local()
    }
}

fn read(body: ureq::Body, max_body: usize) -> Result<Bytes, BodyError> {
    // One more byte distinguishes a body of exactly the limit from a longer one.
    let limit = u64::try_from(max_body).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    body.into_reader().take(limit).read_to_end(&mut bytes).map_err(|error| {
        // What the reader wraps, the conversion unwraps.
        match fetch_error(&error.into()) {
            FetchError::TimedOut => BodyError::TimedOut,
            FetchError::Network => BodyError::Interrupted,
        }
    })?;
    if bytes.len() > max_body { Err(BodyError::TooLarge) } else { Ok(bytes.into()) }
}

fn fetch_error(error: &ureq::Error) -> FetchError {
    let timed_out = matches!(error, ureq::Error::Timeout(_))
        || matches!(error, ureq::Error::Io(error) if error.kind() == ErrorKind::TimedOut);
    if timed_out { FetchError::TimedOut } else { FetchError::Network }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// Answers one request with these bytes and gives back the request's head.
    fn served(answer: Vec<u8>, keep_open: Duration) -> (String, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/document", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head).unwrap() == 0 {
                    break;
                }
            }
            stream.write_all(&answer).unwrap();
            stream.flush().unwrap();
            thread::sleep(keep_open);
            head
        });
        (address, server)
    }

    fn fetch(address: &str, max_body: usize, timeout: Duration) -> Result<Inbound, FetchError> {
        let request = http::Request::builder()
            .uri(address)
            .header("accept", "application/json")
            .body(Bytes::new())
            .unwrap();
        let outbound = Outbound { request, timeout, max_body };
        NativeFetch::new().send(outbound).now_or_never().unwrap()
    }

    const PATIENT: Duration = Duration::from_secs(10);

    #[test]
    fn an_answer_comes_as_it_was_sent_and_the_request_has_nothing_of_its_own() {
        let (address, server) = served(
            b"HTTP/1.1 404 Not Found\r\nX-A: b\r\nContent-Length: 3\r\n\r\nabc".to_vec(),
            Duration::ZERO,
        );
        let inbound = fetch(&address, 3, PATIENT).unwrap();
        assert_eq!((inbound.status.as_u16(), inbound.body), (404, Ok(Bytes::from("abc"))));
        assert_eq!(inbound.headers["x-a"], "b");
        let head = server.join().unwrap().to_ascii_lowercase();
        assert!(head.starts_with("get /document http/1.1\r\n") && head.contains("accept: application/json"));
        assert!(!head.contains("user-agent") && !head.contains("accept-encoding"), "{head}");
    }

    #[test]
    fn a_redirect_is_an_answer() {
        let (address, server) = served(
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_vec(),
            Duration::ZERO,
        );
        let inbound = fetch(&address, 3, PATIENT).unwrap();
        assert_eq!(inbound.status.as_u16(), 302);
        server.join().unwrap();
    }

    #[test]
    fn a_body_has_a_limit() {
        for (length, expected) in [(10, Ok(Bytes::from(vec![b'a'; 10]))), (11, Err(BodyError::TooLarge))] {
            let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
            answer.extend(vec![b'a'; length]);
            let (address, server) = served(answer, Duration::ZERO);
            assert_eq!(fetch(&address, 10, PATIENT).unwrap().body, expected);
            server.join().unwrap();
        }
    }

    #[test]
    fn a_broken_or_late_body_keeps_its_status() {
        let part = || b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc".to_vec();
        let (address, server) = served(part(), Duration::ZERO);
        let inbound = fetch(&address, 10, PATIENT).unwrap();
        assert_eq!((inbound.status.as_u16(), inbound.body), (200, Err(BodyError::Interrupted)));
        server.join().unwrap();

        let (address, server) = served(part(), Duration::from_millis(600));
        let inbound = fetch(&address, 10, Duration::from_millis(300)).unwrap();
        assert_eq!(inbound.body, Err(BodyError::TimedOut));
        server.join().unwrap();
    }

    #[test]
    fn nobody_there_and_nobody_answering_are_told_apart() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(fetch(&format!("http://{closed}/"), 10, PATIENT).unwrap_err(), FetchError::Network);

        let (address, server) = served(Vec::new(), Duration::from_millis(600));
        assert_eq!(fetch(&address, 10, Duration::from_millis(300)).unwrap_err(), FetchError::TimedOut);
        server.join().unwrap();
    }
}
