//! Pocdeploy.toml: only what is not the default.

use std::path::Path;

use crate::recognise::{Command, Recognised, ServiceKind, Stack};

/// The port that is asked without a key.
const PORT: u16 = 8000;

/// `name` is a DNS label: namespace, image and host are called so. `dockerfile` is the place of the one that is written.
pub(super) fn text(name: &str, source: &Path, found: &Recognised, dockerfile: &str) -> String {
    let path = if source.as_os_str().is_empty() { Path::new(".") } else { source };
    let mut out = format!("# {}.\n# Written by `pocdeploy init`, which says why with --explain; yours to change.\n\n", found.name());
    out.push_str(&format!(
        "namespace = \"{name}\"\n\n[frontend]\npath = {}\nimage = \"{name}\"\nhost = \"{name}.localhost\"\n",
        quoted(&path.display().to_string())
    ));
    let own = found.target.as_deref().filter(|_| found.stack == Stack::Dockerfile).map(|it| source.join(it).display().to_string());
    out.push_str(&format!("dockerfile = {}\n", quoted(own.as_deref().unwrap_or(dockerfile))));
    if !found.groups.is_empty() {
        out.push_str(&format!("groups = [{}]\n", found.groups.iter().map(|it| quoted(it)).collect::<Vec<_>>().join(", ")));
    }
    if found.port != PORT {
        out.push_str(&format!("port = {}\n", found.port));
    }
    if let Some(page) = &found.page {
        out.push_str(&format!("page = {}\n", quoted(page)));
    }
    if let Some(health) = &found.health {
        out.push_str(&format!("health = {}\n", quoted(health)));
    }
    // The image's own command is the default: only what was said must be here, beside a Dockerfile of the user's or for a later build.
    if let Some(start) = found.start.as_ref().filter(|_| found.stack == Stack::Dockerfile || found.is_start_said) {
        out.push_str(&format!("command = {}\n", command(start)));
    }
    match (&found.migrate, &found.release) {
        (Some(one), None) | (None, Some(one)) => out.push_str(&format!("migrate = {}\n", command(one))),
        // One Job runs both, one after the other.
        (Some(first), Some(then)) if first != then => {
            out.push_str(&format!("migrate = {}\n", command(&Command::Shell(format!("{first} && {then}")))));
        }
        (Some(one), Some(_)) => out.push_str(&format!("migrate = {}\n", command(one))),
        (None, None) => {}
    }
    if let Some(replicas) = found.replicas {
        out.push_str(&format!("replicas = {replicas}\n"));
    }
    if !found.writable.is_empty() {
        let all: Vec<String> = found.writable.iter().map(|it| quoted(it)).collect();
        out.push_str(&format!("writable = [{}]\n", all.join(", ")));
    }
    if !found.env.is_empty() {
        out.push_str("\n[frontend.env]\n");
        out.extend(found.env.iter().map(|(name, value)| format!("{} = {}\n", key(name), quoted(value))));
    }
    if let Some(media) = &found.files.media {
        out.push_str(&format!("\n[frontend.volumes.media]\npath = {}\nsize = \"1Gi\"\n", quoted(media)));
    }
    for (name, path) in &found.files.volumes {
        out.push_str(&format!("\n[frontend.volumes.{}]\npath = {}\nsize = \"1Gi\"\n", key(name), quoted(path)));
    }
    for service in &found.services {
        let name = key(&service.name);
        match &service.kind {
            ServiceKind::Process(run) => out.push_str(&format!("\n[services.{name}]\nuses = \"frontend\"\ncommand = {}\n", command(run))),
            ServiceKind::Cache(_) => out.push_str(&format!("\n[services.{name}]\nkind = \"valkey\"\n")),
            ServiceKind::Mail => out.push_str(&format!("\n[services.{name}]\nkind = \"mailpit\"\n")),
        }
        if found.files.kept.contains(&service.name) {
            out.push_str("volumes.data.size = \"1Gi\"\n");
        }
    }
    out.push_str("\n[database]\nname = \"app\"\nuser = \"app\"\n");
    if !found.extensions.is_empty() {
        let all: Vec<String> = found.extensions.iter().map(|it| quoted(it)).collect();
        out.push_str(&format!("extensions = [{}]\n", all.join(", ")));
    }
    if found.without_tls {
        out.push_str("require_tls = false\n");
    }
    for missing in &found.missing {
        out.push_str(&format!("\n# Missing: {}\n", missing.what));
        missing.lines.lines().for_each(|it| out.push_str(&format!("# {}\n", it.trim_start_matches("# "))));
    }
    out
}

/// The words of a command; a line for a shell is given to one.
fn command(command: &Command) -> String {
    match command {
        Command::Words(words) => format!("[{}]", words.iter().map(|it| quoted(it)).collect::<Vec<_>>().join(", ")),
        Command::Shell(line) => format!("[\"sh\", \"-c\", {}]", quoted(line)),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn key(name: &str) -> String {
    let is_bare = !name.is_empty() && name.chars().all(|it| it.is_ascii_alphanumeric() || it == '_' || it == '-');
    if is_bare { name.to_owned() } else { quoted(name) }
}
