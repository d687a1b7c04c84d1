//! Checks the values of a well-formed file. Pure; each complaint has the path of its key.

mod cluster;
mod database;
mod ingress;

use std::path::Path;

use crate::config::{
    Config, EVERY, FILE, Service, ServiceName, Volume,
    form::{
        complaint_about_instance, control_character, host_name, image_name, image_reference, inside, label, mirror, postgresql_image,
        quantity, registry, tag, url_path,
    },
    keys,
};

/// A wrong value: its key and the reason.
#[derive(Debug, PartialEq)]
pub(crate) struct Complaint {
    pub(crate) key: String,
    /// The entry's name in a table with user-defined names.
    pub(crate) entry: Option<String>,
    pub(crate) text: String,
}

/// The folder that every run writes to.
const WORK: &str = "target/pocdeploy";
/// Linux limits a variable to 128 KiB (`MAX_ARG_STRLEN`). A longer secret is probably the content of a file, given by mistake.
const LONGEST_SECRET: usize = 4096;

/// All wrong values of the configuration.
pub(crate) fn complaints(config: &Config) -> Vec<Complaint> {
    let mut out: Vec<Complaint> = Vec::new();
    // One complaint for each key, since others may only follow from the first.
    let mut check = |key: &str, problem: Option<String>| {
        if let Some(text) = problem
            && !out.iter().any(|it| it.key == key)
        {
            out.push(Complaint { key: key.to_owned(), entry: None, text });
        }
    };
    for key in keys::all(config) {
        check(&key.path, key.text(config).and_then(|it| control_character(&it)));
    }
    if let Some(name) = &config.name {
        // kind adds fourteen characters for its node, and host names are limited to 63 characters.
        check("name", complaint_about_instance(name));
    }
    check("namespace", label(&config.namespace, 63));
    if matches!(config.namespace.as_str(), "default" | "cnpg-system" | "local-path-storage") || config.namespace.starts_with("kube-") {
        check("namespace", Some(format!("`{}` belongs to others; the application gets a namespace of its own", config.namespace)));
    }
    service(&config.frontend, "frontend", &mut check);
    if !config.frontend.page.starts_with('/') {
        check("frontend.page", url_path(&config.frontend.page));
    }
    for (name, further) in &config.services {
        let table = format!("services.{name}");
        check(&table, service_name(name).or_else(|| of_controller(config, name)));
        service(further, &table, &mut check);
        check(&format!("{table}.uses"), further.uses.as_deref().and_then(|used| uses(config, name, used)));
        check(&format!("{table}.image"), taken(config, name));
    }
    cluster::check(&config.cluster, &mut check);
    ingress::check(config, &mut check);
    database::check(config, &mut check);
    let images = &config.images;
    for (key, image) in [
        ("images.python", &images.python),
        ("images.node", &images.node),
        ("images.operator", &images.operator),
        ("images.valkey", &images.valkey),
        ("images.mailpit", &images.mailpit),
        ("images.traefik", &images.traefik),
    ] {
        check(key, image.as_deref().and_then(image_reference));
    }
    check("images.postgresql", images.postgresql.as_deref().and_then(postgresql_image));
    for (host, url) in &images.mirrors {
        if let Some(text) = registry(host).or_else(|| mirror(url)) {
            out.push(Complaint { key: "images.mirrors".to_owned(), entry: Some(host.clone()), text });
        }
    }
    out
}

