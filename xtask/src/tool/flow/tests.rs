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

/// Whether a program is stopped that is looked at every 50 s for 400 s. `seen` has what it has done by then, and whether it is connected and has
/// just said something.
fn is_stopped(seen: impl Fn(u64) -> (Done, bool, bool)) -> bool {
    let began = Instant::now();
    let mut flow = Flow::of(0, Patience::default());
    (0..=8).map(|look| look * 50).any(|at| {
        let now = began + Duration::from_secs(at);
        let (done, is_connected, says) = seen(at);
        let servers = if is_connected { BTreeSet::from(["192.0.2.1:443".parse().unwrap()]) } else { BTreeSet::new() };
        let still = flow.judge(done, servers, if says { now } else { began }, now);
        still.and_then(|it| it.over("x", None)).is_some()
    })
}

#[test]
fn a_program_that_is_at_work_is_not_stopped_while_it_is_connected() {
    let none = Done { received: 0, read: 0, written: 0, computed: Duration::ZERO };
    assert!(is_stopped(|_| (none, true, false)), "it hangs");
    assert!(is_stopped(|at| (Done { received: at * 1000, ..none }, true, false)), "1 kB/s");
    assert!(is_stopped(|at| (none, at != 100, false)), "it connects once more");
    assert!(is_stopped(|at| (Done { written: at * 1000, ..none }, true, false)), "it writes down what drips");
    for (what, is_stopped) in [
        ("50 kB/s", is_stopped(|at| (Done { received: at * 50_000, ..none }, true, false))),
        ("it unpacks", is_stopped(|at| (Done { written: at * 50_000, ..none }, true, false))),
        ("it reads its cache", is_stopped(|at| (Done { read: at * 50_000, ..none }, true, false))),
        ("it compiles", is_stopped(|at| (Done { computed: Duration::from_secs(at / 10), ..none }, true, false))),
        ("it says what it does", is_stopped(|at| (none, true, at % 200 == 0))),
        ("it is not connected", is_stopped(|_| (none, false, false))),
        ("it was not connected for two minutes", is_stopped(|at| (none, !(100..=200).contains(&at), false))),
        ("a process has ended with its numbers", is_stopped(|at| (Done { read: if at < 200 { 9000 } else { 0 }, ..none }, true, false))),
    ] {
        assert!(!is_stopped, "{what}");
    }
}
