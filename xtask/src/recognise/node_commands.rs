//! What commands of Node.js run in the end: the image has no package manager, and what only development needs is removed from it.

use serde_json::Value;

use crate::recognise::{Command, Install, Recognised, ServiceKind, Stack, tree::Tree};

const MANAGERS: [&str; 3] = ["npm", "yarn", "pnpm"];

/// Signs that only a shell understands.
const SHELL: [char; 10] = ['&', '|', ';', '$', '"', '\'', '<', '>', '`', '('];

/// Replaces calls of package managers, and decides what stays of the packages.
pub(super) fn settle(tree: &Tree, out: &mut Recognised) {
    if out.stack != Stack::Node {
        return;
    }
    let Some(package) = tree.json("package.json") else { return };
    let expand = |it: &mut Option<Command>| {
        if let Some(command) = it {
            *command = expanded(&package, command);
        }
    };
    expand(&mut out.start);
    expand(&mut out.migrate);
    expand(&mut out.release);
    for service in &mut out.services {
        if let ServiceKind::Process(command) = &mut service.kind {
            *command = expanded(&package, command);
        }
    }
    let beside = out.services.iter().filter_map(|it| if let ServiceKind::Process(command) = &it.kind { Some(command) } else { None });
    let others: Vec<String> = [&out.migrate, &out.release].into_iter().flatten().chain(beside).map(ToString::to_string).collect();
    // What Next.js traced is what its server needs, and nothing that another command would need.
    if out.target.as_deref() == Some("standalone") && !others.is_empty() {
        out.target = None;
        out.start = Some(Command::words(&["node", ".next/standalone/server.js"]));
        out.writable.insert("/srv/app/.next/standalone/.next/cache".to_owned());
        out.assume("the image holds all packages and not the traced files alone: a command beside the server needs them");
    }
    let needs_development = out.start.iter().map(ToString::to_string).chain(others).any(|it| needs_development(&package, &it));
    let has_development = package["devDependencies"].as_object().is_some_and(|it| !it.is_empty());
    let is_traced = out.target.as_deref() == Some("standalone");
    let script = |name: &&str| package["scripts"][*name].is_string();
    // A command that needs one of them keeps them in a published package too.
    let is_product = out.install.is_product && !needs_development;
    out.install = Install {
        with_source: ["preinstall", "install", "postinstall"].iter().any(script) || script(&"prepare") && !is_product,
        is_product,
        is_pruned: has_development && !needs_development && !is_traced && !is_product,
    };
    if has_development && needs_development {
        out.assume("the image keeps the development dependencies: a command that runs in the cluster needs one of them");
    }
}

/// The command without a package manager where the scripts say what it runs.
fn expanded(package: &Value, command: &Command) -> Command {
    let text = command.to_string();
    let calls = text.split(['&', '|', ';', '(', ' ']).any(|it| MANAGERS.contains(&it) || it == "npx");
    if !calls {
        return command.clone();
    }
    if let Some(direct) = direct(package, &text, 0) {
        return direct;
    }
    let line = line(package, &text, 0);
    if line.contains(SHELL) { Command::Shell(line) } else { Command::line(&line) }
}

/// A line with each call of a package manager replaced by what the script says.
fn line(package: &Value, text: &str, depth: usize) -> String {
    let segments: Vec<&str> = text.split("&&").map(str::trim).collect();
    let mut out = Vec::new();
    for segment in &segments {
        let words: Vec<&str> = segment.split_whitespace().collect();
        let sets = words.iter().take_while(|it| it.contains('=')).count();
        let script = |name: &str| package["scripts"][name].as_str().map(str::to_owned);
        let inner = match words.get(sets..).unwrap_or_default() {
            ["npx" | "pnpx", "--yes" | "-y" | "--no-install", rest @ ..] | ["npx" | "pnpx", rest @ ..] => Some((rest.join(" "), false)),
            [manager, "exec" | "dlx", "--", rest @ ..] | [manager, "exec" | "dlx", rest @ ..] if MANAGERS.contains(manager) => {
                Some((rest.join(" "), false))
            }
            [manager, "run" | "run-script", name, rest @ ..] | [manager, name, rest @ ..] if MANAGERS.contains(manager) => {
                let rest = rest.strip_prefix(&["--"]).unwrap_or(rest).join(" ");
                // npm knows its own commands only; the others also start programs of packages.
                let inner = script(name).or_else(|| (*manager != "npm").then(|| (*name).to_owned()));
                inner.map(|it| (format!("{it} {rest}").trim_end().to_owned(), true))
            }
            _ => None,
        };
        out.push(match inner {
            Some((inner, is_script)) if depth < 4 => {
                let before = words[..sets].iter().map(|it| format!("{it} ")).collect::<String>();
                let inner = if is_script { line(package, &inner, depth + 1) } else { inner };
                // A variable in front of a script holds for all of it.
                if inner.contains("&&") && (sets > 0 || segments.len() > 1) {
                    if sets > 0 { format!("(export {before}&& {inner})") } else { format!("({inner})") }
                } else {
                    format!("{before}{inner}")
                }
            }
            _ => (*segment).to_owned(),
        });
    }
    out.join(" && ")
}

