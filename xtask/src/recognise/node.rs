//! Node.js: the package manager, the framework, what builds, starts and migrates it.

use serde_json::Value;

use crate::recognise::{
    Command, Database, Framework, Packages, Question, Recognised, Stack,
    node_commands::direct,
    script,
    tokens::{Language, find, tokens},
    tree::Tree,
};

/// Where most of Node's frameworks listen by habit.
pub(super) const PORT: u16 = 3000;

/// Frameworks that serve requests, the more special first: Nest uses Express.
const SERVERS: [(&str, Framework); 6] = [
    ("next", Framework::Next),
    ("@nestjs/core", Framework::Nest),
    ("fastify", Framework::Fastify),
    ("koa", Framework::Koa),
    ("express", Framework::Express),
    ("@hapi/hapi", Framework::Node),
];

pub(super) fn recognise(tree: &Tree) -> Option<Recognised> {
    let package = tree.json("package.json")?;
    let wants = |name: &str| package["dependencies"].get(name).is_some();
    let has = |name: &str| wants(name) || package["devDependencies"].get(name).is_some();
    let script = |name: &str| package["scripts"][name].as_str().filter(|it| !it.trim().is_empty());
    let framework = SERVERS.iter().find(|it| wants(it.0));
    let is_said = tree.answers().start().is_some();
    let has_server =
        framework.is_some() || is_said || script("start").is_some() || package["main"].is_string() || tree.first(&ENTRIES).is_some();
    // A package that only builds pages for the browser is no server.
    let builder = ["vite", "react-scripts", "@angular/cli", "@vue/cli-service", "parcel", "gatsby"].into_iter().find(|it| has(it));
    if framework.is_none() && builder.is_some() && !is_said && !script::listens(tree) {
        return pages(tree, &package, builder?);
    }
    if !has_server {
        return None;
    }
    let (name, framework) = framework.map_or(("", Framework::Node), |it| (it.0, it.1));
    let mut out = Recognised::new(Stack::Node, framework, PORT);
    manager(tree, &package, &mut out);
    if !name.is_empty() {
        out.version = version(tree, &package, name);
        let line = tree.line_of("package.json", &format!("\"{name}\""));
        out.signal("package.json", line, format!("depends on {name}"), format!("the application is {framework}'s"));
    }
    language(tree, &package, &mut out);
    build_and_start(tree, &package, framework, &mut out);
    let said = tree.answers().start().map(|it| it.0);
    built(tree, said.or_else(|| out.start.clone()), script("build"), &mut out);
    migrations(tree, &package, &mut out);
    script::read(tree, &mut out);
    if wants("pg")
        || wants("pg-promise")
        || wants("sequelize")
        || wants("knex")
        || wants("typeorm")
        || wants("drizzle-orm")
        || wants("@prisma/client")
    {
        // pg checks the server's certificate when PGSSLMODE asks for TLS; the authority is the cluster's own.
        out.env.insert("NODE_EXTRA_CA_CERTS".to_owned(), "$(PGSSLROOTCERT)".to_owned());
        if out.database == Database::None {
            out.database = if (wants("pg") || wants("pg-promise")) && !wants("@prisma/client") {
                Database::Libpq
            } else {
                Database::Url("DATABASE_URL".to_owned())
            };
            out.assume("the database's variables are libpq's and DATABASE_URL: the code names no other");
        }
    }
    out.env.insert("NODE_ENV".to_owned(), "production".to_owned());
    Some(out)
}

const ENTRIES: [&str; 12] = [
    "server.js",
    "app.js",
    "index.js",
    "main.js",
    "server.mjs",
    "app.mjs",
    "index.mjs",
    "src/server.js",
    "src/app.js",
    "src/index.js",
    "src/main.js",
    "bin/www",
];

