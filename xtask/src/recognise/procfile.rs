//! Procfile: one process a line. `web` is the start command, `release` runs before a rollout, the others are processes beside.

use crate::recognise::{Command, Question, Recognised, Service, ServiceKind, tree::Tree};

pub(super) fn add(tree: &Tree, found: &mut Recognised) {
    let Some(text) = tree.text("Procfile") else { return };
    for (at, line) in text.lines().enumerate() {
        let Some((name, command)) = line.split_once(':') else { continue };
        let (name, command) = (name.trim(), command.trim());
        let is_name = !name.is_empty() && name.chars().all(|it| it.is_ascii_alphanumeric() || it == '-' || it == '_');
        if !is_name || command.is_empty() {
            continue;
        }
        match name {
            "web" => {
                found.signal("Procfile", at + 1, format!("web: {command}"), "that is the start command");
                found.start = Some(start(command, found.port));
                found.known(Question::Start);
                found.known(Question::Object);
                // The program is the application's choice: what was to be added for another is not needed.
                for server in ["gunicorn", "uvicorn"] {
                    if !command.contains(server) {
                        found.extra.remove(server);
                    }
                }
            }
            "release" => {
                let is_migration = ["migrate", "upgrade", "migration"].iter().any(|it| command.contains(it)) && !command.contains("&&");
                found.signal(
                    "Procfile",
                    at + 1,
                    format!("release: {command}"),
                    if is_migration { "that is the migration" } else { "it runs before a rollout" },
                );
                if is_migration || found.migrate.is_none() {
                    found.migrate = Some(Command::line(command));
                } else {
                    found.release = Some(Command::line(command));
                }
            }
            name => {
                let name = name.to_lowercase().replace('_', "-");
                found.signal("Procfile", at + 1, format!("{name}: {command}"), "a process beside the web server");
                found.services.retain(|it| it.name != name);
                found.services.push(Service { name, kind: ServiceKind::Process(Command::line(command)) });
            }
        }
    }
}

/// A line that names the port is started by a shell, which knows PORT; gunicorn and uvicorn without an address listen on loopback alone.
fn start(line: &str, port: u16) -> Command {
    let is_gunicorn = line.split_whitespace().any(|it| it == "gunicorn");
    let is_uvicorn = line.split_whitespace().any(|it| it == "uvicorn");
    let has_address = line.contains("--bind") || line.contains("-b ") || line.contains("--host");
    if is_gunicorn && !has_address {
        // gunicorn itself listens on 0.0.0.0:$PORT where PORT is set.
        return Command::line(line);
    }
    if is_uvicorn && !has_address {
        let port = if line.contains("--port") { String::new() } else { format!(" --port {port}") };
        return Command::line(&format!("{line} --host 0.0.0.0{port}"));
    }
    Command::line(line)
}
