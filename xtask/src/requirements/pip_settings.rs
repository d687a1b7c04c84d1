//! pip's settings in uv's words: a company configures pip, and uv does not read that.

/// uv's environment variables for what `pip config list` says. Values may carry credentials: they go into a child's
/// environment and nowhere else.
pub fn for_uv(listing: &str) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    for (key, name) in [
        ("index-url", "UV_DEFAULT_INDEX"),
        ("extra-index-url", "UV_INDEX"),
        ("find-links", "UV_FIND_LINKS"),
        ("trusted-host", "UV_INSECURE_HOST"),
        ("cert", "SSL_CERT_FILE"),
        ("proxy", "ALL_PROXY"),
    ] {
        if let Some(value) = value(listing, key) {
            let value = if key == "find-links" { value.split_whitespace().collect::<Vec<_>>().join(",") } else { value };
            out.push((name, value));
        }
    }
    out
}

/// The environment goes before the command's section, that before `global` (pip's documentation, "Precedence").
fn value(listing: &str, key: &str) -> Option<String> {
    for section in [":env:", "download", "install", "global"] {
        let prefix = format!("{section}.{key}=");
        if let Some(text) = listing.lines().find_map(|it| it.strip_prefix(&prefix)) {
            let inner = text.trim().trim_matches('\'').replace("\\n", " ");
            return Some(inner.trim().to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_company_mirror_reaches_uv() {
        let listing = "global.index-url='https://user:secret@pypi.example.com/simple'\nglobal.cert='/etc/ca.crt'\n:env:.cert='/other.crt'\nglobal.find-links='\\n/a\\n/b'\n";
        assert_eq!(
            for_uv(listing),
            [
                ("UV_DEFAULT_INDEX", "https://user:secret@pypi.example.com/simple".to_owned()),
                ("UV_FIND_LINKS", "/a,/b".to_owned()),
                ("SSL_CERT_FILE", "/other.crt".to_owned()),
            ]
        );
        assert_eq!(for_uv(""), []);
    }
}
