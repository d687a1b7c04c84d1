//! What went wrong with a download, from the words of the program that tried: pip, uv, npm, pnpm, yarn, Go, cargo, apt, git, OpenTofu.
//!
//! These programs say it in their own ways, pip only in a warning before it names another fault. Pure.

use crate::errors::{Code, Problem};

/// The longest part of a program's line that is shown.
const LONGEST: usize = 300;

/// What each word of a program means, the most certain ones first: in each row the meaning, and the words.
const MEANINGS: [(&str, &[&str]); 13] = [
    (
        "the server's certificate is not accepted",
        &[
            "CERTIFICATE_VERIFY_FAILED",
            "certificate verify failed",
            "invalid peer certificate",
            "x509: ",
            "SELF_SIGNED_CERT",
            "CERT_HAS_EXPIRED",
            "CERT_NOT_YET_VALID",
            "ERR_TLS_CERT_ALTNAME_INVALID",
            "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
            "UNABLE_TO_GET_ISSUER_CERT",
            "certificate verification failed",
            "SSL peer certificate",
            // npm has the address beside these words alone.
            "reason: certificate has expired",
            "reason: certificate is not yet valid",
            "reason: unable to verify the first certificate",
            "reason: Hostname/IP does not match certificate's altnames",
        ],
    ),
    (
        "the server speaks no TLS",
        &[
            "server gave HTTP response to HTTPS client",
            "WRONG_VERSION_NUMBER",
            "wrong version number",
            "packet length too long",
            "InvalidContentType",
        ],
    ),
    (
        "the proxy does not let the download through",
        &[
            "Cannot connect to proxy",
            "Unable to connect to proxy",
            "ProxyError",
            "proxyconnect",
            "Tunnel connection failed",
            "Proxy Authentication Required",
            "tunneling socket could not be established",
        ],
    ),
    ("the proxy's name does not resolve", &["Could not resolve proxy"]),
    (
        "the server's name does not resolve",
        &[
            "Name or service not known",
            "Temporary failure in name resolution",
            "failure in name resolution",
            "ENOTFOUND",
            "EAI_AGAIN",
            "no such host",
            "Could not resolve",
            "failed to lookup address",
            "No address associated with hostname",
            "dns error",
            "server misbehaving",
        ],
    ),
    ("the server refuses the connection", &["Connection refused", "connection refused", "ECONNREFUSED"]),
    // curl says so of a closed port, of a network that is away, and of a proxy that is.
    ("no connection to the server, or to the proxy, came about", &["Could not connect to server"]),
    (
        "the connection was cut",
        &[
            "not enough bytes were received",
            "IncompleteRead",
            "unexpected EOF",
            "\": EOF",
            "ECONNRESET",
            "Connection reset",
            "connection reset",
            "Connection broken",
            "Connection aborted",
            "end of file before message length reached",
            "connection closed before message completed",
            "Remote end closed connection",
            "network aborted",
            "Error: aborted",
            "Connection closed",
            "transfer closed",
            "Transferred a partial file",
            "Failure when receiving data from the peer",
            "early EOF",
            "hung up unexpectedly",
        ],
    ),
    (
        "the server does not answer in time",
        &[
            "Read timed out",
            "timed out",
            "ETIMEDOUT",
            "ERR_SOCKET_TIMEOUT",
            "ESOCKETTIMEDOUT",
            "i/o timeout",
            "timeout awaiting response",
            "network timeout at",
            "Idle timeout reached",
            "Timeout was reached",
        ],
    ),
    (
        "the server answers with an error",
        &[
            "500 Internal",
            "502 Bad Gateway",
            "503 Service",
            "504 Gateway",
            "429 Too Many",
            "403 Forbidden",
            "404 Not Found",
            "401 Unauthorized",
            "407 Proxy",
            "npm error code E5",
            "npm error code E4",
            "HTTP status server error",
            "HTTP error 5",
            "HTTP error 4",
            "error responses",
        ],
    ),
    ("the signature of an index does not fit", &["signatures were invalid", "signatures couldn't be verified"]),
    (
        "a web page answers instead of the server, such as a login page",
        &["Clearsigned file isn't valid", "is not valid JSON", "The only supported Content-Types are", "invalid character '<'"],
    ),
    (
        "a file is no package, as if it were cut or a web page",
        &["Failed to read from zip file", "not a valid zip file", "File is not a zip file", "Extracting tar content of"],
    ),
];

