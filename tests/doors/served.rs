//! What may be wrong with a server of files, for the tests of downloads, and how they look at what came of it.

use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest as _, Sha256};

use crate::{http::Answer, support::Ran};

/// Nothing listens there without the rights of root.
pub(crate) const NOBODY: &str = "127.0.0.1:1";

/// What is wrong with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ill {
    Nothing,
    /// A byte of the file is another.
    Tampered,
    /// The index has the digest of the other bytes, too.
    TamperedWithDigest,
    /// The connection ends in the middle of the file.
    Cut,
    /// 1 kB/s come, of a file that takes hours so.
    Drips,
    /// Half of the file comes, and then nothing.
    Hangs,
    Unavailable,
    /// A proxy's login page instead of the file.
    Page,
    /// Nobody listens at the port.
    Closed,
    NoName,
    NoProxy,
    /// The server speaks no TLS.
    NoTls,
}

impl Ill {
    /// The answer to a request for the file `right`; `other` are the bytes of another one.
    pub(crate) fn file(self, right: &[u8], other: &[u8]) -> Answer {
        match self {
            Ill::Tampered | Ill::TamperedWithDigest => sent(other, other.len()),
            Ill::Cut => sent(&right[..right.len() / 2], right.len()),
            Ill::Drips => endless(Vec::new(), 100),
            Ill::Hangs => endless(right[..right.len() / 2].to_vec(), 0),
            _ => self.page().unwrap_or_else(|| sent(right, right.len())),
        }
    }

    /// The answer of a server that has no file now.
    pub(crate) fn page(self) -> Option<Answer> {
        let whole = |status, kind, body: &str| Some(Answer::Whole { status, kind, body: body.as_bytes().to_vec() });
        match self {
            Ill::Unavailable => whole(503, "text/plain", "busy"),
            Ill::Page => whole(200, "text/html", "<form>login</form>"),
            _ => None,
        }
    }

    /// The address of the server at this port as a client is told it, and its proxy.
    pub(crate) fn address(self, port: u16) -> (String, String) {
        let address = match self {
            Ill::Closed => format!("http://{NOBODY}"),
            Ill::NoName | Ill::NoProxy => "http://index.invalid".to_owned(),
            Ill::NoTls => format!("https://127.0.0.1:{}", without_tls()),
            _ => format!("http://127.0.0.1:{port}"),
        };
        (address, if self == Ill::NoProxy { format!("http://{NOBODY}") } else { String::new() })
    }
}

/// A file that caches may keep for a year, as registries allow it; `length` is what the server announces.
fn head(length: usize) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {length}\r\nDate: Fri, 01 Jan 2100 00:00:00 GMT\r\n\
         Cache-Control: max-age=31536000, immutable\r\nConnection: close\r\n\r\n"
    )
}

/// After `begin`, so many bytes ten times a second, until the client goes.
fn endless(begin: Vec<u8>, bytes: usize) -> Answer {
    Answer::Takeover(Box::new(move |out| {
        let mut gone = out.write_all(&[head(10_000_000).as_bytes(), &begin].concat()).is_err();
        if bytes == 0 {
            // The client says no more until it goes.
            out.read_exact(&mut [0]).unwrap_or_default();
        }
        while !gone && bytes > 0 {
            std::thread::sleep(Duration::from_millis(100));
            gone = out.write_all(&vec![0; bytes]).is_err();
        }
    }))
}

fn sent(body: &[u8], length: usize) -> Answer {
    let all = [head(length).as_bytes(), body].concat();
    // The client may have ended.
    Answer::Takeover(Box::new(move |out| out.write_all(&all).unwrap_or_default()))
}

/// The port of a server that answers the beginning of TLS as a web server without it does.
fn without_tls() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut begin = [0; 16];
            if stream.read_exact(&mut begin).is_ok() {
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok();
            }
        }
    });
    port
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut out, it| {
        write!(out, "{it:02x}").unwrap();
        out
    })
}

/// What is wrong with a run that must have failed by a download: its first line names the fault, it has a hint, and no file in the folders
/// `kept` has the other bytes.
pub(crate) fn wrong(what: &str, ran: &Ran, says: &[&str], kept: &[PathBuf], is_other: impl Fn(&[u8]) -> bool) -> Option<String> {
    let first = ran.stderr.split_once("error[").map(|it| it.1).unwrap_or_default().lines().next().unwrap_or_default();
    eprintln!("{what}: {} {first}", ran.code);
    let kept = holding(kept, is_other);
    let is_right = ran.code == 1
        && first.starts_with("E0118]")
        && says.iter().all(|it| first.contains(it))
        && ran.stderr.contains("\nhint: ")
        && kept.is_empty();
    (!is_right).then(|| format!("{what}: {} {kept:?}, not {says:?}\n{}", ran.code, ran.stderr))
}

/// The files below these folders with such a content.
pub(crate) fn holding(folders: &[PathBuf], is_such: impl Fn(&[u8]) -> bool) -> Vec<String> {
    let files = folders.iter().flat_map(|it| walkdir::WalkDir::new(it).into_iter().flatten()).filter(|it| it.file_type().is_file());
    let found = files.filter(|it| is_such(&fs::read(it.path()).unwrap_or_default()));
    found.map(|it| it.path().display().to_string()).collect()
}

/// Whether a file of this name is in the context of an image's build, with these bytes.
pub(crate) fn has_context(context: &[u8], name: &Path, bytes: &[u8]) -> bool {
    tar::Archive::new(context).entries().unwrap().any(|it| {
        let (mut entry, mut found) = (it.unwrap(), Vec::new());
        entry.path().unwrap().ends_with(name) && entry.read_to_end(&mut found).is_ok() && found == bytes
    })
}
