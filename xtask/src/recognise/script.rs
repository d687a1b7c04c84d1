//! JavaScript and TypeScript: the variables that code reads, where it listens, its routes.

use std::collections::{BTreeMap, BTreeSet};

use crate::recognise::{
    Database, Framework, Recognised, Service, ServiceKind,
    tokens::{Language, Token, find, tokens},
    tree::Tree,
    variables,
};

/// Whether the file lies where builds put their products.
pub(super) fn is_made(file: &str) -> bool {
    ["dist/", "build/", "public/", "static/", "coverage/"].iter().any(|it| file.starts_with(it))
}

fn sources(tree: &Tree) -> impl Iterator<Item = &str> {
    let endings = [".js", ".mjs", ".cjs", ".ts", ".mts", ".jsx", ".tsx"];
    // Built files count only where their sources are missing, as in a published package.
    let is_source = |it: &String| {
        let is_home =
            ["src/", "server/", "app/", "lib/"].iter().any(|home| it.starts_with(home)) || !it.contains('/') && !it.contains(".config.");
        is_home && endings.iter().any(|end| it.ends_with(end)) && !it.ends_with(".d.ts")
    };
    let has_source = tree.files().iter().any(is_source);
    let all = tree.files().iter().map(String::as_str);
    all.filter(move |it| {
        let is_product = it.starts_with("public/") || it.ends_with(".min.js") || has_source && is_made(it);
        endings.iter().any(|end| it.ends_with(end)) && !is_product && !crate::recognise::tree::is_aside(it)
    })
    .take(400)
}

pub(super) fn listens(tree: &Tree) -> bool {
    servers(tree).next().is_some()
}

/// The files that listen.
pub(super) fn servers(tree: &Tree) -> impl Iterator<Item = &str> {
    sources(tree).filter(|file| {
        tree.text(file)
            .is_some_and(|it| it.contains(".listen(") && find(&tokens(&it, Language::JavaScript), &[".", "listen", "("]).next().is_some())
    })
}

