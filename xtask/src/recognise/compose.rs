//! Compose files: which service is the application, which are its database and cache, what else runs beside.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::recognise::{Answers, Command, Database, Question, Recognised, Service, ServiceKind, tree::Tree, variables};

/// A compose file, as far as it is read; empty where there is none.
#[derive(Default)]
pub(super) struct Compose {
    file: String,
    text: String,
    services: BTreeMap<String, Value>,
    problem: Option<String>,
}

/// What a service of the file is for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Built from the application's source.
    Own,
    PostgreSql,
    Cache,
    /// A database that is not PostgreSQL.
    OtherDatabase,
    Mail,
    Proxy,
    Other,
}

impl Compose {
    pub(super) fn read(tree: &Tree) -> Compose {
        let Some(file) = tree.first(&["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"]) else {
            return Compose::default();
        };
        let text = tree.text(file).unwrap_or_default();
        let (services, problem) = match serde_saphyr::from_str::<Value>(&text) {
            Ok(document) => (document["services"].as_object().map(|it| it.clone().into_iter().collect()).unwrap_or_default(), None),
            Err(error) => (BTreeMap::new(), error.to_string().lines().next().map(str::to_owned)),
        };
        Compose { file: file.to_owned(), text, services, problem }
    }

    /// The Dockerfile that the application's service names.
    pub(super) fn dockerfile(&self) -> Option<String> {
        let (_, service) = self.web()?;
        let build = &service["build"];
        let context =
            build.as_str().or_else(|| build["context"].as_str())?.trim_start_matches("./").trim_matches('/').trim_start_matches('.');
        let name = build["dockerfile"].as_str().unwrap_or("Dockerfile").trim_start_matches("./");
        Some(if context.is_empty() { name.to_owned() } else { format!("{context}/{name}") })
    }

    /// The service that answers requests: of those that are built here the one with ports, else the first.
    fn web(&self) -> Option<(&String, &Value)> {
        let own: Vec<(&String, &Value)> = self.services.iter().filter(|(_, it)| kind(it) == Kind::Own).collect();
        let named = |name: &str| own.iter().find(|it| it.0 == name).copied();
        let has_ports = |it: &&(&String, &Value)| it.1["ports"].as_array().is_some_and(|it| !it.is_empty());
        ["web", "app", "frontend", "api", "server"]
            .into_iter()
            .find_map(named)
            .or_else(|| own.iter().find(has_ports).copied())
            .or_else(|| own.first().copied())
    }

    fn line(&self, name: &str) -> usize {
        let is_it =
            |line: &str| line.starts_with([' ', '\t']) && line.trim_start().strip_prefix(name).is_some_and(|it| it.starts_with(':'));
        self.text.lines().position(is_it).map_or(0, |it| it + 1)
    }