/// The package manager, by its lock; `packageManager` decides between several locks.
fn manager(tree: &Tree, package: &Value, out: &mut Recognised) {
    const LOCKS: [(&str, &str); 5] = [
        ("pnpm-lock.yaml", "pnpm"),
        ("yarn.lock", "yarn"),
        ("package-lock.json", "npm"),
        ("npm-shrinkwrap.json", "npm"),
        ("bun.lock", "bun"),
    ];
    let there: Vec<(&str, &str)> = LOCKS.into_iter().filter(|it| tree.has(it.0)).collect();
    let stated = package["packageManager"].as_str().and_then(|it| it.split('@').next());
    let chosen = there.iter().find(|it| Some(it.1) == stated).or_else(|| there.first());
    if there.len() > 1
        && let Some((lock, _)) = chosen
    {
        let all: Vec<&str> = there.iter().map(|it| it.0).collect();
        out.assume(format!("{lock} counts among {}", all.join(", ")));
    }
    // Without a lock there is nothing that another manager would do otherwise.
    let name = chosen.map(|it| it.1).or(stated.filter(|it| *it == "bun")).unwrap_or("npm").to_owned();
    if name == "bun" {
        out.lacks("bun.lock is Bun's, which no package registry brings as this tool needs it", "# npm install --package-lock-only");
    }
    match chosen {
        Some((lock, _)) => out.signal(lock, 0, "locks the dependencies", format!("{name} installs exactly these")),
        None if package["dependencies"].as_object().is_some_and(|it| !it.is_empty()) => {
            out.assume("no lock file: the newest versions that package.json allows are locked when the image is built");
        }
        None => {}
    }
    out.packages = Some(Packages { manager: name, lock: chosen.map(|it| it.0.to_owned()) });
}

/// The version in package-lock.json, else the one that package.json states as exact.
fn version(tree: &Tree, package: &Value, name: &str) -> Option<String> {
    let lock = tree.json("package-lock.json");
    let locked = lock.as_ref().and_then(|it| it["packages"][format!("node_modules/{name}")]["version"].as_str().map(str::to_owned));
    let stated = package["dependencies"][name].as_str().map(|it| it.trim_start_matches(['^', '~', '=', 'v']).to_owned());
    locked.or(stated.filter(|it| it.starts_with(|it: char| it.is_ascii_digit())))
}

fn language(tree: &Tree, package: &Value, out: &mut Recognised) {
    for file in [".nvmrc", ".node-version"] {
        if let Some(text) = tree.text(file) {
            let version = text.trim().trim_start_matches('v').to_owned();
            out.signal(file, 1, format!("Node.js {version}"), "the image has the newest release of that line");
            out.language = Some(version);
            return;
        }
    }
    if let Some(range) = package["engines"]["node"].as_str() {
        let line = tree.line_of("package.json", "\"engines\"");
        out.signal("package.json", line, format!("asks for Node.js {range}"), "the image has a release that fits");
        out.language = Some(range.to_owned());
    }
}

fn build_and_start(tree: &Tree, package: &Value, framework: Framework, out: &mut Recognised) {
    let script = |name: &str| package["scripts"][name].as_str().map(str::trim).filter(|it| !it.is_empty());
    let line = |name: &str| tree.line_of("package.json", &format!("\"{name}\":"));
    let manager = out.packages.as_ref().map_or("npm", |it| it.manager.as_str()).to_owned();
    if let Some(build) = script("build") {
        out.signal("package.json", line("build"), format!("script build: {build}"), "it runs when the image is built");
        out.build.push(Command::words(&[&manager, "run", "build"]));
    }
    if framework == Framework::Next {
        let config = tree.first(&["next.config.js", "next.config.mjs", "next.config.ts"]);
        let text = config.and_then(|it| tree.text(it)).unwrap_or_default();
        let all = tokens(&text, Language::JavaScript);
        let standalone = find(&all, &["output", ":", "_"]).find(|it| it.0 == Some("standalone"));
        out.env.insert("NEXT_TELEMETRY_DISABLED".to_owned(), "1".to_owned());
        out.env.insert("HOSTNAME".to_owned(), "0.0.0.0".to_owned());
        out.writable.insert("/srv/app/.next/cache".to_owned());
        if let (Some(file), Some((_, line))) = (config, standalone) {
            out.signal(file, line, "output is standalone", "the image holds the traced files alone");
            out.target = Some("standalone".to_owned());
            // The server answers for these files only if they lie beside it.
            let copy = "cp -R .next/static .next/standalone/.next/ && if [ -d public ]; then cp -R public .next/standalone/; fi";
            out.build.push(Command::Shell(copy.to_owned()));
            out.start = Some(Command::words(&["node", "server.js"]));
        } else {
            out.start = Some(Command::words(&["node", "node_modules/next/dist/bin/next", "start"]));
            out.assume("Next.js is started with its whole node_modules: `output: \"standalone\"` in its configuration would make the image smaller");
        }
        return;
    }
    let of_main = || package["main"].as_str().map(|it| it.trim_start_matches("./").to_owned()).filter(|it| tree.has(it));
    let start = script("start:prod").map(|it| ("start:prod", it)).or_else(|| script("start").map(|it| ("start", it)));
    match start {
        Some((name, text)) if framework == Framework::Nest && name == "start" => {
            out.signal("package.json", line(name), format!("script {name}: {text}"), "that is for development: dist/main.js is started");
            out.start = Some(Command::words(&["node", "dist/main.js"]));
        }
        Some((name, text)) => {
            out.signal("package.json", line(name), format!("script {name}: {text}"), "that is the start command");
            out.start = Some(direct(package, text, 0).unwrap_or_else(|| Command::words(&[&manager, "run", name])));
        }
        None => match of_main().or_else(|| tree.first(&ENTRIES).map(str::to_owned)) {
            Some(file) => {
                let assumed = vec![format!("no start script: `node {file}` is started")];
                tree.leave_open(Question::Start, Some(format!("node {file}")), assumed);
                out.start = Some(Command::words(&["node", &file]));
            }
            None => no_start(tree, "package.json has no script `start`, and no file is called like a server", out),
        },
    }
}

