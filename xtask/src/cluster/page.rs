//! Requests a page from one pod directly, past Service and proxies, to check that this pod serves.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{cluster::Cluster, errors::Problem, exposure::Address};

/// The limit for one page.
const LIMIT: Duration = Duration::from_secs(10);
/// The maximum size of a response's head.
const HEAD: usize = 16 * 1024;

impl Cluster {
    /// The pod's HTTP status for a page, after redirects. The request says that it came to `address`, as a proxy there says it.
    pub fn page_of_pod(&self, namespace: &str, pod: &str, port: u16, address: &Address, path: &str) -> Result<u16> {
        let mut path = path.to_owned();
        for _ in 0..4 {
            let head = self.head(namespace, pod, port, address, &path)?;
            let answer =
                parse(&head).with_context(|| format!("pod {pod} answers {path} with {:?}", head.lines().next().unwrap_or_default()))?;
            match answer.location {
                Some(to) if (300..400).contains(&answer.status) => path = to,
                _ => return Ok(answer.status),
            }
        }
        Err(Problem::new(format!("pod {pod} redirects {path} again and again")).into())
    }

    fn head(&self, namespace: &str, pod: &str, port: u16, address: &Address, path: &str) -> Result<String> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let proxy = if address.origin.starts_with("https://") { "X-Forwarded-Proto: https\r\n" } else { "" };
        let host = address.authority();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{proxy}User-Agent: pocdeploy\r\nConnection: close\r\n\r\n");
        let ask = async {
            let mut forward = api.portforward(pod, &[port]).await?;
            let mut text = Vec::new();
            if let Some(mut stream) = forward.take_stream(port) {
                // A broken connection ends the text; a text without a status is an error.
                if stream.write_all(request.as_bytes()).await.is_ok() {
                    // Stops before the end of the stream, since containerd keeps a half-closed stream open for one more second.
                    while !ends(&text) && text.len() < HEAD && stream.read_buf(&mut text).await.is_ok_and(|it| it > 0) {}
                }
            }
            forward.abort();
            Ok(String::from_utf8_lossy(&text).into_owned())
        };
        let timed = async {
            match tokio::time::timeout(LIMIT, ask).await {
                Ok(result) => result.map(Some),
                Err(_) => Ok(None),
            }
        };
        let Some(head) = self.call(timed).with_context(|| format!("ask pod {pod} for {path}"))? else {
            return Err(Problem::timed_out(format!("pod {pod} did not answer {path} within {} s", LIMIT.as_secs())).into());
        };
        Ok(head)
    }
}

/// Whether the text contains the whole head of a response.
fn ends(text: &[u8]) -> bool {
    text.windows(4).any(|it| it == b"\r\n\r\n")
}

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    /// The path of a redirect; for another host only its path is used.
    location: Option<String>,
}

fn parse(head: &str) -> Option<Answer> {
    let head = head.split("\r\n\r\n").next()?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    if !words.next()?.starts_with("HTTP/1.") {
        return None;
    }
    let status = words.next()?.parse().ok()?;
    let named =
        |line: &str| line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("location")).map(|(_, to)| to.trim().to_owned());
    let location = lines.find_map(named).map(|to| match to.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or_else(|| "/".to_owned(), |at| rest[at..].to_owned()),
        None => to,
    });
    Some(Answer { status, location })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_status_and_where_it_leads() {
        let answer = |status, location: Option<&str>| Some(Answer { status, location: location.map(str::to_owned) });
        assert_eq!(parse("HTTP/1.1 200 OK\r\nX: y\r\n\r\nlocation: no"), answer(200, None));
        assert_eq!(parse("HTTP/1.1 302 Found\r\nlocation: /polls/\r\n\r\n"), answer(302, Some("/polls/")));
        assert_eq!(parse("HTTP/1.1 301 Moved\r\nLocation: https://x.example:1/a?b\r\n\r\n"), answer(301, Some("/a?b")));
        assert_eq!(parse(""), None);
        assert_eq!(parse("garbage 200"), None);
    }
}