    pub(super) fn add(&self, found: &mut Recognised, answers: &Answers) {
        if let Some(problem) = &self.problem {
            found.signal(&self.file, 0, format!("cannot be read: {problem}"), "nothing follows from it");
        }
        let web = self.web().map(|it| it.0.clone());
        for (name, service) in &self.services {
            let line = self.line(name);
            match kind(service) {
                Kind::Own if Some(name) == web.as_ref() => self.application(found, name, service, line),
                Kind::Own => {
                    // The same image with another command is a process; another source is a service of its own.
                    let build = self.services.get(web.as_deref().unwrap_or_default()).map(|it| it["build"].clone());
                    match command(service) {
                        Some(run) if build.as_ref() == Some(&service["build"]) || service["build"].is_null() => {
                            found.signal(&self.file, line, format!("{name} runs `{run}`"), "a process beside the web server");
                            self.process(found, name, service);
                            let name = service_name(name);
                            found.services.retain(|it| it.name != name);
                            found.services.push(Service { name, kind: ServiceKind::Process(run) });
                        }
                        _ => {
                            let path = service["build"]
                                .as_str()
                                .or_else(|| service["build"]["context"].as_str())
                                .unwrap_or(".")
                                .trim_start_matches("./")
                                .to_owned();
                            found.signal(
                                &self.file,
                                line,
                                format!("{name} is built from {path}"),
                                "a service of its own, which must be said",
                            );
                            if !answers.has_service(name) {
                                found.lacks(
                                    format!("{}:{line}: {name} is another application", self.file),
                                    format!("[services.{name}]\npath = \"{path}\"\ndockerfile = \"{path}/Dockerfile\""),
                                );
                            }
                        }
                    }
                }
                Kind::PostgreSql => {
                    found.signal(&self.file, line, format!("{name} is PostgreSQL"), "the cluster's own takes its place");
                    let extension = match image_name(service) {
                        "postgis" => "postgis",
                        "pgvector" => "vector",
                        _ => continue,
                    };
                    found.signal(&self.file, line, format!("{name} has the extension {extension}"), "the database has it too");
                    found.extensions.insert(extension.to_owned());
                }
                Kind::Cache => {
                    let new = service_name(name);
                    found.signal(&self.file, line, format!("{name} speaks Redis' protocol"), format!("the valkey {new} takes its place"));
                    // What the source told of a cache is of this one; only its first one is.
                    let earlier = found.services.iter().position(|it| it.name == "cache" && matches!(it.kind, ServiceKind::Cache(_)));
                    let mut names: BTreeSet<String> = match earlier.map(|it| found.services.remove(it).kind) {
                        Some(ServiceKind::Cache(names)) => names,
                        _ => BTreeSet::new(),
                    };
                    // Those with its name need no other value: it is reached by that name here, too.
                    names.extend(self.names(web.as_deref()).into_iter().filter(|it| variables::is_cache(it)).map(str::to_owned));
                    self.keep(found, service, &new);
                    found.services.push(Service { name: new, kind: ServiceKind::Cache(names) });
                }
                Kind::OtherDatabase => {
                    let image = service["image"].as_str().unwrap_or_default();
                    found.signal(&self.file, line, format!("{name} is {image}"), "no PostgreSQL");
                    found.lacks(
                        format!("{}:{line}: {name} is {image}, and this tool brings PostgreSQL", self.file),
                        "# let the application use PostgreSQL, by its configuration or a patch",
                    );
                }
                Kind::Mail => {
                    let new = service_name(name);
                    found.signal(&self.file, line, format!("{name} catches mail"), format!("the mailpit {new} takes its place"));
                    self.keep(found, service, &new);
                    found.services.push(Service { name: new, kind: ServiceKind::Mail });
                }
                Kind::Proxy => found.signal(&self.file, line, format!("{name} is a proxy"), "the cluster's Service takes its place"),
                Kind::Other => {
                    let image = service["image"].as_str().unwrap_or("no image");
                    found.signal(&self.file, line, format!("{name} is {image}"), "left out");
                    found.assume(format!("{name} ({image}) of {} is left out", self.file));
                }
            }
        }
    }

    /// What a process is told beside what the web server is told: both have the same image, and here the same variables.
    fn process(&self, found: &mut Recognised, name: &str, service: &Value) {
        let of_web = self.web().map(|it| environment(it.1)).unwrap_or_default();
        let differs: Vec<&str> =
            environment(service).into_iter().filter(|(name, value)| of_web.get(name) != Some(value)).map(|it| it.0).collect();
        let known = |it: &&str| variables::part_of(it).is_some() || variables::CONTRACT.contains(it);
        let differs: Vec<&str> = differs.into_iter().filter(|it| !known(it)).collect();
        if !differs.is_empty() {
            let what =
                format!("{name} has other values of {} in {} than the web server, which are left out", differs.join(", "), self.file);
            found.assume(format!("{what}; [services.{}.env] would set them", service_name(name)));
        }
    }

    /// A volume of the file's own is kept; a folder of the machine is not looked at.
    fn keep(&self, found: &mut Recognised, service: &Value, name: &str) {
        let volumes = service["volumes"].as_array().into_iter().flatten();
        let source = |it: &Value| {
            it.as_str().and_then(|it| it.split(':').next().map(str::to_owned)).or_else(|| it["source"].as_str().map(str::to_owned))
        };
        if volumes.filter_map(source).any(|it| !it.starts_with(['.', '/', '~', '$'])) {
            found.files.kept.insert(name.to_owned());
        }
    }