/// What a script runs in the end, where that is `node` itself, perhaps behind variables that it sets; scripts that only call another are
/// followed. Without npm between, signals reach the server, and npm writes no cache.
pub(super) fn direct(package: &Value, script: &str, depth: usize) -> Option<Command> {
    let words: Vec<&str> = script.split_whitespace().collect();
    if let [manager, rest @ ..] = words.as_slice()
        && MANAGERS.contains(manager)
        && depth < 4
    {
        let name = match rest {
            ["run", name] | ["run-script", name] => name,
            [name] => name,
            _ => return None,
        };
        return direct(package, package["scripts"][*name].as_str()?, depth + 1);
    }
    if script.contains(SHELL) || script.contains('*') {
        return None;
    }
    let sets = words.iter().take_while(|it| it.contains('=')).count();
    if words.get(sets) != Some(&"node") {
        return None;
    }
    Some(if sets == 0 {
        Command::words(&words)
    } else {
        Command::Shell(format!("{} exec {}", words[..sets].join(" "), words[sets..].join(" ")))
    })
}

/// Whether a command runs, or may run, a program of a package that only development needs.
fn needs_development(package: &Value, line: &str) -> bool {
    let has = |kind: &str, name: &str| package[kind].get(name).is_some();
    let is_development = |name: &str| has("devDependencies", name) && !has("dependencies", name);
    line.split(['&', '|', ';', '(', ')']).map(str::trim).filter(|it| !it.is_empty()).any(|segment| {
        let words: Vec<&str> = segment.split_whitespace().skip_while(|it| it.contains('=') || *it == "exec" || *it == "export").collect();
        let Some((program, rest)) = words.split_first() else { return false };
        match *program {
            "node" => {
                let mut is_loaded = false;
                rest.iter().any(|word| {
                    let name = match word.split_once("node_modules/") {
                        Some((_, inside)) => Some(inside),
                        None if is_loaded && !word.starts_with('.') => Some(*word),
                        None => None,
                    };
                    is_loaded = ["-r", "--require", "--import", "--loader"].contains(word);
                    name.is_some_and(|it| is_development(package_of(it)))
                })
            }
            "sh" | "echo" | "sleep" | "cd" | "mkdir" | "true" => false,
            // A file of the application's own.
            path if path.starts_with("./") => false,
            // A package of the same name, or a program of some package: of which one, only the installed packages say.
            name => !has("dependencies", name),
        }
    })
}

/// `@scope/name` or `name`, at the begin of a path.
fn package_of(path: &str) -> &str {
    let parts = if path.starts_with('@') { 2 } else { 1 };
    path.match_indices('/').nth(parts - 1).map_or(path, |it| &path[..it.0])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_command_calls_a_package_manager() {
        let package = json!({"scripts": {
            "start": "npm run build && tsx src/server.ts",
            "build": "tsc",
            "prod": "NODE_ENV=production node dist/main.js",
            "release": "yarn prod",
            "both": "A=1 npm run start -- --port 1",
        }});
        let check = |text: &str, expected: Command| assert_eq!(expanded(&package, &Command::line(text)), expected, "{text}");
        check("npm start", Command::Shell("tsc && tsx src/server.ts".to_owned()));
        check("yarn release", Command::Shell("NODE_ENV=production exec node dist/main.js".to_owned()));
        check("npm run build", Command::words(&["tsc"]));
        check("npx prisma migrate deploy", Command::words(&["prisma", "migrate", "deploy"]));
        check("pnpm exec knex migrate:latest", Command::words(&["knex", "migrate:latest"]));
        check("pnpm knex migrate:latest", Command::words(&["knex", "migrate:latest"]));
        check("npm start && echo x", Command::Shell("(tsc && tsx src/server.ts) && echo x".to_owned()));
        check("npm run both", Command::Shell("(export A=1 && tsc && tsx src/server.ts --port 1)".to_owned()));
        // What a package manager itself does cannot be replaced.
        check("npm ls", Command::words(&["npm", "ls"]));
        check("node server.js", Command::words(&["node", "server.js"]));
    }

    #[test]
    fn development_packages_go_unless_a_command_may_run_one() {
        let package = json!({"dependencies": {"next": "1", "@a/b": "1"}, "devDependencies": {"tsx": "1", "prisma": "1", "@a/c": "1"}});
        for line in ["node server.js", "node -r ./a.js x.js", "next start", "A=1 exec node node_modules/@a/b/x.js", "sh -c true", "./run"] {
            assert!(!needs_development(&package, line), "{line}");
        }
        for line in [
            "tsx a.ts",
            "node --import tsx a.ts",
            "node node_modules/prisma/build/index.js",
            "node a.js && prisma x",
            "node node_modules/@a/c/x",
        ] {
            assert!(needs_development(&package, line), "{line}");
        }
    }
}
