//! The two pages of `sts app create`, on loopback: the one whose button submits the manifest to GitHub, and the one to
//! which GitHub redirects the browser, with a code. No other page can provide a code: `state` is checked, and so is
//! `Host`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::outcome::Failure;

/// Somebody reads GitHub's page, and may have to confirm a password first.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// Browsers open connections in advance; an idle one is not waited for.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// The request line and the headers.
const MAX_HEAD: u64 = 16 * 1024;
/// Connections at a time. More are closed: this serves one browser.
const MAX_WAITING: usize = 32;

/// Where GitHub redirects the browser.
const RETURN_PATH: &str = "/created";

/// The request of one connection.
struct Request {
    stream: TcpStream,
    method: String,
    target: String,
    host: String,
}

/// The pages, not served yet.
pub(crate) struct Pages {
    listener: TcpListener,
    authority: String,
}

impl Pages {
    /// On a free loopback port.
    pub(crate) fn open() -> Result<Self, Failure> {
        let failed =
            |error: std::io::Error| Failure::Failed(format!("no page can be served on 127.0.0.1: {error}"));
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        let authority = listener.local_addr().map_err(failed)?.to_string();
        Ok(Self { listener, authority })
    }

    /// The first page's address.
    pub(crate) fn address(&self) -> String {
        format!("http://{}/", self.authority)
    }

    /// Where the manifest sends the browser.
    pub(crate) fn return_address(&self) -> String {
        format!("http://{}{RETURN_PATH}", self.authority)
    }

    /// Serves until GitHub sends a code back with this state. `form` is the first page; the code's connection waits for
    /// [`Returned::answer`].
    pub(crate) fn wait(self, form: &Form, state: &str) -> Result<Returned, Failure> {
        let (sender, receiver) = mpsc::sync_channel(MAX_WAITING);
        let Self { listener, authority } = self;
        // Ends with the process, which does nothing else.
        thread::spawn(move || accept(&listener, &sender));
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(request) = receiver.recv_timeout(left) else {
                return Err(Failure::Failed(
                    "nobody came back from GitHub within 15 minutes; no App was set up".to_owned(),
                ));
            };
            if let Some(returned) = serve(request, &authority, form, state) {
                return Ok(returned);
            }
        }
    }
}

fn accept(listener: &TcpListener, sender: &mpsc::SyncSender<Request>) {
    for stream in listener.incoming().flatten() {
        let sender = sender.clone();
        thread::spawn(move || {
            if let Some(request) = read(stream) {
                // Full, or no one is listening any more, so the connection closes.
                drop(sender.try_send(request));
            }
        });
    }
}

fn read(stream: TcpStream) -> Option<Request> {
    stream.set_read_timeout(Some(READ_TIMEOUT)).ok()?;
    stream.set_write_timeout(Some(READ_TIMEOUT)).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?.take(MAX_HEAD));
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_ascii_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut host = String::new();
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).ok()? == 0 {
            return None;
        }
        let header = header.trim_end();
        if header.is_empty() {
            return Some(Request { stream, method, target, host });
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("host")
        {
            value.trim().clone_into(&mut host);
        }
    }
}

/// Answers one request, unless it has the code.
fn serve(request: Request, authority: &str, form: &Form, state: &str) -> Option<Returned> {
    let Request { stream, method, target, host } = request;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    // A page elsewhere whose name resolves to this machine would have another host.
    if host != authority || method != "GET" {
        answer(
            stream,
            "400 Bad Request",
            "This page is only for the person who runs <code>sts app create</code>.",
            form,
        );
        return None;
    }
    match path {
        "/" => {
            let body = form.html();
            answer(stream, "200 OK", &body, form);
            None
        }
        RETURN_PATH => match code_of(query, state) {
            Some(code) => Some(Returned { code, stream }),
            None => {
                answer(
                    stream,
                    "400 Bad Request",
                    "This request did not come from the page that was opened here. Start again from the address in the terminal.",
                    form,
                );
                None
            }
        },
        _ => {
            answer(stream, "404 Not Found", "There is nothing here.", form);
            None
        }
    }
}

