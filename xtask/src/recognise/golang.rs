//! Go: the module, which of its programs serves requests, what that reads.

use std::collections::BTreeMap;

use crate::{
    config::FILE,
    recognise::{
        Command, Database, Framework, Packages, Question, Recognised, Service, ServiceKind, Stack,
        answers::PROGRAMS,
        python::Python,
        tokens::{Language, Token, find, tokens},
        tree::Tree,
        variables,
    },
};

const PORT: u16 = 8080;

pub(super) fn recognise(tree: &Tree) -> Option<Recognised> {
    let module = tree.text("go.mod");
    let sources: Vec<&str> = tree.code(".go").take(3000).collect();
    if module.is_none() && !sources.contains(&"main.go") {
        return None;
    }
    let mut out = Recognised::new(Stack::Go, Framework::Go, PORT);
    let text = module.unwrap_or_default();
    let directive = |name: &str| {
        let found = text.lines().enumerate().find(|(_, it)| it.split_whitespace().next() == Some(name));
        found.and_then(|(at, it)| Some((it.split_whitespace().nth(1)?.to_owned(), at + 1)))
    };
    let name = directive("module");
    if let Some((module, line)) = &name {
        out.signal("go.mod", *line, format!("is the module {module}"), "the application is Go's");
    } else {
        out.lacks("there is a main.go and no go.mod", "# go mod init example.com/app && go mod tidy");
    }
    if let Some((version, line)) = directive("go") {
        out.signal("go.mod", line, format!("asks for Go {version}"), "a toolchain of that version or newer compiles it");
        out.language = Some(version);
    }
    out.packages = Some(Packages { manager: "go".to_owned(), lock: tree.has("go.sum").then(|| "go.sum".to_owned()) });
    let programs = programs(tree, &sources);
    choose(tree, &programs, name.as_ref().map_or("", |it| it.0.as_str()), &mut out)?;
    code(tree, &sources, &mut out);
    migration(tree, &sources, &programs, &mut out);
    serve(tree, &sources, &programs, &mut out);
    Some(out)
}

/// Folders of the packages `main`, with whether one of their files serves requests.
fn programs(tree: &Tree, sources: &[&str]) -> BTreeMap<String, bool> {
    let mut out: BTreeMap<String, bool> = BTreeMap::new();
    for file in sources {
        let Some(text) = tree.text(file).filter(|it| it.contains("package main")) else { continue };
        let all = tokens(&text, Language::Go);
        let is_main = find(&all, &["package", "main"]).next().is_some();
        let is_built = !text
            .lines()
            .take_while(|it| !it.starts_with("package"))
            .any(|it| it.starts_with("//go:build ignore") || it.starts_with("// +build ignore"));
        if !is_main || !is_built {
            continue;
        }
        let has_main = find(&all, &["func", "main", "("]).next().is_some();
        let folder = file.rsplit_once('/').map_or(String::new(), |it| it.0.to_owned());
        let serves = ["ListenAndServe", "Serve", "Listen", "NewServeMux", "ListenAndServeTLS"]
            .iter()
            .any(|it| find(&all, &[".", it, "("]).next().is_some());
        if has_main || out.contains_key(&folder) {
            *out.entry(folder).or_default() |= serves;
        }
    }
    out
}

