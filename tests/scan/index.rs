//! What the package index answers before uv and pip ask it: the real script, and servers of the test's own.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use serde_json::Value;

use super::{Stub, python};

/// Asks a server that answers each connection by `answer`, which gets the request's lines.
fn asked(path: &str, answer: fn(&mut TcpStream, &str)) -> Option<String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let request: Vec<String> = lines.map_while(Result::ok).take_while(|it| !it.is_empty()).collect();
            answer(&mut stream, &request.join("\n"));
        }
    });
    let index = format!("http://{path}{place}/simple");
    let stub = Stub::new(&[]);
    let said =
        python(&stub, "index.py", &["idna", "1"], &[("PIP_INDEX_URL", &index), ("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1")]);
    let text = said.as_str().map(str::to_owned);
    assert_eq!(text.is_none(), said == Value::Null, "{said}");
    let shown = format!("the package index http://{place}/simple ");
    text.map(|it| it.strip_prefix(&shown).unwrap_or_else(|| panic!("{it}")).to_owned())
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
    assert_eq!(asked("", |stream, _| send(stream, "503 Service Unavailable", "no")), None);
    assert_eq!(asked("", |stream, _| drop(stream.shutdown(std::net::Shutdown::Both))), None);
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
    assert_eq!(asked("", never).as_deref(), Some("did not answer within 1 s"));
    let drips = |stream: &mut TcpStream, _: &str| {
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n").unwrap();
        while write!(stream, "x").and_then(|()| stream.flush()).is_ok() {
            thread::sleep(Duration::from_millis(100));
        }
    };
    let said = asked("", drips).unwrap();
    assert!(said.starts_with("sent ") && said.ends_with(" bytes in 1 s"), "{said}");
}
