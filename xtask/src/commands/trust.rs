//! `trust`: how programs are told to trust this machine's certificate authority. Installs nothing.

use std::{fmt::Write as _, io::Write as _, path::Path};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::{
    authority::{Authority, DOMAIN, certificate_path},
    env::Env,
    errors::Problem,
    provider::provider,
};

pub(crate) fn run(env: &Env) -> Result<()> {
    let Some(authority) = Authority::read(env)? else {
        let hint = "set `tls = \"local\"` and `controller = \"traefik\"` in [ingress] of Pocdeploy.toml, then run `create`";
        return Err(Problem::config("this machine has no certificate authority of the tool's").hint(hint).into());
    };
    // An instance that does not run has no address.
    let url =
        env.config.has_tls().then(|| provider(env).connect(env).ok().and_then(|_| provider(env).address(env).ok()).flatten()).flatten();
    let url = url.map_or_else(|| format!("https://{}/", env.config.frontend.host), |it| it.url(&env.config.frontend.page));
    let shown = text(&certificate_path(env), authority.certificate(), &url)?;
    std::io::stdout().write_all(shown.as_bytes()).context("print how to trust the authority")
}

fn text(path: &Path, certificate: &[u8], url: &str) -> Result<String> {
    let path = quoted(path);
    let print = Sha256::digest(certificate).iter().map(|it| format!("{it:02X}")).collect::<Vec<_>>().join(":");
    let mut out = format!("{path}\nSHA-256 {print}\n\n");
    writeln!(out, "It certifies names under `.{DOMAIN}` only, and this machine alone has its key. Nothing trusts it by itself.\n")?;
    let ways = [
        ("curl", format!("curl --cacert {path} {url}"), String::new()),
        ("Node.js", format!("export NODE_EXTRA_CA_CERTS={path}"), "unset NODE_EXTRA_CA_CERTS".to_owned()),
        (
            "Chromium, Chrome (package libnss3-tools or nss-tools)",
            format!("mkdir -p ~/.pki/nssdb && certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n pocdeploy -i {path}"),
            "certutil -d sql:$HOME/.pki/nssdb -D -n pocdeploy".to_owned(),
        ),
        (
            "Firefox",
            "Settings, Privacy & Security, View Certificates, Authorities, Import: trust it for websites".to_owned(),
            "Delete or Distrust there".to_owned(),
        ),
        (
            "every program, on Debian and Ubuntu",
            format!("sudo install -m 0644 {path} /usr/local/share/ca-certificates/pocdeploy.crt && sudo update-ca-certificates"),
            "sudo rm /usr/local/share/ca-certificates/pocdeploy.crt && sudo update-ca-certificates --fresh".to_owned(),
        ),
        ("every program, on Fedora and Arch", format!("sudo trust anchor --store {path}"), format!("sudo trust anchor --remove {path}")),
        (
            "Windows, from WSL",
            format!("certutil.exe -user -addstore Root \"$(wslpath -w {path})\""),
            "certutil.exe -user -delstore Root \"pocdeploy, this machine's own\"".to_owned(),
        ),
    ];
    for (program, trust, forget) in ways {
        writeln!(out, "{program}\n  {trust}")?;
        if !forget.is_empty() {
            writeln!(out, "  to undo it: {forget}")?;
        }
    }
    Ok(out)
}

/// The path as one word of a shell.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = path.chars().all(|it| it.is_ascii_alphanumeric() || "/._-".contains(it));
    if is_plain { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_names_the_file_as_one_word() {
        let out = text(Path::new("/home/a user/it's/ca.crt"), b"abc", "https://shop.localhost:8080/").unwrap();
        assert!(out.contains(r"curl --cacert '/home/a user/it'\''s/ca.crt' https://shop.localhost:8080/"), "{out}");
        // Of the three bytes: `printf abc | sha256sum`.
        assert!(out.contains("SHA-256 BA:78:16:BF:8F:01:CF:EA:41:41:40:DE:5D:AE:22:23"), "{out}");
    }
}
