//! The certificates of kubeadm and the kubelet in the node's file system. Never reads private keys.

use anyhow::Result;

use crate::{
    cluster::certificate::{self, Certificate},
    engine::Engine,
};

const FILES: [&str; 10] = [
    "/etc/kubernetes/pki/ca.crt",
    "/etc/kubernetes/pki/apiserver.crt",
    "/etc/kubernetes/pki/apiserver-kubelet-client.crt",
    "/etc/kubernetes/pki/apiserver-etcd-client.crt",
    "/etc/kubernetes/pki/front-proxy-ca.crt",
    "/etc/kubernetes/pki/front-proxy-client.crt",
    "/etc/kubernetes/pki/etcd/ca.crt",
    "/etc/kubernetes/pki/etcd/server.crt",
    "/var/lib/kubelet/pki/kubelet.crt",
    "/var/lib/kubelet/pki/kubelet-client-current.pem",
];

pub(super) fn read(engine: &Engine, node: &str) -> Result<Vec<Certificate>> {
    // Prints each file's name and its certificates only. Missing files are skipped.
    let command = ["sed", "-s", "-n", "-e", "1F", "-e", "/-BEGIN CERTIFICATE-/,/-END CERTIFICATE-/p"];
    let shown = engine.exec(node, &[command.as_slice(), &FILES].concat())?.stdout;
    let mut out = Vec::new();
    for (name, text) in split(&shown) {
        out.extend(certificate::read(&name, text.as_bytes())?);
    }
    Ok(out)
}

/// Splits into file names and their lines.
fn split(shown: &str) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    for line in shown.lines() {
        if line.starts_with('/') && FILES.contains(&line) {
            let short = line.rsplit('/').next().unwrap_or(line);
            let name = if line.contains("/etcd/") { format!("etcd/{short}") } else { short.to_owned() };
            out.push((name, String::new()));
        } else if let Some((_, text)) = out.last_mut() {
            text.push_str(line);
            text.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_keeps_its_lines() {
        let shown = "/etc/kubernetes/pki/ca.crt\n-----BEGIN\n/base64+\n/etc/kubernetes/pki/etcd/ca.crt\nx\n";
        let found = split(shown);
        assert_eq!(found, [("ca.crt".to_owned(), "-----BEGIN\n/base64+\n".to_owned()), ("etcd/ca.crt".to_owned(), "x\n".to_owned())]);
    }
}
