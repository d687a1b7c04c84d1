//! Rust: the package, which of its programs serves requests, what that reads.

use std::collections::BTreeMap;

use crate::{
    config::FILE,
    recognise::{
        Command, Database, Framework, Packages, Question, Recognised, Stack,
        answers::PROGRAMS,
        python::Python,
        tokens::{Language, Token, find, tokens},
        tree::Tree,
        variables,
    },
};

const PORT: u16 = 8080;
/// The database's address without `sslmode`: with `require` in it, the crate postgres and its NoTls give an error.
const WITHOUT_TLS: &str = "postgresql://$(PGUSER):$(PGPASSWORD)@$(PGHOST):$(PGPORT)/$(PGDATABASE)";

/// A program of a package.
struct Program {
    /// The package's manifest.
    file: String,
    package: String,
    /// `cargo run` starts it.
    is_default: bool,
    name: String,
}

pub(super) fn recognise(tree: &Tree) -> Option<Recognised> {
    let manifest = tree.toml("Cargo.toml")?;
    let mut out = Recognised::new(Stack::Rust, Framework::Rust, PORT);
    out.packages = Some(Packages { manager: "cargo".to_owned(), lock: tree.has("Cargo.lock").then(|| "Cargo.lock".to_owned()) });
    let mut programs = Vec::new();
    let members = tree.files().iter().filter(|it| it.ends_with("Cargo.toml") && it.matches('/').count() < 4);
    for file in members {
        let Some(package) = tree.toml(file) else { continue };
        let folder = file.strip_suffix("Cargo.toml").unwrap_or_default();
        let Some(name) = package.get("package").and_then(|it| it.get("name")?.as_str()) else { continue };
        let listed = package.get("bin").and_then(|it| it.as_array()).cloned().unwrap_or_default();
        let mut own: Vec<String> = listed.iter().filter_map(|it| Some(it.get("name")?.as_str()?.to_owned())).collect();
        if tree.has(&format!("{folder}src/main.rs")) && own.is_empty() {
            own.push(name.to_owned());
        }
        let beside =
            tree.files().iter().filter_map(|it| it.strip_prefix(&format!("{folder}src/bin/"))?.split(['/', '.']).next().map(str::to_owned));
        own.extend(beside.filter(|it| !own.contains(it)).collect::<Vec<_>>());
        let default = package.get("package").and_then(|it| it.get("default-run")?.as_str());
        own.dedup();
        programs.extend(own.into_iter().map(|it| Program {
            file: file.clone(),
            package: name.to_owned(),
            is_default: default == Some(it.as_str()),
            name: it,
        }));
    }
    if programs.is_empty() {
        return None;
    }
    let version = manifest.get("package").and_then(|it| it.get("rust-version")?.as_str());
    out.language = version.map(str::to_owned);
    let name = manifest.get("package").and_then(|it| it.get("name")?.as_str()).unwrap_or_default();
    let list: Vec<&str> = programs.iter().map(|it| it.name.as_str()).collect();
    let by = |test: &dyn Fn(&Program) -> bool| programs.iter().position(test);
    let default = (programs.len() == 1)
        .then_some(0)
        .or_else(|| by(&|it| it.is_default))
        .or_else(|| by(&|it| it.name == name))
        .or_else(|| ["server", "web", "api", "app"].iter().find_map(|name| by(&|it| it.name == *name)));
    // Programs of one name are told apart by their packages, and have to be two files in the image.
    let is_shared = |name: &str| list.iter().filter(|it| **it == name).count() > 1;
    let shown = |it: &Program| if is_shared(&it.name) { format!("{}/{}", it.package, it.name) } else { it.name.clone() };
    let candidates: Vec<String> = programs.iter().map(shown).collect();
    let in_image = |it: &Program| shown(it).replace('/', "-");
    let by_configuration = tree.answers().stated_program().and_then(|name| by(&|it| in_image(it) == name));
    let chosen = by_configuration.map(|at| (at, Some(FILE))).or_else(|| {
        let assumed = default.map(|at| format!("{} is the server among {}", candidates[at], candidates.join(", ")));
        tree.pick(Question::Program, &candidates, default, assumed.into_iter().collect()).map(|it| (it.at, it.by))
    });
    match chosen {
        Some((at, by)) => {
            let Program { file, package, name: program, .. } = &programs[at];
            if let Some(by) = by.filter(|_| programs.len() > 1) {
                out.signal(by, 0, format!("{} is the server", candidates[at]), "it is built and started");
            }
            out.signal(file, 0, format!("has the program {program}"), "it is built and started");
            // A later build chooses the default, unless Pocdeploy.toml says another.
            out.is_start_said = by.is_some() && Some(at) != default;
            out.target = Some(format!("{package}/{program}"));
            let name = in_image(&programs[at]);
            out.start = Some(Command::words(&[&format!("{PROGRAMS}{name}")]));
            out.program = Some(name);
        }
        None => out.lacks_answer(
            Question::Program,
            format!("there are several programs, and none says that it is the server: {}", candidates.join(", ")),
            format!("[frontend]\ncommand = [\"{PROGRAMS}{}\"]", in_image(&programs[0])),
        ),
    }
    code(tree, &manifest, &mut out);
    Some(out)
}

