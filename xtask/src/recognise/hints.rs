//! Files that only hint: examples of the environment, and descriptions of a container to develop in.

use crate::recognise::{Database, Recognised, tree::Tree, variables};

pub(super) fn add(tree: &Tree, found: &mut Recognised) {
    for file in [".env.example", ".env.sample", ".env.dist", ".env.template", "env.example"] {
        let Some(text) = tree.text(file) else { continue };
        let mut names: Vec<(&str, usize)> = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim().trim_start_matches("export ");
            if let Some((name, _)) = line.split_once('=').filter(|it| !it.0.starts_with('#')) {
                names.push((name.trim(), at + 1));
            }
        }
        let list: Vec<&str> = names.iter().map(|it| it.0).collect();
        let database = variables::database(&list);
        let line = names.iter().find(|it| variables::part_of(it.0).is_some()).map_or(0, |it| it.1);
        if found.database == Database::None && database != Database::None {
            found.signal(
                file,
                line,
                format!("names {}", list.iter().filter(|it| variables::part_of(it).is_some()).copied().collect::<Vec<_>>().join(", ")),
                "the environment says the database",
            );
            found.database = database;
        } else {
            found.signal(file, 0, format!("names {} variables", list.len()), "what the code reads is known already");
        }
        if let Some((name, line)) = names.iter().find(|it| variables::is_secret(it.0)).filter(|_| found.secret_key.is_none()) {
            found.signal(file, *line, format!("the secret key is the variable {name}"), "one is generated and given");
            found.secret_key = Some((*name).to_owned());
        }
        break;
    }
    for file in [".devcontainer/devcontainer.json", ".devcontainer.json"] {
        if !tree.has(file) {
            continue;
        }
        // The file may hold comments, which JSON has not: then only that it is there is said.
        let ports = tree.json(file).map(|it| {
            it["forwardPorts"].as_array().into_iter().flatten().filter_map(|it| it.as_u64()).map(|it| it.to_string()).collect::<Vec<_>>()
        });
        match ports {
            Some(ports) if !ports.is_empty() => found.signal(
                file,
                tree.line_of(file, "forwardPorts"),
                format!("forwards {}", ports.join(", ")),
                "a hint only: the code's own port counts",
            ),
            _ => found.signal(file, 0, "is a container to develop in", "nothing follows for the deployment"),
        }
        break;
    }
}