/// Checks the table of one service.
fn service(service: &Service, table: &str, check: &mut impl FnMut(&str, Option<String>)) {
    let mut check = |key: &str, problem: Option<String>| check(&format!("{table}.{key}"), problem);
    let paths = [
        ("path", &service.path),
        ("patch_dir", &service.patch_dir),
        ("dockerfile", &service.dockerfile),
        ("requirements", &service.requirements),
    ];
    for (key, path) in paths {
        check(key, inside(path).or_else(|| own(path)));
    }
    check("packages", service.packages.values().find_map(|it| distribution(it)));
    check("groups", service.groups.iter().find_map(|it| distribution(it)));
    check("requirements", overwritten(&service.requirements, &service.dockerfile));
    check("image", image_name(&service.image));
    check("version", tag(&service.version));
    if !(1..=50).contains(&service.replicas) {
        check("replicas", Some("must be between 1 and 50".to_owned()));
    }
    check("secret_key", service.secret_key.as_ref().and_then(|it| secret_key(it.expose()).or_else(|| secret(it.expose()))));
    check("host", host_name(&service.host));
    if !service.page.is_empty() {
        check("page", url_path(&service.page));
    }
    if service.port == Some(0) {
        check("port", Some("must be between 1 and 65535".to_owned()));
    }
    check("health", service.health.as_deref().and_then(url_path));
    for (key, words) in [("command", &service.command), ("migrate", &service.migrate)] {
        let is_empty = words.as_ref().is_some_and(|it| it.first().is_none_or(|it| it.trim().is_empty()));
        check(key, is_empty.then(|| "names no program; leave the key out for the image's own command".to_owned()));
        check(key, words.iter().flatten().find_map(|it| without_end(it)));
    }
    check("schedule", service.schedule.as_deref().and_then(schedule));
    check("memory", quantity(&service.memory));
    check("writable", service.writable.iter().find_map(|it| container_path(it)));
    check("env", service.env.keys().find_map(|it| variable(it)).or_else(|| service.env.values().find_map(|it| without_end(it))));
    for (name, source) in &service.secrets {
        let name_of_none = (name != EVERY).then(|| variable(name)).flatten();
        let wrong = name_of_none.or_else(|| service.refuses_secret(name)).or_else(|| source.complaint(name));
        check(&format!("secrets.{name}"), wrong);
    }
    let place = |it: &Volume| match service.kind {
        Some(kind) => (!it.path.is_empty()).then(|| format!("`path` means nothing here: {kind} keeps its data in one place")),
        None if it.path.is_empty() => Some("lacks `path`, where it is in the container".to_owned()),
        None => container_path(&it.path),
    };
    let volume = |(name, it): (&String, &Volume)| {
        let wrong = label(name, 30).or_else(|| quantity(&it.size));
        wrong.or_else(|| place(it).map(|why| format!("{name}: {why}")))
    };
    check("volumes", service.volumes.iter().find_map(volume));
    if let Some(kind) = service.kind {
        check("volumes", (service.volumes.len() > 1).then(|| format!("{kind} keeps its data in one volume")));
    }
    if !service.text.is_empty() && service.text.trim().is_empty() {
        check("text", Some("is blank, which every page holds; leave the key out to ask for no text".to_owned()));
    }
}

/// Five fields of cron's, or one of its names; the API server judges the rest.
fn schedule(text: &str) -> Option<String> {
    let good = text.starts_with('@') || text.split_whitespace().count() == 5;
    (!good).then(|| format!("`{text}` must have the five fields of cron, such as `0 3 * * *`"))
}

fn container_path(text: &str) -> Option<String> {
    let good = text.starts_with('/') && text.len() > 1 && !text.split('/').any(|it| it == "..");
    if !good {
        return Some(format!("`{text}` must be an absolute path in the container"));
    }
    // Kubernetes refuses a colon there.
    control_character(text).or_else(|| text.contains(':').then(|| format!("`{text}` has a `:`, which no path of a mount can have")))
}

/// A word of a command, or a variable's value, ends at a NUL: no program gets what follows.
fn without_end(text: &str) -> Option<String> {
    text.contains('\0').then(|| "holds a NUL character, which neither a command nor a variable can have".to_owned())
}

/// A name that every shell takes.
fn variable(name: &str) -> Option<String> {
    let good = name.chars().all(|it| it.is_ascii_alphanumeric() || it == '_')
        && name.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_');
    (!good).then(|| format!("`{name}` is no name of a variable: letters, digits and `_`, no digit first"))
}

