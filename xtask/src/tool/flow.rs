//! Whether a program that downloads gets anything, from outside: what its processes receive, read, write, compute and say.
//!
//! No setting of these programs bounds a download that drips: the timeouts of npm, pnpm, yarn, pip and cargo begin again with each byte, and Go has
//! none for the content of an answer. Nor does a limit on the whole time: a big file through a slow line is no fault.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    net::SocketAddr,
    time::{Duration, Instant},
};

use procfs::{
    ProcError,
    process::{FDTarget, Process, all_processes},
};

use crate::{
    errors::{Code, Problem},
    tool::sockets::{self, Connection},
};

/// What a download must bring to go on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) within: Duration,
    /// In that time.
    pub(super) bytes: u64,
}

impl Default for Patience {
    /// 2 kB/s; a slow line has more than this. A proxy may fetch a file and look through it before it passes the first byte on, which may take
    /// minutes for a large one. npm gives up by itself after five minutes without a byte, and then tries again.
    fn default() -> Patience {
        Patience { within: Duration::from_secs(240), bytes: 480_000 }
    }
}

/// A group that computes for this part of the time is at work, such as one that unpacks or compiles.
const AT_WORK: u32 = 60;
/// A program reads or writes each byte that it receives at most so many times.
const OFTEN: u64 = 4;
/// A look reads all of `/proc`.
const LOOK: Duration = Duration::from_secs(2);

/// What a group of processes has done so far.
#[derive(Clone, Copy, Debug)]
struct Done {
    received: u64,
    read: u64,
    written: u64,
    computed: Duration,
}

/// A group that waits for servers, and what has come since it began to.
#[derive(Clone, Debug)]
pub(super) struct Still {
    servers: BTreeSet<SocketAddr>,
    bytes: u64,
    time: Duration,
    patience: Patience,
}

/// Watches a group of processes.
pub(super) struct Flow {
    group: i32,
    patience: Patience,
    /// A command that ends soon is not looked at.
    looked: Instant,
    base: Option<Base>,
    still: Option<Still>,
    /// What has come through each connection that was open at the last look; `received` is the sum over all that were open at any look.
    each: HashMap<u64, u64>,
    received: u64,
}

/// The last moment at which the group was at work.
#[derive(Clone, Copy)]
struct Base {
    since: Instant,
    done: Done,
    /// When it was last connected to a server.
    connected: Instant,
}

impl Flow {
    pub(super) fn of(group: i32, patience: Patience) -> Flow {
        Flow { group, patience, looked: Instant::now(), base: None, still: None, each: HashMap::new(), received: 0 }
    }

    /// What the group waits for, if it waits; its last line came at `said`.
    pub(super) fn look(&mut self, said: Instant) -> Option<&Still> {
        if self.looked.elapsed() >= LOOK.min(self.patience.within / 10) {
            self.looked = Instant::now();
            self.still = self.seen().and_then(|(done, servers)| self.judge(done, servers, said, Instant::now()));
        }
        self.still.as_ref()
    }

    fn judge(&mut self, done: Done, servers: BTreeSet<SocketAddr>, said: Instant, now: Instant) -> Option<Still> {
        let fresh = Base { since: now, done, connected: now };
        if servers.is_empty() {
            // Between two attempts, or it waits for something else.
            self.base = self.base.filter(|it| now.duration_since(it.connected) < self.patience.within / 4);
            return None;
        }
        let base = self.base.get_or_insert(fresh);
        base.connected = now;
        let (before, since) = (base.done, base.since);
        // What came through connections that opened and ended between two looks is in these two alone; but programs write what they get twice, and read
        // little things of their own. A process that nobody waited for takes its numbers with it.
        let bytes = || {
            let (read, written) = (done.read.checked_sub(before.read)?, done.written.checked_sub(before.written)?);
            Some((read.max(written) / OFTEN).max(done.received - before.received))
        };
        match bytes().zip(done.computed.checked_sub(before.computed)) {
            Some((bytes, computed)) if said <= since && bytes < self.patience.bytes && computed < self.patience.within / AT_WORK => {
                Some(Still { servers, bytes, time: now.duration_since(since), patience: self.patience })
            }
            _ => {
                self.base = Some(fresh);
                None
            }
        }
    }

    /// What the group has done, and the servers that it is connected to; nothing if this user may not see it.
    fn seen(&mut self) -> Option<(Done, BTreeSet<SocketAddr>)> {
        let open = sockets::open().ok()?;
        let mut done = Done { received: 0, read: 0, written: 0, computed: Duration::ZERO };
        let mut own = HashMap::new();
        for process in all_processes().ok()?.flatten() {
            let Ok(stat) = process.stat() else { continue };
            if stat.pgrp != self.group || stat.state == 'Z' {
                continue;
            }
            let io = match process.io() {
                Ok(io) => io,
                // It has ended meanwhile: its parent has its numbers soon.
                Err(ProcError::NotFound(_)) => continue,
                Err(_) => return None,
            };
            done.read += io.rchar;
            done.written += io.wchar;
            let ticks = stat.utime + stat.stime + u64::try_from(stat.cutime + stat.cstime).unwrap_or(0);
            done.computed += Duration::from_millis(ticks * 1000 / procfs::ticks_per_second());
            own.extend(connections(&process, &open));
        }
        let before = std::mem::take(&mut self.each);
        for (socket, connection) in &own {
            self.received += connection.received.saturating_sub(before.get(socket).copied().unwrap_or(0));
            self.each.insert(*socket, connection.received);
        }
        done.received = self.received;
        Some((done, own.into_values().map(|it| it.server).collect()))
    }
}

impl Still {
    /// The end of the patience, as an error about this command.
    pub(super) fn over(&self, shown: &str, last: Option<String>) -> Option<Problem> {
        if self.time < self.patience.within {
            return None;
        }
        let last = last.map(|it| format!("; its last line: {it}")).unwrap_or_default();
        let hint =
            "see that the address answers, and what is before it, such as a proxy: cargo xtask doctor; then run the same command again";
        Some(Problem::new(format!("{self}: `{shown}` was stopped{last}")).code(Code::Download).hint(hint))
    }
}

impl fmt::Display for Still {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<String> = self.servers.iter().map(ToString::to_string).collect();
        write!(f, "the download from {} ", servers.join(", "))?;
        let seconds = self.time.as_secs().max(1);
        // A program reads some files of its own while nothing comes.
        match self.bytes / seconds {
            ..100 => write!(f, "hangs, for {seconds} s now"),
            each => write!(f, "gives {}.{} kB/s, for {seconds} s now", each / 1000, each % 1000 / 100),
        }
    }
}

/// Those of `open` that belong to the process.
fn connections(process: &Process, open: &HashMap<u64, Connection>) -> Vec<(u64, Connection)> {
    let files = process.fd().into_iter().flatten().flatten();
    let sockets = files.filter_map(|it| if let FDTarget::Socket(inode) = it.target { Some(inode) } else { None });
    sockets.filter_map(|it| Some((it, *open.get(&it)?))).collect()
}

#[cfg(test)]
mod tests;
