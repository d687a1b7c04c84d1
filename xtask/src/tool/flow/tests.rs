//! Real programs with servers of the test's own that hang, drip, or give a file slowly.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    sync::Arc,
};

use xshell::cmd;

use super::*;
use crate::{
    errors::render,
    graph::TaskId,
    interrupt::Interrupt,
    report::{Event, Recorder},
    tool::Tools,
};

/// A server that sends so many bytes ten times a second, so many times; and its address.
fn serve(bytes: usize, times: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                stream.read_exact(&mut [0; 4]).unwrap();
                // The client may have been stopped.
                let mut send = || stream.write_all(&vec![b'x'; bytes]).is_ok();
                (0..times).all(|_| {
                    std::thread::sleep(Duration::from_millis(100));
                    send()
                });
            });
        }
    });
    address
}

/// Reads without a word until the server ends, as curl and Python do.
const CLIENT: &str = "import socket, sys
host, port = sys.argv[1].split(':')
server = socket.create_connection((host, int(port)))
server.sendall(b'GET ')
while server.recv(65536): pass
";

fn fetch(dir: &Path, server: &str) -> (Result<(), anyhow::Error>, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    let tools = Tools::new(dir.to_owned(), Interrupt::default(), recorder.clone()).with_patience(Duration::from_secs(6), 12_000);
    let sh = tools.shell(dir).unwrap();
    let command = cmd!(sh, "python3 -c {CLIENT} {server}");
    (tools.fetching().run_watched(TaskId::Image, command, Duration::from_secs(100), |_| ()), recorder)
}

#[test]
fn a_download_that_hangs_or_drips_is_stopped_with_its_server_and_one_that_moves_is_not() {
    let dir = tempfile::tempdir().unwrap();
    for (bytes, says) in [(0, "hangs, for "), (100, "kB/s, for ")] {
        let server = serve(bytes, usize::MAX);
        let (ended, recorder) = fetch(dir.path(), &server);
        let text = render(&ended.unwrap_err());
        let first = text.lines().next().unwrap();
        assert!(first.contains(&format!("the download from {server} ")) && first.contains("E0118"), "{text}");
        assert!(first.contains(says) && text.contains("hint: "), "{text}");
        let events = recorder.0.lock().unwrap();
        assert!(events.iter().any(|it| matches!(&it.1, Event::Waiting(it) if it.seen.contains(&server))), "{events:?}");
    }
    // 50 kB/s for longer than the patience.
    fetch(dir.path(), &serve(5000, 90)).0.unwrap();
}
