//! A small HTTP/1.1 server for the fake doors: one thread for each connection; reads requests completely.
//!
//! The fakes produce the responses.

use std::{
    io::{BufRead as _, BufReader, Read, Write},
    net::TcpListener,
    os::unix::net::UnixListener,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

/// Both directions of a connection.
pub(crate) trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Without the query, percent-decoded.
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }
}

type Speak = dyn FnOnce(&mut dyn Stream) + Send;

pub(crate) enum Answer {
    Whole {
        status: u16,
        kind: &'static str,
        body: Vec<u8>,
    },
    /// The connection is closed without a response.
    Reset,
    /// The fake uses the connection itself, including the response's head, and then closes it.
    Takeover(Box<Speak>),
}

impl Answer {
    pub(crate) fn json(status: u16, value: &serde_json::Value) -> Answer {
        Answer::Whole { status, kind: "application/json", body: value.to_string().into_bytes() }
    }

    /// The messages of an engine's long task. Each line break comes alone, as it does with engines now and then.
    pub(crate) fn steps(messages: &[serde_json::Value]) -> Answer {
        let pieces = messages.iter().flat_map(|it| [it.to_string(), "\r\n".to_owned()]);
        let chunks: String = pieces.map(|it| format!("{:x}\r\n{it}\r\n", it.len())).collect();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
        // The client may have ended.
        Answer::Takeover(Box::new(move |stream| stream.write_all(format!("{head}{chunks}0\r\n\r\n").as_bytes()).unwrap_or_default()))
    }

    pub(crate) fn text(text: &str) -> Answer {
        Answer::Whole { status: 200, kind: "text/plain", body: text.as_bytes().to_vec() }
    }
}

type Handler = dyn Fn(&Request) -> Answer + Send + Sync;

/// What is wrong with a whole server: it reads each request and does this instead of answering.
#[derive(Clone, Debug)]
pub(crate) enum Ill {
    Answers(u16, &'static str, String),
    Closes,
    /// Until the fault ends.
    Hangs,
}

/// The fault of a server, and how many requests it answers rightly before it. All clones are of one server.
#[derive(Clone, Default)]
pub(crate) struct Health(Arc<Mutex<Option<(Ill, usize)>>>);

impl Health {
    pub(crate) fn fall(&self, ill: Ill, after: usize) {
        *self.0.lock().unwrap() = Some((ill, after));
    }

    pub(crate) fn recover(&self) {
        *self.0.lock().unwrap() = None;
    }

    /// The wrong answer to this request, if one is due. The text of an error is in a body, which no answer to HEAD has: such a fault begins
    /// with the next request.
    fn wrong(&self, request: &Request) -> Option<Answer> {
        let ill = match self.0.lock().unwrap().as_mut()? {
            (Ill::Answers(400.., ..), 0) if request.method == "HEAD" => return None,
            (ill, 0) => ill.clone(),
            (_, left) => {
                *left -= 1;
                return None;
            }
        };
        match ill {
            Ill::Answers(status, kind, body) => Some(Answer::Whole { status, kind, body: body.into_bytes() }),
            Ill::Closes => Some(Answer::Reset),
            Ill::Hangs => {
                while self.0.lock().unwrap().is_some() {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Some(Answer::Reset)
            }
        }
    }
}

/// Serves on a free port of this machine until the process ends; returns the port.
pub(crate) fn serve_tcp(health: &Health, handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let handler: Arc<Handler> = Arc::new(handler);
    let health = health.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (health, handler) = (health.clone(), handler.clone());
            std::thread::spawn(move || converse(stream, &health, handler.as_ref()));
        }
    });
    port
}

/// Serves on a unix socket until the process ends.
pub(crate) fn serve_unix(path: &Path, health: &Health, handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) {
    let listener = UnixListener::bind(path).unwrap();
    let handler: Arc<Handler> = Arc::new(handler);
    let health = health.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (health, handler) = (health.clone(), handler.clone());
            std::thread::spawn(move || converse(stream, &health, handler.as_ref()));
        }
    });
}

fn converse(stream: impl Stream, health: &Health, handler: &Handler) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream) {
        match health.wrong(&request).unwrap_or_else(|| handler(&request)) {
            Answer::Reset => return,
            Answer::Takeover(speak) => return speak(stream.get_mut()),
            Answer::Whole { status, kind, body } => {
                let head = format!("HTTP/1.1 {status} {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", word(status), body.len());
                let body: &[u8] = if request.method == "HEAD" { &[] } else { &body };
                if stream.get_mut().write_all(&[head.as_bytes(), body].concat()).is_err() {
                    return;
                }
            }
        }
    }
}

fn word(status: u16) -> &'static str {
    if status < 400 { "OK" } else { "Error" }
}

fn read(stream: &mut BufReader<impl Stream>) -> Option<Request> {
    let line = line(stream)?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let pairs = query.split('&').filter(|it| !it.is_empty());
    let query = pairs.map(|it| it.split_once('=').unwrap_or((it, ""))).map(|(name, value)| (decode(name), decode(value))).collect();
    let mut request = Request { method, path: decode(path), query, ..Request::default() };
    loop {
        let line = self::line(stream)?;
        let Some((name, value)) = line.split_once(':') else { break };
        request.headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    if request.header("transfer-encoding") == "chunked" {
        loop {
            let size = usize::from_str_radix(&self::line(stream)?, 16).ok()?;
            let mut chunk = vec![0; size];
            stream.read_exact(&mut chunk).ok()?;
            request.body.extend(chunk);
            self::line(stream)?;
            if size == 0 {
                break;
            }
        }
    } else {
        request.body = vec![0; request.header("content-length").parse().unwrap_or(0)];
        stream.read_exact(&mut request.body).ok()?;
    }
    Some(request)
}

fn line(stream: &mut BufReader<impl Stream>) -> Option<String> {
    let mut line = String::new();
    let count = stream.read_line(&mut line).ok()?;
    (count > 0).then(|| line.trim_end().to_owned())
}

fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digits = [bytes.next().unwrap_or(b'0'), bytes.next().unwrap_or(b'0')];
                out.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap_or("0"), 16).unwrap_or_default());
            }
            b'+' => out.push(b' '),
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
