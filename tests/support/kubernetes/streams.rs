//! Commands in pods and forwarded ports: connections that are upgraded to WebSockets with numbered channels.

use std::sync::Arc;

use serde_json::json;
use tungstenite::{Message, WebSocket, handshake::derive_accept_key, protocol::Role};

use super::{Exec, Key};
use crate::http::{Answer, Request, Stream};

/// The command's output on channel 1 or 2, its status on channel 3.
pub(super) fn exec(exec: Option<Arc<Exec>>, request: &Request, key: &Key) -> Answer {
    let command: Vec<String> = request.query.iter().filter(|(name, _)| name == "command").map(|(_, it)| it.clone()).collect();
    let plain = plain(&command);
    let (text, code) = exec.map_or_else(|| (plain.to_owned(), 0), |exec| exec(&key.name, &command));
    let ended = if code == 0 {
        json!({ "status": "Success" })
    } else {
        let causes = json!([{ "reason": "ExitCode", "message": code.to_string() }]);
        json!({ "status": "Failure", "reason": "NonZeroExitCode", "message": "command terminated", "details": { "causes": causes } })
    };
    upgrade(request, move |socket| {
        say(socket, if code == 0 { 1 } else { 2 }, text.as_bytes());
        say(socket, 3, ended.to_string().as_bytes());
        close(socket);
    })
}

/// The answers of a small, healthy database.
fn plain(command: &[String]) -> &'static str {
    let has = |part: &str| command.iter().any(|it| it.contains(part));
    match () {
        // A query for wrong settings returns none.
        () if has("json_agg") => "[]\n",
        () if has("pg_dump") => "PGDMP, cut here",
        () if has("df --block-size") => "99999999999\n",
        // A script in the application's database reads facts; in another database it asks whether the databases were exchanged.
        () if has("--file=-") && has("dbname='polls'") => "{\"extensions\":{},\"public\":true,\"size\":1000}\n",
        () if has("--file=-") => "f\n",
        () => "42\n",
    }
}

/// Any port: a request gets a response with this status.
pub(super) fn forward(status: u16, request: &Request) -> Answer {
    let port: u16 = request.query("ports").and_then(|it| it.parse().ok()).unwrap_or_default();
    upgrade(request, move |socket| {
        say(socket, 0, &port.to_le_bytes());
        say(socket, 1, &port.to_le_bytes());
        while let Ok(message) = socket.read() {
            if message.is_binary() {
                say(socket, 0, format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes());
                close(socket);
            }
        }
    })
}

type Socket<'a> = WebSocket<&'a mut dyn Stream>;

/// `v5.channel.k8s.io`, which all current clients use.
fn upgrade(request: &Request, speak: impl FnOnce(&mut Socket<'_>) + Send + 'static) -> Answer {
    let accept = derive_accept_key(request.header("sec-websocket-key").as_bytes());
    Answer::Takeover(Box::new(move |stream| {
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        speak(&mut WebSocket::from_raw_socket(stream, Role::Server, None));
    }))
}

fn say(socket: &mut Socket<'_>, channel: u8, bytes: &[u8]) {
    // The client may have ended.
    socket.send(Message::binary([&[channel], bytes].concat())).ok();
}

/// Waits until the client has closed the connection, too.
fn close(socket: &mut Socket<'_>) {
    socket.close(None).ok();
    while socket.read().is_ok() {}
}