fn code(tree: &Tree, manifest: &toml::Table, out: &mut Recognised) {
    let mut read: BTreeMap<String, (String, usize)> = BTreeMap::new();
    let mut port = None;
    let mut without_tls = None;
    for file in tree.code(".rs").take(1000) {
        let Some(text) = tree.text(file) else { continue };
        let all = tokens(&text, Language::Rust);
        // The word in `use` says nothing: in a call it is an argument.
        let calls = [&[",", "NoTls", ")"][..], &["(", "NoTls", ")"], &[":", "NoTls", ")"], &[",", "NoTls", ",", ")"]];
        if without_tls.is_none() {
            without_tls = calls.iter().find_map(|it| find(&all, it).next()).map(|it| (file.to_owned(), it.1));
        }
        for pattern in [&["env", ":", ":", "var", "(", "_"][..], &["env", ":", ":", "var_os", "(", "_"], &["env", "!", "(", "_"]] {
            if pattern[1] == "!" {
                continue;
            }
            for (name, line) in find(&all, pattern) {
                read.entry(name.unwrap_or_default().to_owned()).or_insert((file.to_owned(), line));
            }
        }
        for (at, (token, line)) in all.iter().enumerate() {
            if let Token::Word(word) = token {
                let text_after =
                    || all[at + 1..].iter().take(4).find_map(|it| if let Token::Text(text) = &it.0 { Some(text.as_str()) } else { None });
                if word == "bind" && port.is_none() {
                    let number = text_after().and_then(|it| it.rsplit_once(':')?.1.parse::<u16>().ok());
                    port = number.map(|it| (it, file.to_owned(), *line));
                }
                if (word == "route" || word == "get")
                    && out.health.is_none()
                    && let Some(Token::Text(path)) = all.get(at + 2).map(|it| &it.0)
                    && let Some((path, line)) = Python::health_of(std::iter::once((path.as_str(), *line)))
                {
                    out.signal(file, line, format!("there is a route {path}"), "probes ask it");
                    out.health = Some(path);
                }
            }
        }
    }
    if let Some((file, line)) = read.get("PORT") {
        out.signal(file, *line, "the port is the variable PORT", "it is given");
    }
    match port {
        Some((number, file, line)) => {
            out.signal(&file, line, format!("listens on port {number}"), "requests go there");
            out.port = number;
        }
        None if !read.contains_key("PORT") => out.leave_port(tree, "the code names none"),
        None => {}
    }
    let names: Vec<&str> = read.keys().map(String::as_str).collect();
    out.database = variables::database(&names);
    if let Some((name, (file, line))) = read.iter().find(|it| variables::part_of(it.0).is_some()).filter(|_| out.database != Database::None)
    {
        out.signal(file, *line, format!("reads {name}"), "the environment says the database");
    }
    let wants = |name: &str| manifest.get("dependencies").is_some_and(|it| it.get(name).is_some());
    if out.database == Database::None && (wants("sqlx") || wants("tokio-postgres") || wants("diesel") || wants("sea-orm")) {
        out.database = Database::Url("DATABASE_URL".to_owned());
        out.assume("the database's address is DATABASE_URL: the code names no other");
    }
    if let (Some((file, line)), Database::Url(name)) = (without_tls, out.database.clone()) {
        out.signal(&file, line, "connects with NoTls", "the address does not ask for TLS, which that refuses");
        out.env.insert(name, WITHOUT_TLS.to_owned());
        out.without_tls = true;
        out.assume(format!(
            "the connection to the database is not encrypted, and the database accepts that: {file}:{line} connects with NoTls"
        ));
    }
    if tree.has("diesel.toml") || tree.files().iter().any(|it| it.starts_with("migrations/") && it.ends_with(".sql")) {
        out.assume("the program runs its migrations itself when it starts; say `migrate` where a command does");
    }
    if let Some((name, (file, line))) = read.iter().find(|it| variables::is_secret(it.0)) {
        out.signal(file, *line, format!("the secret key is the variable {name}"), "one is generated and given");
        out.secret_key = Some(name.clone());
    }
}
