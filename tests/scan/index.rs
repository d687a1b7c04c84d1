//! What the package index answers before uv and pip ask it: the real script, and servers of the test's own.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use serde_json::Value;

use super::{
    Stub,
    certificates::{self, Server},
    python,
};

/// In seconds, for an answer that comes: a busy machine needs one to start Python.
const ENOUGH: &str = "10";

/// Asks a server that answers each connection by `answer`, which gets the request's lines.
fn asked(path: &str, answer: fn(&mut TcpStream, &str)) -> Option<String> {
    asked_within(ENOUGH, path, answer)
}

fn asked_within(seconds: &str, path: &str, answer: fn(&mut TcpStream, &str)) -> Option<String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let request: Vec<String> = lines.map_while(Result::ok).take_while(|it| !it.is_empty()).collect();
            answer(&mut stream, &request.join("\n"));
        }
    });
    let text = said_within(seconds, &format!("http://{path}{place}/simple"), &[]);
    let shown = format!("the package index http://{place}/simple ");
    text.map(|it| it.strip_prefix(&shown).unwrap_or_else(|| panic!("{it}")).to_owned())
}

/// What the script says of an index, with more variables; `None` if it leaves the word to pip.
fn said(index: &str, more: &[(&str, &str)]) -> Option<String> {
    said_within(ENOUGH, index, more)
}

fn said_within(seconds: &str, index: &str, more: &[(&str, &str)]) -> Option<String> {
    // The machine may have other places of files, which would do without the index.
    let mut variables =
        vec![("PIP_INDEX_URL", index), ("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1"), ("PIP_FIND_LINKS", ""), ("PIP_CERT", "")];
    variables.extend(more);
    let said = python(&Stub::new(&[]), "index.py", &["idna", seconds], &variables);
    let text = said.as_str().map(str::to_owned);
    assert_eq!(text.is_none(), said == Value::Null, "{said}");
    text
}

fn send(stream: &mut TcpStream, head: &str, body: &str) {
    write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).ok();
}

#[test]
fn an_index_in_either_of_its_formats_is_one_and_an_error_with_a_name_is_pips_to_tell() {
    let html = |stream: &mut TcpStream, request: &str| {
        assert!(request.starts_with("GET /simple/idna/ "), "{request}");
        send(stream, "200 OK\r\nContent-Type: text/html", "<a href=\"../../idna-3.10-py3-none-any.whl#sha256=0\">idna</a>");
    };
    assert_eq!(asked("", html), None);
    let json = |stream: &mut TcpStream, _: &str| {
        send(stream, "200 OK\r\nContent-Type: application/vnd.pypi.simple.v1+json", "{\"files\": []}");
    };
    assert_eq!(asked("", json), None);
    assert_eq!(asked("", |stream, _| send(stream, "404 Not Found", "no")), None);
    assert_eq!(asked("", |stream, _| send(stream, "401 Unauthorized", "no")), None);
}

#[test]
fn a_page_without_packages_is_none_and_credentials_are_sent_and_never_shown() {
    let login = |stream: &mut TcpStream, request: &str| {
        // `user:p@ss` in base64.
        assert!(request.contains("Authorization: Basic dXNlcjpwQHNz"), "{request}");
        send(stream, "200 OK\r\nContent-Type: text/html; charset=utf-8", "<form><input name=user></form>");
    };
    assert_eq!(
        asked("user:p%40ss@", login).as_deref(),
        Some("answers with a web page that lists no file of a package, such as a login page")
    );
}

#[test]
fn an_answer_that_does_not_come_or_drips_is_not_waited_for() {
    let never = |_: &mut TcpStream, _: &str| thread::sleep(Duration::from_secs(5));
    assert_eq!(asked_within("1", "", never).as_deref(), Some("did not answer within 1 s"));
    let drips = |stream: &mut TcpStream, _: &str| {
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n").unwrap();
        while write!(stream, "x").and_then(|()| stream.flush()).is_ok() {
            thread::sleep(Duration::from_millis(100));
        }
    };
    let said = asked_within("4", "", drips).unwrap();
    assert!(said.starts_with("sent ") && said.ends_with(" bytes in 4 s"), "{said}");
}