    fn names(&self, service: Option<&str>) -> BTreeSet<&str> {
        service.and_then(|it| self.services.get(it)).map(|it| environment(it).into_keys().collect()).unwrap_or_default()
    }

    fn application(&self, found: &mut Recognised, name: &str, service: &Value, line: usize) {
        found.signal(&self.file, line, format!("{name} is built here"), "it is the application");
        if let Some(port) =
            service["ports"].as_array().into_iter().flatten().chain(service["expose"].as_array().into_iter().flatten()).find_map(port)
        {
            // The server that is started here listens where its command says, whatever the container of that file does.
            let start = found.start.as_ref().map(ToString::to_string).filter(|_| command(service).is_none()).unwrap_or_default();
            if start.contains(&format!(":{}", found.port)) || start.contains(&format!("--port {}", found.port)) {
                found.signal(&self.file, line, format!("{name} listens on port {port}"), format!("the start command says {}", found.port));
            } else {
                found.signal(&self.file, line, format!("{name} listens on port {port}"), "requests go there");
                found.port = port;
                found.known(Question::Port);
            }
        }
        if let Some(run) = command(service) {
            found.signal(&self.file, line, format!("{name} runs `{run}`"), "that is the start command");
            let text = run.to_string();
            // A server for development is no start command of a deployment.
            if !["runserver", "--reload", "nodemon", "run dev", "--debug", "air"].iter().any(|it| text.contains(it)) {
                found.start = Some(run);
                found.known(Question::Start);
                found.known(Question::Object);
            } else {
                found.assume(format!("`{text}` of {} is for development and is not used", self.file));
            }
        }
        let given = environment(service);
        let names: Vec<&str> = given.keys().copied().collect();
        if matches!(found.database, Database::None) {
            found.database = variables::database(&names);
        }
        let names = |value: &str, it: &str| {
            let rest = value.rsplit_once("://").map_or(value, |it| it.1);
            let host = rest.rsplit('@').next().unwrap_or(rest).split([':', '/']).next().unwrap_or_default();
            host == it
        };
        let is_service = |value: &str| self.services.keys().any(|it| names(value, it) || value.contains(&format!("@{it}")));
        // A service that is taken over has the same name here. A password is for the file's own.
        let stays = |value: &str| {
            let taken_over = |(name, it): (&String, &Value)| {
                names(value, name) && matches!(kind(it), Kind::Cache | Kind::Mail) && service_name(name) == *name
            };
            self.services.iter().any(taken_over) && !value.contains('@')
        };
        // Whatever it is called, the address of the file's PostgreSQL is that of the cluster's.
        let leads_to_database = |value: &str| {
            let is_it = |(name, it): (&String, &Value)| kind(it) == Kind::PostgreSql && names(value, name);
            value.contains("://") && self.services.iter().any(is_it)
        };
        for (name, value) in &given {
            if leads_to_database(value) && variables::part_of(name).is_none() {
                found.signal(&self.file, line, format!("{name} is the address of PostgreSQL"), "the cluster's address is given");
                found.env.entry((*name).to_owned()).or_insert_with(|| address(value));
                if found.database == Database::None {
                    found.database = Database::Url((*name).to_owned());
                }
            }
        }
        for (name, value) in given {
            let is_known = variables::part_of(name).is_some() || variables::is_secret(name) || variables::CONTRACT.contains(&name);
            if variables::is_secret(name) && found.secret_key.is_none() {
                found.secret_key = Some(name.to_owned());
            }
            // Addresses of other services and what the caller's shell would fill in are no values for the cluster.
            if stays(&value) || !is_known && !value.is_empty() && !value.contains("${") && !is_service(&value) {
                found.env.entry(name.to_owned()).or_insert(value);
            }
        }
        for volume in service["volumes"].as_array().into_iter().flatten().filter_map(|it| {
            it.as_str().map(str::to_owned).or_else(|| Some(format!("{}:{}", it["source"].as_str()?, it["target"].as_str()?)))
        }) {
            let mut parts = volume.split(':');
            if let (Some(source), Some(target)) = (parts.next(), parts.next())
                && !source.starts_with(['.', '/', '~', '$'])
            {
                found.signal(&self.file, line, format!("{name} keeps {target} in the volume {source}"), "a volume of the deployment");
                if found.files.media.is_none() {
                    found.files.media = Some(target.to_owned());
                } else if found.files.media.as_deref() != Some(target) {
                    found.files.volumes.insert(service_name(source), target.to_owned());
                }
            }
        }
    }
}