/// Nothing says how the server is started, unless the user does.
fn no_start(tree: &Tree, what: &str, out: &mut Recognised) {
    out.start = None;
    let file = script::servers(tree).next().unwrap_or("path/to/server.js");
    out.lacks_answer(Question::Start, what, format!("[frontend]\ncommand = [\"node\", \"{file}\"]"));
    tree.leave_open(Question::Start, None, Vec::new());
}

/// The file that `node` is given: nothing where it is a flag's.
fn started(command: &Command) -> Option<String> {
    let text = command.to_string();
    let file = text.split(' ').skip_while(|it| *it != "node").skip(1).find(|it| !it.starts_with('-'))?;
    Some(file.trim_start_matches("./").to_owned())
}

fn has_source(tree: &Tree) -> bool {
    tree.files().iter().any(|it| it.starts_with("src/") && (it.ends_with(".ts") || it.ends_with(".js")) && !it.ends_with(".d.ts"))
}

/// A published package brings what its build made, and not what it is made from.
fn built(tree: &Tree, start: Option<Command>, build: Option<&str>, out: &mut Recognised) {
    let Some(stated) = start.as_ref().and_then(started) else { return };
    let endings = ["", ".js", ".mjs", ".cjs", ".ts", "/index.js"];
    let Some(file) = endings.iter().map(|end| format!("{stated}{end}")).find(|it| tree.has(it)) else {
        // Where no source is there, no build makes it either, unless the user says so.
        if tree.answers().start().is_none() && !has_source(tree) && out.framework != Framework::Next {
            out.signal("package.json", 0, format!("starts {stated}, which is not in this folder"), "the start command must be said");
            let what = format!("package.json starts {stated}, and neither that file nor the source that it would be built from is here");
            no_start(tree, &what, out);
            out.build.clear();
        }
        return;
    };
    let is_source = |it: &&str| it.trim_start_matches("./").trim_end_matches('/') == "src";
    let reads = build.and_then(|it| it.split_whitespace().find(is_source));
    let is_made = script::is_made(&file);
    if has_source(tree) || !is_made && reads.is_none() {
        return;
    }
    out.install.is_product = true;
    if out.build.is_empty() {
        return;
    }
    out.build.clear();
    if is_made {
        let folder = file.split('/').next().unwrap_or_default();
        out.signal(&file, 0, "is what the build would make, and its source is not here", "the build script does not run");
        out.assume(format!("{folder}/ is the built application: its build script does not run"));
    } else if let Some(word) = reads {
        let line = tree.line_of("package.json", "\"build\":");
        out.signal("package.json", line, format!("script build reads {word}, which is not here"), "the build script does not run");
        out.assume("src/ is not here, so the package is the built application: its build script does not run");
    }
}