#[test]
fn a_server_that_fails_or_is_not_reached_is_named_since_pip_would_say_that_the_package_does_not_exist() {
    assert_eq!(
        asked("", |stream, _| send(stream, "503 Service Unavailable", "no")).as_deref(),
        Some("answers with an error: 503 Service Unavailable")
    );
    let closes = asked("", |stream, _| drop(stream.shutdown(std::net::Shutdown::Both))).unwrap();
    assert!(closes.starts_with("does not answer: Remote end closed connection"), "{closes}");
    let cut = |stream: &mut TcpStream, _: &str| {
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5000\r\n\r\n<a href").unwrap();
    };
    assert_eq!(asked("", cut).as_deref(), Some("sent 7 of 5000 bytes"));
    // A server that restarts is none that is away.
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let restarts = |stream: &mut TcpStream, _: &str| match ASKED.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => send(stream, "503 Service Unavailable", "no"),
        _ => send(stream, "200 OK\r\nContent-Type: text/html", "<a href=\"idna-3.10-py3-none-any.whl\">idna</a>"),
    };
    assert_eq!(asked("", restarts), None);
    assert_eq!(ASKED.load(Ordering::Relaxed), 3);
    // A port that nobody has.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = said(&format!("http://{free}/simple"), &[]).unwrap();
    assert_eq!(refused, format!("the package index http://{free}/simple does not answer: Connection refused"));
    let unknown = said("http://index.invalid/simple", &[("PIP_PROXY", "")]).unwrap();
    assert!(unknown.starts_with("the package index http://index.invalid/simple does not answer: its name does not resolve: "), "{unknown}");
    let proxy = format!("http://{free}");
    let proxied = said("http://index.invalid/simple", &[("PIP_PROXY", &proxy)]).unwrap();
    assert_eq!(
        proxied,
        format!("the package index http://index.invalid/simple does not answer through the proxy {free}: Connection refused")
    );
    // pip's option not to use those of the environment.
    let away = [("http_proxy", proxy.as_str()), ("no_proxy", ""), ("NO_PROXY", "")];
    let way = |more: &[(&str, &str)]| said("http://index.invalid/simple", &[&away[..], more].concat()).unwrap();
    assert!(way(&[]).contains(" does not answer through the proxy "));
    assert!(way(&[("PIP_NO_PROXY_ENV", "1")]).contains(" does not answer: its name does not resolve: "));
    // Another place may have the files.
    assert_eq!(said(&format!("http://{free}/simple"), &[("PIP_FIND_LINKS", "/opt/wheels")]), None);
}

#[test]
fn a_certificate_that_is_not_accepted_is_named_with_the_reason_and_a_trusted_host_needs_none() {
    let dir = certificates::made();
    let authority = dir.path().join("ca.pem");
    let own = [("PIP_CERT", authority.to_str().unwrap())];
    for (certificate, variables, wrong) in [
        ("right", &own[..], None),
        ("right", &[], Some("unable to get local issuer certificate")),
        ("right", &[("PIP_TRUSTED_HOST", "127.0.0.1")], None),
        ("other", &own, Some("IP address mismatch, certificate is not valid for '127.0.0.1'")),
        ("past", &own, Some("certificate has expired")),
        ("future", &own, Some("certificate is not yet valid")),
    ] {
        let server = Server::start(dir.path(), certificate);
        let index = format!("https://127.0.0.1:{}/simple", server.port);
        let found = said(&index, variables);
        drop(server);
        let expected = wrong.map(|it| format!("the package index {index} does not answer: its certificate is not accepted: {it}"));
        assert_eq!(found.map(|it| it.trim_end_matches('.').to_owned()), expected, "{certificate}");
    }
}