/// The code, if the state is ours. GitHub's codes are letters, digits and a few marks; nothing else may go into a URL.
fn code_of(query: &str, state: &str) -> Option<String> {
    let value = |name: &str| {
        let mut found =
            query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(key, _)| *key == name);
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    };
    if value("state")? != state {
        return None;
    }
    let code = value("code")?;
    let is_code = (1..=200).contains(&code.len())
        && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    is_code.then(|| code.to_owned())
}

/// A browser that returned with a code, and waits for the result.
pub(crate) struct Returned {
    pub(crate) code: String,
    stream: TcpStream,
}

impl Returned {
    /// Ends the browser's part.
    pub(crate) fn answer(self, text: &str, form: &Form) {
        answer(self.stream, "200 OK", &format!("<p>{}</p>", escaped(text)), form);
    }
}

/// The page with the button.
pub(crate) struct Form {
    /// GitHub's page, with the state.
    pub(crate) action: String,
    /// Where the browser may send the form: only to GitHub.
    pub(crate) origin: String,
    pub(crate) manifest: String,
    pub(crate) title: String,
    /// The App's name.
    pub(crate) name: String,
    /// What the App may do, `issues: write` each.
    pub(crate) permissions: Vec<String>,
}

impl Form {
    fn html(&self) -> String {
        let permissions = self.permissions.iter().map(|line| format!("<li><code>{}</code>", escaped(line)));
        format!(
            "<h1>{}</h1><p>The button takes you to GitHub. GitHub shows the App's name, <b>{}</b>, and asks you to confirm it. \
             Nothing is created before that.</p>\
             <p>Where it is installed, the App may do this. A token never gets more, and only by a policy:</p><ul>{}</ul>\
             <form method=\"post\" action=\"{}\"><input type=\"hidden\" name=\"manifest\" value=\"{}\">\
             <button autofocus>Create the App on GitHub</button></form>\
             <details><summary>The manifest that GitHub gets</summary><pre>{}</pre></details>",
            escaped(&self.title),
            escaped(&self.name),
            permissions.collect::<String>(),
            escaped(&self.action),
            escaped(&self.manifest),
            escaped(&self.manifest)
        )
    }
}

fn answer(mut stream: TcpStream, status: &str, body: &str, form: &Form) {
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>sts app create</title><style>:root{{color-scheme:light dark}}\
         body{{font:1rem/1.5 system-ui,sans-serif;max-width:38rem;margin:8vh auto;padding:0 1rem}}h1{{font-size:1.6rem}}\
         button{{font:inherit;font-weight:600;margin:.5rem 0 1.5rem;padding:.6rem 1.2rem;border:0;border-radius:.4rem;background:#1f6feb;color:#fff;cursor:pointer}}\
         summary{{cursor:pointer}}pre{{overflow:auto;background:#8882;padding:1rem;border-radius:.4rem}}</style><body>{body}"
    );
    // `no-referrer` would make browsers send `Origin: null` with the form, which a server may refuse.
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\
         Cache-Control: no-store\r\nReferrer-Policy: strict-origin\r\nX-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n\
         Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; form-action {} 'self'; frame-ancestors 'none'; base-uri 'none'\r\n\r\n",
        page.len(),
        form.origin
    );
    // A closed browser needs no page.
    drop(
        stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(page.as_bytes()))
            .and_then(|()| stream.flush()),
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_counts_with_our_state_alone() {
        assert_eq!(code_of("code=a1-_.b&state=s", "s"), Some("a1-_.b".to_owned()));
        for wrong in [
            "code=a&state=t",
            "code=a",
            "state=s",
            "code=&state=s",
            "code=a/../b&state=s",
            "code=a&code=b&state=s",
            "code=a&state=s&state=s",
            "code=a%2Fb&state=s",
            "",
        ] {
            assert_eq!(code_of(wrong, "s"), None, "{wrong}");
        }
    }
}