/// The words with which programs refuse bytes that do not fit their digest.
const OTHER_BYTES: [&str; 10] = [
    "DO NOT MATCH THE HASHES",
    "Hash mismatch",
    "EINTEGRITY",
    "ERR_PNPM_TARBALL_INTEGRITY",
    "Integrity check failed",
    "checksum mismatch",
    "failed to verify the checksum of",
    "changed between lock files",
    "Hash Sum mismatch",
    "File has unexpected size",
];

/// What is wrong, in one line; `None` if the words are about something else.
pub fn fault(said: &str) -> Option<String> {
    // After that, words such as "timed out" are those of the user's source.
    if said.lines().any(compiles) {
        return None;
    }
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    let is_other = |line: &str| OTHER_BYTES.iter().any(|it| line.contains(it));
    // apt says it twice, and the second time with the file.
    let at = lines.iter().position(|it| is_other(it) && it.contains("://")).or_else(|| lines.iter().position(|it| is_other(it)));
    let other = at.map(|at| changed_file(&lines, at));
    if let Some(file) = other.or_else(|| changed_provider(said)) {
        return Some(format!("{file} {NOT_PINNED}: other bytes came, and the tool kept none of them"));
    }
    // The last line is of the last attempt; one with an address says more.
    let found = MEANINGS.iter().find_map(|(meaning, words)| {
        let of = |line: &str| words.iter().any(|it| line.contains(it));
        let at = lines.iter().rposition(|it| of(it) && it.contains("://")).or_else(|| lines.iter().rposition(|it| of(it)))?;
        let place = place(&lines, at).map(|it| format!("{it}: ")).unwrap_or_default();
        Some(format!("{meaning}: {place}{}", shown(lines[at])))
    });
    found.or_else(|| Some(format!("the server answers with an error: {}", shown(lines.iter().rev().find(|it| has_status(it))?))))
}

/// Whether a line says that cargo or Go compiles; they download everything before.
pub(super) fn compiles(line: &str) -> bool {
    line.trim_start().starts_with("Compiling ") || line.starts_with("# ")
}

/// Whether an error of [`problem`] says that bytes were refused since they do not fit their digest. The program's own words may be cut off: pip
/// adds a line for each digest that would fit.
pub fn has_other_bytes(error: &str) -> bool {
    error.contains(NOT_PINNED)
}

const NOT_PINNED: &str = "is not what its pinned digest says";

/// Whether a line has an address, and a status of HTTP that is an error; its words are the server's.
fn has_status(line: &str) -> bool {
    let status = |it: &str| it.len() == 3 && it.parse::<u16>().is_ok_and(|it| matches!(it, 401 | 403 | 407 | 429 | 500..=599));
    line.contains("://") && line.split([' ', ':', '(', ')']).any(status)
}

/// The failure as an error, if its words say that a download failed.
pub fn problem(said: &str, rest: &str) -> Option<Problem> {
    let hint = "see that the address answers: cargo xtask doctor; then run the same command again, which goes on";
    fault(said).map(|it| Problem::new(format!("{it}\n{rest}")).code(Code::Download).hint(hint))
}