/// What the code says: the variables that it reads, where it listens, its routes.
pub(super) fn read(tree: &Tree, out: &mut Recognised) {
    let mut read: BTreeMap<String, (String, usize)> = BTreeMap::new();
    let mut port = None;
    let mut health: Option<(String, String, usize)> = None;
    let mut named_ports: BTreeMap<String, (u16, String, usize)> = BTreeMap::new();
    for file in sources(tree) {
        let Some(text) = tree.text(file).filter(|it| ["process", "listen", ".get(", "env:"].iter().any(|word| it.contains(word))) else {
            continue;
        };
        let all = tokens(&text, Language::JavaScript);
        for pattern in
            [&["process", ".", "env", ".", "_word"][..], &["process", ".", "env", "[", "_"], &["process", ".", "env", "?", ".", "_word"]]
        {
            for (name, line) in find(&all, pattern) {
                read.entry(name.unwrap_or_default().to_owned()).or_insert((file.to_owned(), line));
            }
        }
        for (name, line, default) in options(&all) {
            if name == "PORT" && port.is_none() {
                port = default.map(|it| (it, file.to_owned(), line));
            }
            read.entry(name.to_owned()).or_insert((file.to_owned(), line));
        }
        for (at, window) in all.windows(3).enumerate() {
            let [(Token::Sign('.'), _), (Token::Word(word), line), (Token::Sign('('), _)] = window else { continue };
            let after: Vec<&Token> = all[at + 3..].iter().take(8).map(|it| &it.0).collect();
            if word == "listen" && port.is_none() {
                let number = after.iter().take_while(|it| !matches!(it, Token::Sign(')'))).find_map(|it| number(it));
                port = number.map(|it| (it, file.to_owned(), *line));
            }
            if word == "get"
                && health.is_none()
                && let Some(Token::Text(path)) = after.first().copied()
            {
                health = crate::recognise::python::Python::health_of(std::iter::once((path.as_str(), *line)))
                    .map(|it| (it.0, file.to_owned(), *line));
            }
        }
        // `const port = process.env.PORT || 3000`, or another variable of the application's own
        for (at, window) in all.windows(5).enumerate() {
            let (Token::Word(env), (Token::Word(name), line)) = (&window[2].0, &window[4]) else { continue };
            if env != "env" {
                continue;
            }
            let number = all[at + 5..].iter().take(4).find_map(|it| number(&it.0));
            if name == "PORT" && port.is_none() {
                port = number.map(|it| (it, file.to_owned(), *line));
            } else if let Some(number) = number.filter(|_| variables::is_port(name)) {
                named_ports.entry(name.clone()).or_insert((number, file.to_owned(), *line));
            }
        }
    }
    if !read.contains_key("PORT")
        && let Some((name, (number, file, line))) = variables::shortest(&named_ports)
    {
        out.signal(&file, line, format!("the port is the variable {name}, {number} without it"), "it is given");
        out.env.insert(name, "$(PORT)".to_owned());
        out.port = number;
    } else {
        told_port(tree, read.get("PORT"), port, out);
    }
    if let Some((path, file, line)) = health {
        out.signal(&file, line, format!("there is a route {path}"), "probes ask it");
        out.health = Some(path);
    }
    let names: Vec<&str> = read.keys().map(String::as_str).collect();
    if out.database == Database::None {
        out.database = variables::database(&names);
        if let Some((name, (file, line))) =
            read.iter().find(|(name, _)| variables::part_of(name).is_some()).filter(|_| out.database != Database::None)
        {
            out.signal(file, *line, format!("reads {name}"), "the environment says the database");
        }
    }
    if let Some((name, (file, line))) = read.iter().find(|(name, _)| variables::is_secret(name)) {
        out.signal(file, *line, format!("the secret key is the variable {name}"), "one is generated and given");
        out.secret_key = Some(name.clone());
    }
    let caches: BTreeSet<String> = names.iter().filter(|it| variables::is_cache(it)).map(|it| (*it).to_owned()).collect();
    if let Some(first) = caches.first().cloned() {
        let (file, line) = &read[&first];
        out.signal(file, *line, format!("reads {first}"), "a cache is given");
        out.services.push(Service { name: "cache".to_owned(), kind: ServiceKind::Cache(caches) });
    }
}

/// Variables in a table of options, `port: { env: 'PORT', default: 1337 }`, with the number that the same braces give: the port and the
/// database's. An option of a cache says only that one can be used.
fn options(all: &[(Token, usize)]) -> Vec<(&str, usize, Option<u16>)> {
    let mut out = Vec::new();
    for (at, window) in all.windows(3).enumerate() {
        let [(Token::Word(key), _), (Token::Sign(':'), _), (Token::Text(name), line)] = window else { continue };
        if key != "env" || !(name == "PORT" || variables::part_of(name).is_some()) {
            continue;
        }
        let rest: Vec<&Token> = all[at + 3..].iter().map(|it| &it.0).take(40).take_while(|it| **it != Token::Sign('}')).collect();
        let default = rest.windows(3).find(|it| *it[0] == Token::Word("default".to_owned())).and_then(|it| number(it[2]));
        out.push((name.as_str(), *line, default));
    }
    out
}

/// The port that PORT says, that the code names, or that is usual.
fn told_port(tree: &Tree, variable: Option<&(String, usize)>, port: Option<(u16, String, usize)>, out: &mut Recognised) {
    if let Some((file, line)) = variable {
        out.signal(file, *line, "the port is the variable PORT", "it is given");
    } else if let Some((number, file, line)) = &port {
        out.signal(file, *line, format!("listens on port {number}"), "requests go there");
    } else if out.framework != Framework::Next {
        out.leave_port(tree, "the code names none");
    }
    if let Some((number, _, _)) = port {
        out.port = number;
    }
}

fn number(token: &Token) -> Option<u16> {
    match token {
        Token::Word(text) | Token::Text(text) => text.parse().ok().filter(|it| *it > 0),
        Token::Sign(_) => None,
    }
}
