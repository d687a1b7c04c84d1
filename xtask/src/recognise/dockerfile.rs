//! A Dockerfile of the application's own: port, user, command, health check.

use crate::{
    dockerfile::Instruction,
    recognise::{Command, Compose, Framework, Question, Recognised, Stack, tree::Tree},
};

/// The application's own Dockerfile decides how the image is made, whatever else was recognised.
pub(super) fn add(tree: &Tree, found: Option<Recognised>, compose: &Compose) -> Option<Recognised> {
    let stated = compose.dockerfile();
    let name = tree
        .answers()
        .dockerfile()
        .filter(|it| tree.has(it))
        .or_else(|| stated.as_deref().filter(|it| tree.has(it)))
        .or_else(|| tree.first(&["Dockerfile", "Containerfile"]).or_else(|| tree.first(&["docker/Dockerfile"])));
    let Some(name) = name.map(str::to_owned) else { return found };
    let file = tree.dockerfile(&name)?;
    // The last stage is what runs.
    let from = file.instructions.iter().rposition(|it| it.name == "FROM")?;
    let last = &file.instructions[from..];
    let by = |name: &str| last.iter().rev().find(|it| it.name == name);
    let mut out = found.unwrap_or_else(|| Recognised::new(Stack::Dockerfile, Framework::Dockerfile, 8080));
    out.stack = Stack::Dockerfile;
    out.build.clear();
    out.extra.clear();
    out.packages = out.packages.filter(|it| it.lock.is_some());
    out.target = Some(name.clone());
    out.program = None;
    out.is_start_said = false;
    // The image says how it is started, and where it listens.
    tree.take_open();
    let of_image = [Question::Program, Question::Object, Question::Start, Question::Port];
    of_image.into_iter().for_each(|it| out.known(it));
    out.signal(&name, 0, "is a Dockerfile of the application's own", "the image is built by it");
    if let Some(expose) = by("EXPOSE") {
        let port = expose.words().first().and_then(|it| it.split('/').next()?.parse().ok());
        match port {
            Some(port) => {
                out.signal(&name, expose.line, format!("EXPOSE {port}"), "requests go to that port");
                out.port = port;
            }
            None => out.leave_port(tree, "EXPOSE names a variable"),
        }
    } else {
        out.leave_port(tree, &format!("{name} has no EXPOSE"));
    }
    let command = [by("ENTRYPOINT"), by("CMD")].into_iter().flatten().collect::<Vec<_>>();
    if command.is_empty() {
        out.assume(format!("{name} has no CMD and no ENTRYPOINT: the base image's is started"));
        out.start = None;
    } else {
        let text: Vec<String> = command.iter().map(|it| shown(it)).collect();
        out.signal(&name, command[0].line, text.join(" "), "that is the start command, and stays the image's own");
        out.start = None;
    }
    match by("USER").map(|it| (it.words().first().cloned().unwrap_or_default(), it.line)) {
        Some((user, line)) if user.split(':').next().is_some_and(|it| it.parse::<u32>().is_ok_and(|it| it > 0)) => {
            out.signal(&name, line, format!("USER {user}"), "the pods run as it");
        }
        Some((user, line)) => {
            out.signal(&name, line, format!("USER {user}"), "by a name Kubernetes cannot tell that it is not root's");
            out.assume(format!("{name}:{line} names its user; the pods run as 10001, since Kubernetes wants a number that is not root's"));
        }
        None => out.assume(format!("{name} has no USER and would run as root; the pods run as 10001")),
    }
    if let Some(check) = by("HEALTHCHECK") {
        let path = check.rest.split([' ', '"', '\'', ',']).find_map(|it| {
            let rest = it.split_once("://")?.1;
            Some(format!("/{}", rest.split_once('/').map_or("", |it| it.1)))
        });
        if let Some(path) = path {
            out.signal(&name, check.line, format!("HEALTHCHECK asks {path}"), "probes ask it");
            out.health = Some(path);
        }
    }
    for volume in last.iter().filter(|it| it.name == "VOLUME") {
        for path in volume.words() {
            let path = path.trim_matches(['[', ']', ',']).to_owned();
            if path.starts_with('/') {
                out.signal(&name, volume.line, format!("VOLUME {path}"), "it can be written");
                out.writable.insert(path);
            }
        }
    }
    out.leave(tree);
    Some(out)
}

fn shown(instruction: &Instruction) -> String {
    match serde_json::from_str::<Vec<String>>(&instruction.rest) {
        Ok(words) => Command::Words(words).to_string(),
        Err(_) => instruction.rest.clone(),
    }
}
