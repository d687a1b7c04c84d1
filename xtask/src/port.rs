//! TCP ports of this machine: which are free, and which program uses one.

use std::net::TcpListener;

use anyhow::Result;

use crate::{
    engine::Engine,
    errors::{Code, Problem},
};

/// The first port of the search.
pub const FIRST: u16 = 8080;
/// The number of ports to try.
const TRIES: u16 = 100;

/// A port, and a message about the choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub port: u16,
    pub note: Option<String>,
}

/// The configured port, or an error with the program that uses it; otherwise the first free port, with a message about a used one. Skips
/// ports in `lost`, which another program took after they were chosen.
pub fn choose(set: Option<u16>, engine: &Engine, lost: &[u16]) -> Result<Choice> {
    choose_with(set, &|port| !lost.contains(&port) && is_free(port), &|port| holder(port, Some(engine)))
}

/// Whether an engine's error says that a port is in use. The first text is from Docker before 28, the second from later versions and from
/// Podman.
pub fn was_lost(words: &str) -> bool {
    ["port is already allocated", "address already in use"].iter().any(|it| words.contains(it))
}

/// The program that uses the port; `None` if it is free.
pub fn taken_by(port: u16, engine: Option<&Engine>) -> Option<String> {
    (!is_free(port)).then(|| holder(port, engine))
}

fn choose_with(set: Option<u16>, is_free: &dyn Fn(u16) -> bool, holder: &dyn Fn(u16) -> String) -> Result<Choice> {
    if let Some(port) = set {
        if is_free(port) {
            return Ok(Choice { port, note: None });
        }
        let what = format!("port {port} is taken by {}", holder(port));
        return Err(Problem::requirement(what)
            .code(Code::PortTaken)
            .hint("end that program, set another `cluster.port` in Pocdeploy.toml, or leave the key out to take the next free port")
            .into());
    }
    for port in FIRST..FIRST + TRIES {
        if is_free(port) {
            let note = (port != FIRST).then(|| format!("port {FIRST} is taken by {}: using {port}", holder(FIRST)));
            return Ok(Choice { port, note });
        }
    }
    let what = format!("no port between {FIRST} and {} is free", FIRST + TRIES - 1);
    Err(Problem::requirement(what).code(Code::PortTaken).hint("set `cluster.port` in Pocdeploy.toml to a free one").into())
}

fn is_free(port: u16) -> bool {
    let is_open = |address| match TcpListener::bind((address, port)) {
        Ok(_) => true,
        Err(error) => is_only_forbidden(&error),
    };
    is_open("127.0.0.1") && is_open("0.0.0.0")
}

/// This user may be unable to listen on a port below 1024, although the engine can.
fn is_only_forbidden(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::PermissionDenied
}

/// The container that publishes the port, or else the process that listens on it, if this user can see it.
fn holder(port: u16, engine: Option<&Engine>) -> String {
    if let Some(name) = engine.and_then(|it| it.containers_publishing(port).ok()?.into_iter().next()) {
        return format!("container {name}");
    }
    process(port).unwrap_or_else(|| "a process that this user may not see".to_owned())
}

fn process(port: u16) -> Option<String> {
    let mut sockets = procfs::net::tcp().unwrap_or_default();
    sockets.extend(procfs::net::tcp6().unwrap_or_default());
    let listening = sockets.into_iter().find(|it| it.local_address.port() == port && it.state == procfs::net::TcpState::Listen)?;
    for process in procfs::process::all_processes().ok()?.flatten() {
        let Ok(files) = process.fd() else { continue };
        let holds = files.flatten().any(|it| matches!(it.target, procfs::process::FDTarget::Socket(inode) if inode == listening.inode));
        if holds {
            let name = process.stat().map(|it| it.comm).unwrap_or_default();
            return Some(format!("`{name}` (process {})", process.pid));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_of_this_process_is_found_by_its_port() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!is_free(port));
        let found = process(port).unwrap();
        assert!(found.contains(&format!("process {}", std::process::id())), "{found}");
    }

    #[test]
    fn the_next_free_port_is_taken_and_said() {
        let choice = choose_with(None, &|port| port > FIRST + 1, &|_| "`nginx` (process 7)".to_owned()).unwrap();
        assert_eq!(choice, Choice { port: FIRST + 2, note: Some("port 8080 is taken by `nginx` (process 7): using 8082".to_owned()) });
    }

    #[test]
    fn a_port_that_is_lost_to_another_run_is_known_by_the_engines_words() {
        for words in [
            "driver failed programming external connectivity on endpoint a: Bind for 127.0.0.1:8081 failed: port is already allocated",
            "failed to bind host port 127.0.0.1:8081/tcp: address already in use",
            "rootlessport listen tcp 127.0.0.1:8081: bind: address already in use",
        ] {
            assert!(was_lost(words), "{words}");
        }
        assert!(!was_lost("could not find a log line that matches \"Reached target .*Multi-User System.*\""));
        assert!(is_only_forbidden(&std::io::ErrorKind::PermissionDenied.into()));
        assert!(!is_only_forbidden(&std::io::ErrorKind::AddrInUse.into()));
    }

    #[test]
    fn a_port_set_by_hand_is_never_replaced() {
        let error = choose_with(Some(9000), &|_| false, &|_| "container web".to_owned()).unwrap_err();
        assert_eq!(error.to_string(), "port 9000 is taken by container web");
        assert_eq!(choose_with(Some(9000), &|_| true, &|_| String::new()).unwrap(), Choice { port: 9000, note: None });
    }
}