/// One program is the application. Among several: the one that the user says, the one at the top, the one that serves, the one that is
/// called like the module or a server; more than one of equal right is for the user to say.
fn choose(tree: &Tree, programs: &BTreeMap<String, bool>, module: &str, out: &mut Recognised) -> Option<()> {
    if programs.is_empty() {
        // A library is nothing that could be deployed.
        return None;
    }
    let last = module.split('/').rfind(|it| it.strip_prefix('v').is_none_or(|it| it.parse::<u32>().is_err())).unwrap_or_default();
    let folder_name = |it: &str| it.rsplit('/').next().unwrap_or_default().to_owned();
    let top = if last.is_empty() { "app" } else { last };
    let base_name = |it: &str| if it.is_empty() { top.to_owned() } else { folder_name(it) };
    let serving: Vec<&String> = programs.iter().filter(|it| *it.1).map(|it| it.0).collect();
    let all: Vec<&String> = programs.keys().collect();
    let by = |test: &dyn Fn(&str) -> bool| all.iter().find(|it| test(it)).map(|it| (*it).clone());
    let one = |list: &[&String]| if let [only] = list { Some((*only).clone()) } else { None };
    let default = one(&all)
        .or_else(|| by(&|it| it.is_empty()))
        .or_else(|| one(&serving))
        .or_else(|| by(&|it| folder_name(it) == last))
        .or_else(|| ["server", "web", "api", "app", "http"].iter().find_map(|name| by(&|it| folder_name(it) == *name)));
    let shown = |it: &str| if it.is_empty() { ".".to_owned() } else { format!("./{it}") };
    // Two programs of one name have to be two files in the image.
    let program = |folder: &str| {
        let is_shared = all.iter().filter(|it| base_name(it) == base_name(folder)).count() > 1;
        if is_shared && !folder.is_empty() { folder.replace('/', "-") } else { base_name(folder) }
    };
    let candidates: Vec<String> = all.iter().map(|it| shown(it)).collect();
    let stated = tree.answers().stated_program().map(str::to_owned);
    let position = |is_it: &dyn Fn(&str) -> bool| all.iter().position(|it| is_it(it));
    let by_configuration = stated.as_deref().and_then(|name| position(&|it| program(it) == name));
    let default = default.and_then(|it| position(&|known| known == it));
    let list = candidates.join(", ");
    let (at, by) = match by_configuration {
        Some(at) => (at, Some(FILE)),
        None => {
            let assumed = default.map(|at| format!("{} is the server among {list}", candidates[at]));
            match tree.pick(Question::Program, &candidates, default, assumed.into_iter().collect()) {
                Some(choice) => (choice.at, choice.by),
                None => {
                    out.lacks_answer(
                        Question::Program,
                        format!("the module has several programs, and none says that it is the server: {list}"),
                        format!("[frontend]\ncommand = [\"{PROGRAMS}{}\"]", program(all[0])),
                    );
                    return Some(());
                }
            }
        }
    };
    let chosen = all[at].clone();
    if let Some(by) = by.filter(|_| all.len() > 1) {
        out.signal(by, 0, format!("{} is the server", candidates[at]), "it is built and started");
    }
    // A later build chooses the default, unless Pocdeploy.toml says another.
    out.is_start_said = by.is_some() && Some(at) != default;
    let file = if chosen.is_empty() { "main.go".to_owned() } else { format!("{chosen}/main.go") };
    out.signal(&file, 0, format!("package main in {}", shown(&chosen)), "that program is built and started");
    // The only program is called as Pocdeploy.toml calls it.
    let is_named = by_configuration.is_some() || all.len() == 1 && tree.answers().names_path();
    let name = stated.filter(|_| is_named).unwrap_or_else(|| program(&chosen));
    out.target = Some(shown(&chosen));
    out.start = Some(Command::words(&[&format!("{PROGRAMS}{name}")]));
    out.program = Some(name);
    // A program called for it is a process of its own.
    for other in all.iter().filter(|it| folder_name(it) == "worker" && **it != &chosen) {
        out.signal(&format!("{other}/main.go"), 0, "package main in a folder `worker`", "a process of its own");
        out.services.push(Service { name: "worker".to_owned(), kind: ServiceKind::Process(Command::words(&["/srv/app/bin/worker"])) });
    }
    Some(())
}