/// Reserved names: the first service, folders of `deploy/`, and component names on the command line.
const TAKEN: [&str; 5] = ["frontend", "database", "app", "migration", "operator"];

fn service_name(name: &str) -> Option<String> {
    if ServiceName::new(name).is_none() {
        let rule = "small letters, digits and hyphens, a letter first, at most 30";
        return Some(format!("`{name}` is no name of a service: {rule}"));
    }
    TAKEN.contains(&name).then(|| format!("`{name}` is taken: {} are names of the tool's own", TAKEN.join(", ")))
}

/// Why a service cannot have the name of the Ingress controller.
fn of_controller(config: &Config, name: &str) -> Option<String> {
    config.controller().filter(|it| it.as_str() == name)?;
    Some(format!("`{name}` is the Ingress controller of `ingress.controller`; choose another name"))
}

/// Why a service cannot use another's image.
fn uses(config: &Config, name: &str, used: &str) -> Option<String> {
    if used == "frontend" {
        return None;
    }
    match config.services.get(used) {
        _ if used == name => Some("is the service itself; leave the key out where it has an image of its own".to_owned()),
        None => {
            let all: Vec<&str> =
                std::iter::once("frontend").chain(config.services.keys().map(String::as_str)).filter(|it| *it != name).collect();
            Some(format!("there is no service `{used}`; there are {}", all.join(", ")))
        }
        Some(Service { kind: Some(kind), .. }) => Some(format!("`{used}` runs {kind}, which has no image of the application")),
        Some(it) => it.uses.as_ref().map(|of| format!("`{used}` has no image of its own: it uses that of `{of}`, and so can this one")),
    }
}

/// Two services must not build different images with the same name.
fn taken(config: &Config, name: &str) -> Option<String> {
    let is_built = |it: &&Service| it.uses.is_none() && it.kind.is_none();
    let own = config.services.get(name).filter(is_built)?;
    let others = config.services.iter().filter(|(other, it)| other.as_str() < name && is_built(it)).map(|(other, it)| (other.as_str(), it));
    let (other, _) = std::iter::once(("frontend", &config.frontend)).chain(others).find(|(_, it)| it.image == own.image)?;
    Some(format!("`{}` is the image of `{other}`; give this one another name, or write uses = \"{other}\"", own.image))
}

/// A path of the tool's own files, which cannot be the application's.
fn own(path: &Path) -> Option<String> {
    path.starts_with(WORK).then(|| format!("`{}` is in the folder that each run overwrites", path.display()))
}

/// A package name, optionally with extras or version, or empty; not an option, URL or path.
fn distribution(text: &str) -> Option<String> {
    let good = text.chars().all(|it| it.is_ascii_alphanumeric() || "-_.[],<>=!~* ".contains(it))
        && text.chars().next().is_none_or(|it| it.is_ascii_alphanumeric());
    (!good).then(|| format!("`{text}` is no name of a distribution"))
}

/// The tool writes the pins file, so it must not be another configured file.
fn overwritten(requirements: &Path, dockerfile: &Path) -> Option<String> {
    let named = requirements.strip_prefix(".").unwrap_or(requirements);
    let what = if named == Path::new(FILE) {
        FILE
    } else if named == dockerfile.strip_prefix(".").unwrap_or(dockerfile) {
        "the Dockerfile"
    } else if named.file_name().is_none() {
        "a folder"
    } else {
        return None;
    };
    Some(format!("`{}` is {what}, and pins would be written over it", requirements.display()))
}

/// Rules for any secret. Its value is never shown.
pub(super) fn secret(value: &str) -> Option<String> {
    if value.is_empty() {
        return Some("must not be empty; leave the key out to have one generated".to_owned());
    }
    if value.trim().is_empty() {
        return Some("must not be blank; leave the key out to have one generated".to_owned());
    }
    (value.len() > LONGEST_SECRET).then(|| format!("must have at most {LONGEST_SECRET} bytes"))
}

