//! The open TCP connections of this machine, with what has come through each: the kernel's answer to `ss -ti` (sock_diag(7)).
//!
//! `/proc` has no count of a connection's bytes, and that of a process (`/proc/PID/io`) misses what comes by `recv`, as curl and Python read.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use rustix::{
    io::Errno,
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, sendto, socket_with},
};

/// An end of a connection on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Connection {
    pub(super) server: SocketAddr,
    pub(super) received: u64,
}

const IPV4: u8 = 2;
const IPV6: u8 = 10;
const TCP: u8 = 6;
/// `TCP_ESTABLISHED` and `TCP_SYN_SENT`, as a set.
const OPEN: u32 = 1 << 1 | 1 << 2;
/// `SOCK_DIAG_BY_FAMILY`, and the messages that end an answer.
const ASK: u16 = 20;
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const ALL: u16 = 0x301;
/// `INET_DIAG_INFO`: the attribute with `struct tcp_info`, and where `tcpi_bytes_received` is in it.
const INFO: u16 = 2;
const RECEIVED: usize = 128;
/// `struct nlmsghdr`, and `struct inet_diag_msg`.
const HEADER: usize = 16;
const MESSAGE: usize = 72;

/// By the number of its socket, as `/proc/PID/fd` names it. An error where the kernel does not answer, as in a sandbox.
pub(super) fn open() -> Result<HashMap<u64, Connection>, Errno> {
    let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(netlink::SOCK_DIAG))?;
    let mut out = HashMap::new();
    for family in [IPV4, IPV6] {
        sendto(&socket, &request(family), SendFlags::empty(), &netlink::SocketAddrNetlink::new(0, 0))?;
        let mut answer = vec![0; 64 * 1024];
        loop {
            let (length, _) = recv(&socket, answer.as_mut_slice(), RecvFlags::empty())?;
            if !take(&answer[..length], &mut out)? {
                break;
            }
        }
    }
    Ok(out)
}

fn request(family: u8) -> [u8; MESSAGE] {
    let mut out = [0; MESSAGE];
    out[..4].copy_from_slice(&(MESSAGE as u32).to_ne_bytes());
    out[4..6].copy_from_slice(&ASK.to_ne_bytes());
    out[6..8].copy_from_slice(&ALL.to_ne_bytes());
    out[HEADER] = family;
    out[HEADER + 1] = TCP;
    out[HEADER + 2] = 1 << (INFO - 1);
    out[HEADER + 4..HEADER + 8].copy_from_slice(&OPEN.to_ne_bytes());
    out
}

/// Takes the connections of one part of an answer; whether more parts come.
fn take(mut part: &[u8], out: &mut HashMap<u64, Connection>) -> Result<bool, Errno> {
    while let (Some(length), Some(kind)) = (u32_at(part, 0), u16_at(part, 4)) {
        let message = part.get(HEADER..length as usize).ok_or(Errno::BADMSG)?;
        match kind {
            DONE => return Ok(false),
            ERROR => return Err(Errno::NOTSUP),
            _ => out.extend(connection(message)),
        }
        part = part.get((length as usize).next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(true)
}

fn connection(message: &[u8]) -> Option<(u64, Connection)> {
    // After four bytes `struct inet_diag_sockid`: two ports, two addresses of 16 bytes each.
    let port = u16::from_be_bytes(message.get(6..8)?.try_into().ok()?);
    let address = message.get(24..40)?;
    let ip = match message.first()? {
        &IPV4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(&address[..4]).ok()?)),
        _ => Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?).to_canonical(),
    };
    let inode = u32_at(message, MESSAGE - 4)?;
    let mut rest = message.get(MESSAGE..)?;
    while let (Some(length), Some(kind)) = (u16_at(rest, 0), u16_at(rest, 2)) {
        let length = usize::from(length);
        let content = rest.get(4..length)?;
        if kind == INFO {
            // A kernel older than 4.1 has no such number.
            let received = u64::from_ne_bytes(content.get(RECEIVED..RECEIVED + 8)?.try_into().ok()?);
            return Some((inode.into(), Connection { server: SocketAddr::new(ip, port), received }));
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{TcpListener, TcpStream},
        os::fd::AsRawFd as _,
    };

    use super::*;

    /// The number of a socket of this process.
    fn number(stream: &TcpStream) -> u64 {
        let link = std::fs::read_link(format!("/proc/self/fd/{}", stream.as_raw_fd())).unwrap();
        link.to_str().unwrap().trim_matches(|it: char| !it.is_ascii_digit()).parse().unwrap()
    }

    #[test]
    fn an_open_connection_is_there_with_its_server_and_what_came() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(host) else {
                assert!(host.starts_with('['), "no port on {host}");
                eprintln!("this machine has no IPv6");
                continue;
            };
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let mut server = listener.accept().unwrap().0;
            server.write_all(&[1; 5000]).unwrap();
            client.read_exact(&mut [0; 5000]).unwrap();
            let wanted = Connection { server: listener.local_addr().unwrap(), received: 5000 };
            assert_eq!(open().unwrap().get(&number(&client)), Some(&wanted));
        }
    }

    #[test]
    fn an_answer_that_is_cut_anywhere_is_refused_or_has_fewer_connections() {
        let mut whole = request(IPV4).to_vec();
        whole.resize(MESSAGE + HEADER, 0);
        let length = whole.len() as u32;
        whole[..4].copy_from_slice(&length.to_ne_bytes());
        for end in 0..whole.len() {
            take(&whole[..end], &mut HashMap::new()).ok();
        }
        assert_eq!(take(&whole[..40], &mut HashMap::new()), Err(Errno::BADMSG));
    }
}