/// The cluster's address in the scheme of another: SQLAlchemy's names a driver behind a `+`.
fn address(value: &str) -> String {
    let scheme = value.split("://").next().unwrap_or_default();
    let rest = "$(PGUSER):$(PGPASSWORD)@$(PGHOST):$(PGPORT)/$(PGDATABASE)";
    match scheme.split_once('+') {
        Some((_, "asyncpg")) => format!("{scheme}://{rest}?ssl=require"),
        Some(_) => format!("{scheme}://{rest}"),
        None => variables::Part::Url.reference().to_owned(),
    }
}

/// The name of a service here: compose allows more characters.
fn service_name(name: &str) -> String {
    let name: String = name.to_lowercase().chars().map(|it| if it.is_ascii_alphanumeric() { it } else { '-' }).take(30).collect();
    name.trim_start_matches(|it: char| !it.is_ascii_lowercase()).trim_end_matches('-').to_owned()
}

fn kind(service: &Value) -> Kind {
    if !service["build"].is_null() {
        return Kind::Own;
    }
    match image_name(service) {
        "postgres" | "postgresql" | "postgis" | "timescaledb" | "pgvector" => Kind::PostgreSql,
        "redis" | "valkey" | "keydb" | "dragonfly" | "redis-stack" => Kind::Cache,
        "mysql" | "mariadb" | "mongo" | "mongodb" | "mssql" | "percona" | "cassandra" | "couchdb" => Kind::OtherDatabase,
        "mailpit" | "mailhog" | "maildev" | "mailcatcher" => Kind::Mail,
        "nginx" | "traefik" | "caddy" | "haproxy" | "nginx-proxy" => Kind::Proxy,
        _ => Kind::Other,
    }
}

/// The image's name without registry, folders and tag.
fn image_name(service: &Value) -> &str {
    let image = service["image"].as_str().unwrap_or_default();
    let name = image.split('@').next().unwrap_or_default();
    name.rsplit('/').next().unwrap_or(name).split(':').next().unwrap_or_default()
}

fn command(service: &Value) -> Option<Command> {
    match &service["command"] {
        Value::String(line) => Some(Command::line(&line.replace("$$", "$"))),
        Value::Array(words) => Some(Command::Words(words.iter().filter_map(|it| it.as_str().map(|it| it.replace("$$", "$"))).collect())),
        _ => None,
    }
}

/// The port inside the container of `8000`, `80:8000`, `127.0.0.1:80:8000/tcp`, or of the long form.
fn port(value: &Value) -> Option<u16> {
    let number = value.as_u64().or_else(|| value["target"].as_u64());
    let text = value.as_str().and_then(|it| it.rsplit(':').next()?.split(['/', '-']).next()?.parse().ok());
    number.and_then(|it| u16::try_from(it).ok()).or(text)
}

fn environment(service: &Value) -> BTreeMap<&str, String> {
    let shown = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    match &service["environment"] {
        Value::Object(map) => map.iter().map(|(name, value)| (name.as_str(), shown(value))).collect(),
        Value::Array(list) => list
            .iter()
            .filter_map(|it| it.as_str())
            .map(|it| it.split_once('=').map_or((it, String::new()), |(a, b)| (a, b.to_owned())))
            .collect(),
        _ => BTreeMap::new(),
    }
}