fn migrations(tree: &Tree, package: &Value, out: &mut Recognised) {
    let has = |name: &str| ["dependencies", "devDependencies"].iter().any(|it| package[*it].get(name).is_some());
    let schema = ["prisma/schema.prisma", "schema.prisma"].into_iter().find(|it| tree.has(it));
    let bin = |path: &str, words: &[&str]| {
        let path = format!("node_modules/{path}");
        Command::words(&[&["node", &path][..], words].concat())
    };
    if has("prisma")
        && let Some(schema) = schema
    {
        let has_any = tree.files().iter().any(|it| it.contains("prisma/migrations/") && it.ends_with("migration.sql"));
        let words: &[&str] = if has_any { &["migrate", "deploy"] } else { &["db", "push"] };
        out.signal(schema, 0, "is Prisma's schema", format!("`prisma {}` runs before a rollout", words.join(" ")));
        if !has_any {
            out.assume("Prisma has no migrations here: `prisma db push` makes the tables");
        }
        out.migrate = Some(bin("prisma/build/index.js", words));
        let text = tree.text(schema).unwrap_or_default();
        if let Some((at, line)) = text.lines().enumerate().find(|(_, it)| it.trim_start().starts_with("url") && it.contains("env(")) {
            let name = line.split('"').nth(1).unwrap_or("DATABASE_URL").to_owned();
            out.signal(schema, at + 1, format!("the database's address is the variable {name}"), "the environment says it");
            out.database = Database::Url(name);
        }
        out.build.insert(0, bin("prisma/build/index.js", &["generate"]));
        return;
    }
    let first = |names: &[&str]| names.iter().find(|it| tree.has(it)).map(|it| (*it).to_owned());
    if has("knex")
        && let Some(file) = first(&["knexfile.js", "knexfile.cjs", "knexfile.mjs", "knexfile.ts"])
    {
        out.signal(&file, 0, "is Knex' configuration", "`knex migrate:latest` runs before a rollout");
        out.migrate = Some(bin("knex/bin/cli.js", &["migrate:latest"]));
    } else if has("sequelize-cli") {
        let file = first(&[".sequelizerc", "config/config.js", "config/config.json"]).unwrap_or_else(|| "package.json".to_owned());
        out.signal(&file, 0, "Sequelize's own commands are there", "`sequelize-cli db:migrate` runs before a rollout");
        out.migrate = Some(bin("sequelize-cli/lib/sequelize", &["db:migrate"]));
    } else if has("drizzle-kit")
        && let Some(file) = first(&["drizzle.config.ts", "drizzle.config.js", "drizzle.config.mjs"])
    {
        out.signal(&file, 0, "is Drizzle's configuration", "`drizzle-kit migrate` runs before a rollout");
        out.migrate = Some(bin("drizzle-kit/bin.cjs", &["migrate"]));
    } else if has("node-pg-migrate") {
        out.signal(
            "package.json",
            tree.line_of("package.json", "node-pg-migrate"),
            "depends on node-pg-migrate",
            "`node-pg-migrate up` runs before a rollout",
        );
        out.migrate = Some(bin("node-pg-migrate/bin/node-pg-migrate.js", &["up"]));
    } else {
        for name in ["migrate", "db:migrate", "migrate:deploy", "migrate:up"] {
            if let Some(script) = package["scripts"][name].as_str() {
                let manager = out.packages.as_ref().map_or("npm", |it| it.manager.as_str()).to_owned();
                out.signal(
                    "package.json",
                    tree.line_of("package.json", &format!("\"{name}\":")),
                    format!("script {name}: {script}"),
                    "it runs before a rollout",
                );
                out.migrate = Some(direct(package, script, 0).unwrap_or_else(|| Command::words(&[&manager, "run", name])));
                break;
            }
        }
    }
}

/// A package whose product is a folder of files for the browser.
fn pages(tree: &Tree, package: &Value, builder: &str) -> Option<Recognised> {
    package["scripts"]["build"].as_str()?;
    let mut out = Recognised::new(Stack::Node, Framework::Site, crate::recognise::site::PORT);
    manager(tree, package, &mut out);
    out.signal(
        "package.json",
        tree.line_of("package.json", builder),
        format!("depends on {builder}, and nothing listens"),
        "the built pages are served as files",
    );
    build_and_start(
        tree,
        &serde_json::json!({ "scripts": { "build": package["scripts"]["build"], "start": "node" } }),
        Framework::Node,
        &mut out,
    );
    out.start = None;
    out.target = Some(
        match builder {
            "react-scripts" | "gatsby" => {
                if builder == "gatsby" {
                    "public"
                } else {
                    "build"
                }
            }
            _ => "dist",
        }
        .to_owned(),
    );
    out.assume(format!("the pages are in {}/ once they are built", out.target.as_deref().unwrap_or_default()));
    Some(out)
}
