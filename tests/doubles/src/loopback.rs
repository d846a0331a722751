//! A server on the loopback, for what is a process of its own or a real HTTP client. It ends with the process.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request as the server got it.
#[derive(Debug, Clone)]
pub struct Got {
    /// The first line, without its end.
    pub line: String,
    /// `Name: value`, one a line, as they came.
    pub head: String,
    /// As text.
    pub body: String,
}

impl Got {
    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.line.split(' ').next().unwrap_or_default()
    }

    /// The path, with its query.
    #[must_use]
    pub fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    /// The path without its query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target().split('?').next().unwrap_or_default()
    }

    /// `METHOD path`
    #[must_use]
    pub fn call(&self) -> String {
        format!("{} {}", self.method(), self.path())
    }

    /// A header's value; empty where there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let of_name = |line: &str| line.split_once(':').is_some_and(|(n, _)| n.eq_ignore_ascii_case(name));
        let line = self.head.lines().find(|line| of_name(line)).unwrap_or_default();
        line.split_once(':').map_or("", |(_, value)| value.trim())
    }
}

/// An answer of the server.
#[derive(Debug, Clone)]
pub struct Told {
    status: String,
    headers: String,
    body: String,
}

/// A status, with or without its reason, and a body.
pub fn told(status: impl ToString, body: impl ToString) -> Told {
    let status = status.to_string();
    let status = if status.contains(' ') { status } else { format!("{status} X") };
    Told { status, headers: String::new(), body: body.to_string() }
}

/// No answer: the connection closes.
#[must_use]
pub const fn silence() -> Told {
    Told { status: String::new(), headers: String::new(), body: String::new() }
}

impl Told {
    /// With one header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push_str(&format!("{name}: {value}\r\n"));
        self
    }
}

/// A server, and what it was sent.
#[derive(Debug, Clone)]
pub struct Loopback {
    /// `127.0.0.1:port`
    pub address: String,
    /// `http://127.0.0.1:port`
    pub url: String,
    seen: Arc<Mutex<Vec<Got>>>,
}

impl Loopback {
    /// Takes what was sent since the last look.
    #[must_use]
    pub fn seen(&self) -> Vec<Got> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

/// A server that answers each request by a function.
pub fn serve(answer: impl Fn(&Got) -> Told + Send + 'static) -> Loopback {
    serve_as(|_| answer)
}

/// The same for a server that has to know its own URL.
pub fn serve_as<A: Fn(&Got) -> Told + Send + 'static>(answer: impl FnOnce(&str) -> A) -> Loopback {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let url = format!("http://{address}");
    let answer = answer(&url);
    let seen: Arc<Mutex<Vec<Got>>> = Arc::default();
    let log = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Some(got) = read(&stream) else { continue };
            log.lock().unwrap().push(got.clone());
            let Told { status, headers, body } = answer(&got);
            if status.is_empty() {
                continue;
            }
            let length = body.len();
            let whole = format!(
                "HTTP/1.1 {status}\r\n{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
            );
            // A client that has seen enough hangs up.
            stream.write_all(whole.as_bytes()).ok();
        }
    });
    Loopback { address, url, seen }
}

/// One request; none where the client hung up first.
fn read(stream: &TcpStream) -> Option<Got> {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut head = String::new();
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).ok()? == 0 || header.trim().is_empty() {
            break;
        }
        head.push_str(&header);
    }
    let mut got = Got { line: line.trim_end().to_owned(), head, body: String::new() };
    let length = got.header("content-length").parse().unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    got.body = String::from_utf8(body).unwrap();
    Some(got)
}