fn code(tree: &Tree, sources: &[&str], out: &mut Recognised) {
    let mut read: BTreeMap<String, (String, usize)> = BTreeMap::new();
    let mut port = None;
    for file in sources {
        let Some(text) =
            tree.text(file).filter(|it| it.contains("env") || it.contains("Listen") || it.contains("Handle") || it.contains("Addr"))
        else {
            continue;
        };
        let all = tokens(&text, Language::Go);
        for (at, (token, line)) in all.iter().enumerate() {
            let Token::Word(word) = token else { continue };
            let text_after = |from: usize| {
                all[at + from..].iter().take(4).find_map(|it| if let Token::Text(text) = &it.0 { Some(text.as_str()) } else { None })
            };
            match word.as_str() {
                "Getenv" | "LookupEnv" | "getenv" | "getEnv" | "GetEnv" | "envOr" | "getEnvOrDefault" => {
                    if let Some(Token::Text(name)) = all.get(at + 2).map(|it| &it.0) {
                        read.entry(name.clone()).or_insert(((*file).to_owned(), *line));
                    }
                }
                "ListenAndServe" | "Listen" | "Run" | "Start" | "Addr" if port.is_none() => {
                    let number = text_after(1).and_then(|it| it.rsplit_once(':')?.1.parse::<u16>().ok()).filter(|it| *it > 0);
                    port = number.map(|it| (it, (*file).to_owned(), *line));
                }
                "HandleFunc" | "Handle" | "GET" | "Get" if out.health.is_none() => {
                    if let Some(Token::Text(path)) = all.get(at + 2).map(|it| &it.0) {
                        let path = path.trim_start_matches("GET ");
                        if let Some((path, line)) = Python::health_of(std::iter::once((path, *line))) {
                            out.signal(file, line, format!("there is a route {path}"), "probes ask it");
                            out.health = Some(path);
                        }
                    }
                }
                _ => {}
            }
        }
        // Fields such as `env:"DATABASE_URL"` of a struct.
        for (tag, line) in all.iter().filter_map(|it| if let Token::Text(text) = &it.0 { Some((text, it.1)) } else { None }) {
            for key in ["env:\"", "envconfig:\""] {
                if let Some(name) = tag.split(key).nth(1).and_then(|it| it.split(['"', ',']).next()).filter(|it| !it.is_empty()) {
                    read.entry(name.to_owned()).or_insert(((*file).to_owned(), line));
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
    let text = tree.text("go.mod").unwrap_or_default();
    let driver = ["github.com/jackc/pgx", "github.com/lib/pq", "gorm.io/driver/postgres"].into_iter().find(|it| text.contains(it));
    if let (Database::None, Some(driver)) = (&out.database, driver) {
        out.signal("go.mod", tree.line_of("go.mod", driver), format!("requires {driver}"), "libpq's variables are given, which it reads");
        out.database = Database::Libpq;
        out.assume("the database's variables are libpq's and DATABASE_URL: the code names no other");
    }
    if let Some((name, (file, line))) = read.iter().find(|it| variables::is_secret(it.0)) {
        out.signal(file, *line, format!("the secret key is the variable {name}"), "one is generated and given");
        out.secret_key = Some(name.clone());
    }
    let caches: std::collections::BTreeSet<String> = names.iter().filter(|it| variables::is_cache(it)).map(|it| (*it).to_owned()).collect();
    if let Some(first) = caches.first().cloned() {
        out.signal(&read[&first].0, read[&first].1, format!("reads {first}"), "a cache is given");
        out.services.push(Service { name: "cache".to_owned(), kind: ServiceKind::Cache(caches) });
    }
}

/// Whether the file belongs to another program than the one that is built: its flags and commands are not this one's.
fn is_foreign(file: &str, programs: &BTreeMap<String, bool>, out: &Recognised) -> bool {
    let folder = file.rsplit_once('/').map_or("", |it| it.0);
    programs.contains_key(folder) && !folder.is_empty() && out.target.as_deref() != Some(&format!("./{folder}"))
}

/// A program of several commands serves with the one that is called for it; alone it only shows its help.
fn serve(tree: &Tree, sources: &[&str], programs: &BTreeMap<String, bool>, out: &mut Recognised) {
    let Some(Command::Words(start)) = &mut out.start.clone() else { return };
    for file in sources.iter().filter(|it| !is_foreign(it, programs, out)) {
        let Some(text) = tree.text(file).filter(|it| it.contains("\"serve")) else { continue };
        let all = tokens(&text, Language::Go);
        let found =
            find(&all, &["Use", ":", "_"]).find_map(|(name, line)| Some((name.filter(|it| ["serve", "server"].contains(it))?, line)));
        if let Some((name, line)) = found {
            out.signal(file, line, format!("has a subcommand {name}"), "the program is started with it");
            start.push(name.to_owned());
            out.start = Some(Command::Words(start.clone()));
            return;
        }
    }
}

/// The program's own command for migrations: a flag `-migrate`, or a subcommand `migrate`, perhaps with `up` below it.
fn migration(tree: &Tree, sources: &[&str], programs: &BTreeMap<String, bool>, out: &mut Recognised) {
    let Some(Command::Words(start)) = out.start.clone() else { return };
    let mut found: Option<(&str, usize, Vec<&str>, String)> = None;
    let mut has_up = false;
    for file in sources.iter().filter(|it| !is_foreign(it, programs, out)) {
        let Some(text) = tree.text(file).filter(|it| it.contains("\"migrate\"") || it.contains("\"up\"")) else { continue };
        let all = tokens(&text, Language::Go);
        has_up |= find(&all, &["Use", ":", "_"]).any(|it| it.0 == Some("up"));
        let flag = [&["flag", ".", "Bool", "(", "_"][..], &["flag", ".", "BoolVar", "(", "&", "_word", ",", "_"]]
            .iter()
            .find_map(|pattern| find(&all, pattern).find(|it| it.0 == Some("migrate")));
        let subcommand = || find(&all, &["Use", ":", "_"]).find(|it| it.0 == Some("migrate"));
        if let Some((_, line)) = flag {
            found = Some((file, line, vec!["-migrate"], "has a flag -migrate".to_owned()));
            break;
        }
        if let Some((_, line)) = subcommand().filter(|_| found.is_none()) {
            found = Some((file, line, vec!["migrate"], "has a subcommand migrate".to_owned()));
        }
    }
    if let Some((file, line, mut words, says)) = found {
        if has_up && words == ["migrate"] {
            words.push("up");
        }
        out.signal(file, line, says, format!("`{}` runs before a rollout", words.join(" ")));
        out.migrate = Some(Command::Words(start.into_iter().take(1).chain(words.into_iter().map(str::to_owned)).collect()));
        return;
    }
    // Migrations in files that a program beside would run; most Go programs run theirs when they start.
    let Some(file) = tree.files().iter().find(|it| it.contains("migrations/") && it.ends_with(".sql")).cloned() else { return };
    out.signal(&file, 0, "is a migration", "no command runs it unless the configuration says one");
    out.assume("the program runs its migrations itself when it starts; say `migrate` where a command does");
}
