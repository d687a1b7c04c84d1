//! `config show`: every key with the value that counts, and where it comes from. Data on standard output.

use std::io::Write as _;

use anyhow::{Context as _, Result};

use crate::config::{Resolved, keys::KEYS};

pub(crate) fn show(resolved: &Resolved, origin: bool) -> Result<()> {
    let mut out = String::new();
    for key in &KEYS {
        let line = format!("{:<24} {:<36}", key.path, (key.show)(&resolved.config));
        if origin {
            out.push_str(&format!("{line} {}\n", resolved.origin(key.path)));
        } else {
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
    for (host, mirror) in &resolved.config.images.mirrors {
        out.push_str(&format!("images.mirrors {host} = {mirror}\n"));
    }
    std::io::stdout().write_all(out.as_bytes()).context("print the configuration")
}