/// Django's check security.W009: at least 50 characters, five of them different, and not the prefix of `startproject`.
fn secret_key(value: &str) -> Option<String> {
    let mut different: Vec<char> = value.chars().collect();
    different.sort_unstable();
    different.dedup();
    let why = if value.chars().count() < 50 {
        "must have at least 50 characters"
    } else if different.len() < 5 {
        "must have at least 5 different characters"
    } else if value.starts_with("django-insecure-") {
        "is the key of a new project, which Django calls insecure"
    } else {
        return None;
    };
    Some(format!("{why}; leave the key out to have one generated"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Vec<String> {
        let config: Config = toml::from_str(text).unwrap();
        complaints(&config).into_iter().map(|it| it.key).collect()
    }

    #[test]
    fn wrong_values_are_found_all_at_once() {
        let text = "name = \"Big\"\nnamespace = \"kube-system\"\n[frontend]\npath = \"../elsewhere\"\nimage = \"polls:1\"\nversion = \"latest\"\n[cluster]\nport = 0\n\
                    [database]\nname = \"a;drop\"\nstorage = \"lots\"\n[services.app]\nsecret_key = \"short\"\n";
        let expected = [
            "name",
            "namespace",
            "frontend.path",
            "frontend.image",
            "frontend.version",
            "services.app",
            "services.app.secret_key",
            "cluster.port",
            "database.name",
            "database.storage",
        ];
        assert_eq!(keys(text), expected);
    }

    #[test]
    fn no_key_that_is_text_takes_a_control_character() {
        let one = || Config::parse("[services.worker]\n").unwrap();
        let is_text = |it: &keys::Key| it.text(&one()).is_some() || it.path.starts_with("images.") || it.path == "name";
        for key in keys::all(&one()).into_iter().filter(is_text) {
            for evil in ["a\nb", "a\r", "a\0b", "a\u{7f}b", "a\u{85}b", "\u{1b}[31m"] {
                let mut config = one();
                // A list of names rejects it itself.
                if key.set(&mut config, evil).is_ok() {
                    assert_eq!(complaints(&config).iter().map(|it| it.key.as_str()).collect::<Vec<_>>(), [key.path.as_str()], "{evil:?}");
                }
            }
        }
    }

    #[test]
    fn a_service_uses_the_image_of_one_that_has_its_own() {
        let check = |text: &str, expected: &[&str]| {
            let config: Config = toml::from_str(text).unwrap();
            let found: Vec<String> = complaints(&config).into_iter().map(|it| format!("{}: {}", it.key, it.text)).collect();
            assert_eq!(found, expected, "{text}");
        };
        check("[services.a]\nuses = \"frontend\"\n[services.b]\nimage = \"b\"\n[services.c]\nuses = \"b\"\n", &[]);
        check(
            "[services.a]\nuses = \"a\"\n",
            &["services.a.uses: is the service itself; leave the key out where it has an image of its own"],
        );
        check("[services.a]\nuses = \"b\"\n", &["services.a.uses: there is no service `b`; there are frontend"]);
        check(
            "[services.a]\nuses = \"b\"\n[services.b]\nuses = \"frontend\"\n",
            &["services.a.uses: `b` has no image of its own: it uses that of `frontend`, and so can this one"],
        );
        check(
            "[services.a]\nimage = \"x\"\n[services.b]\nimage = \"x\"\n",
            &["services.b.image: `x` is the image of `a`; give this one another name, or write uses = \"a\""],
        );
        check(
            "[services.database]\nimage = \"x\"\n[services.A_b]\nimage = \"y\"\n",
            &[
                "services.A_b: `A_b` is no name of a service: small letters, digits and hyphens, a letter first, at most 30",
                "services.database: `database` is taken: frontend, database, app, migration, operator are names of the tool's own",
            ],
        );
    }
}