/// What was asked for, where this line does not say it: uv, cargo, npm and pnpm name it in a line before the reason.
fn place(lines: &[&str], at: usize) -> Option<String> {
    if lines[at].contains("://") {
        return None;
    }
    let is_of_it = |line: &str| ["Failed to fetch", "failed to download", "request to http", "GET http"].iter().any(|it| line.contains(it));
    lines[at.saturating_sub(6)..at].iter().rev().find_map(|line| {
        let between = |before: &str, after: &str| Some(line.split_once(before)?.1.split_once(after)?.0.to_owned());
        let named = between("The structure of ", " was ").or_else(|| between("Error while installing ", ":"));
        named.or_else(|| address(line).filter(|_| is_of_it(line)))
    })
}

/// The address in a line.
fn address(line: &str) -> Option<String> {
    let from = line.find("http://").or_else(|| line.find("https://"))?;
    let address = line[from..].split([' ', '#', '"', ')', ',', '`']).next()?.trim_end_matches([':', '.']);
    Some(without_user(address))
}

/// The file with the wrong bytes, as the program names it in this line or one near it.
fn changed_file(lines: &[&str], at: usize) -> String {
    let word =
        |line: &str, before: &str, end: char| Some(line.split_once(before)?.1.split(end).next()?.trim_matches(['`', '"', ':']).to_owned());
    let own = lines[at];
    // cargo adds a mirror's name in backticks of its own.
    let of_cargo = word(own, "checksum of `", '`')
        .or_else(|| word(own, "checksum for `", '`'))
        .map(|it| it.split(" (").next().unwrap_or_default().to_owned());
    let quoted = of_cargo.or_else(|| word(own, "Hash mismatch for `", '`'));
    let named = quoted.or_else(|| Some(own.strip_suffix(": checksum mismatch")?.rsplit(' ').next()?.to_owned()));
    // npm names the file in its warnings, which come first; pip and apt after the fault.
    let near = || {
        let after = lines[at..].iter().take(4);
        let before = lines[..at].iter().rev().filter(|it| it.contains("tarball data for ")).take(1);
        after.chain(before).find_map(|it| address(it))
    };
    named.or_else(near).unwrap_or_else(|| "a file".to_owned())
}

/// The provider whose archive OpenTofu or Terraform refuses, by its lock file or by what the registry says. They break a sentence at any blank.
fn changed_provider(said: &str) -> Option<String> {
    let words: Vec<&str> = said.split_whitespace().filter(|it| *it != "│").collect();
    let text = words.join(" ");
    if let Some((before, _)) = text.split_once(": archive has incorrect checksum ") {
        return Some(before.rsplit_once("Error while installing ")?.1.to_owned());
    }
    let (before, _) = text.split_once(" match any of the checksums")?;
    let mut named = before.rsplit_once("package for ")?.1.split(' ');
    Some(format!("{} {}", named.next()?, named.next()?))
}

/// An address without the user and password in it.
fn without_user(address: &str) -> String {
    match address.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            format!("{scheme}://{}/{path}", host.rsplit('@').next().unwrap_or(host))
        }
        None => address.to_owned(),
    }
}

/// A program's line without its own marks.
fn shown(line: &str) -> String {
    let marks = ["npm error ", "npm ERR! ", "network ", "WARNING: ", "ERROR: ", "error: ", "cause: ", "E: ", "WARN\u{2009}", "×"];
    let mut line = line;
    while let Some(rest) = marks.iter().find_map(|it| line.strip_prefix(it)) {
        line = rest.trim_start();
    }
    let words: Vec<String> =
        line.split_whitespace().map(|it| if it.contains("://") { without_user_in(it) } else { it.to_owned() }).collect();
    words.join(" ").chars().take(LONGEST).collect()
}

/// The same for an address in quotation marks or brackets.
fn without_user_in(word: &str) -> String {
    let from = word.find("http").unwrap_or(0);
    let (before, address) = word.split_at(from);
    if address.contains('@') { format!("{before}{}", without_user(address)) } else { word.to_owned() }
}

#[cfg(test)]
mod tests;
