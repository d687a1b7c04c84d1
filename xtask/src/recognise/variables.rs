//! Names of variables: which of them hold a part of the database's address, a secret key, hosts, a cache.

use std::collections::BTreeMap;

use crate::recognise::{Database, Recognised, ServiceKind};

/// A part of the database's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Url,
    Host,
    Port,
    Name,
    User,
    Password,
    SslMode,
}

impl Part {
    /// The variable of the contract that holds it, as Kubernetes puts it into another's value.
    pub fn reference(self) -> &'static str {
        match self {
            Part::Url => "$(DATABASE_URL)",
            Part::Host => "$(PGHOST)",
            Part::Port => "$(PGPORT)",
            Part::Name => "$(PGDATABASE)",
            Part::User => "$(PGUSER)",
            Part::Password => "$(PGPASSWORD)",
            Part::SslMode => "$(PGSSLMODE)",
        }
    }
}

/// Variables that every pod gets; they need no mapping.
pub(super) const CONTRACT: [&str; 13] = [
    "PORT",
    "DATABASE_URL",
    "PGHOST",
    "PGPORT",
    "PGDATABASE",
    "PGUSER",
    "PGPASSWORD",
    "PGSSLMODE",
    "PGSSLROOTCERT",
    "SECRET_KEY",
    "ALLOWED_HOSTS",
    "TRUSTED_ORIGINS",
    "APP_URL",
];

/// Variables that every pod gets where there is a cache; the others of a cache are given `REDIS_URL`.
pub const OF_CACHE: [&str; 5] = ["REDIS_URL", "REDIS_HOST", "REDIS_PORT", "CELERY_BROKER_URL", "CACHE_URL"];

/// Variables that every pod gets where mail is caught.
const OF_MAIL: [&str; 9] =
    ["SMTP_URL", "SMTP_HOST", "SMTP_PORT", "EMAIL_URL", "EMAIL_HOST", "EMAIL_PORT", "MAIL_SERVER", "MAIL_HOST", "MAIL_PORT"];

/// Words that say that a variable is of the database.
const DATABASE: [&str; 12] =
    ["DB", "DATABASE", "POSTGRES", "POSTGRESQL", "PG", "PSQL", "SQL", "SQLALCHEMY", "DATABASES", "RDS", "PGSQL", "TYPEORM"];

/// What part of the database's address a variable of that name holds, if any.
///
/// `POSTGRES_DB` and `DB_NAME` are names of databases, `POSTGRES_SERVER` is a host, `SQLALCHEMY_DATABASE_URI` a URL.
pub(super) fn part_of(name: &str) -> Option<Part> {
    let upper = name.to_uppercase();
    match upper.as_str() {
        "PGHOST" => return Some(Part::Host),
        "PGPORT" => return Some(Part::Port),
        "PGDATABASE" => return Some(Part::Name),
        "PGUSER" => return Some(Part::User),
        "PGPASSWORD" => return Some(Part::Password),
        "PGSSLMODE" => return Some(Part::SslMode),
        _ => {}
    }
    let words: Vec<&str> = upper.split('_').filter(|it| !it.is_empty()).collect();
    let last = *words.last()?;
    // A URL of a test's or of another system's database is no address of ours.
    if words.iter().any(|it| ["TEST", "TESTING", "MYSQL", "MONGO", "MONGODB", "REDIS", "SQLITE", "REPLICA"].contains(it)) {
        return None;
    }
    // The word before: DB_ROOT_PASSWORD and DATABASE_APPLICATION_NAME are of something else.
    let is_database = words.iter().rev().nth(1).is_some_and(|it| DATABASE.contains(it));
    match last {
        "URL" | "URI" | "DSN" if is_database => Some(Part::Url),
        _ if !is_database => None,
        "HOST" | "SERVER" | "HOSTNAME" | "ADDR" | "ADDRESS" => Some(Part::Host),
        "PORT" => Some(Part::Port),
        "NAME" | "DB" | "DATABASE" | "DBNAME" => Some(Part::Name),
        "USER" | "USERNAME" => Some(Part::User),
        "PASSWORD" | "PASS" | "PASSWD" | "PWD" | "PW" => Some(Part::Password),
        "SSLMODE" => Some(Part::SslMode),
        _ => None,
    }
}

/// Whether a variable of that name holds a secret of the application's own, which any long random text can be.
pub(super) fn is_secret(name: &str) -> bool {
    let upper = name.to_uppercase();
    let words: Vec<&str> = upper.split('_').collect();
    let ends = |one: &str, two: &str| words.len() >= 2 && words[words.len() - 2..] == [one, two];
    let is_foreign = [
        "AWS",
        "S3",
        "STRIPE",
        "GITHUB",
        "GOOGLE",
        "OAUTH",
        "CLIENT",
        "TWILIO",
        "SENTRY",
        "AZURE",
        "FACEBOOK",
        "API",
        "CAPTCHA",
        "RECAPTCHA",
    ];
    if words.iter().any(|it| is_foreign.contains(it)) {
        return false;
    }
    ends("SECRET", "KEY")
        || ends("SESSION", "SECRET")
        || ends("JWT", "SECRET")
        || ends("AUTH", "SECRET")
        || ends("NEXTAUTH", "SECRET")
        || ends("COOKIE", "SECRET")
        || ends("APP", "SECRET")
}

/// Whether a variable of that name holds the address of a cache that speaks Redis' protocol.
pub(super) fn is_cache(name: &str) -> bool {
    ["REDIS_URL", "REDIS_URI", "CACHE_URL", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "BROKER_URL", "REDIS_DSN", "VALKEY_URL"]
        .contains(&name)
        || name.ends_with("_REDIS_URL")
}

/// Whether a variable of that name holds the port that the application listens on, and not that of something that it asks.
pub(super) fn is_port(name: &str) -> bool {
    let upper = name.to_uppercase();
    let words: Vec<&str> = upper.split('_').collect();
    let foreign = [
        "REDIS",
        "VALKEY",
        "SMTP",
        "MAIL",
        "EMAIL",
        "IMAP",
        "LDAP",
        "KAFKA",
        "AMQP",
        "RABBITMQ",
        "MONGO",
        "MONGODB",
        "MYSQL",
        "ELASTIC",
        "ELASTICSEARCH",
        "PROXY",
        "DEBUG",
        "INSPECT",
        "METRICS",
        "PROMETHEUS",
        "STATSD",
        "ADMIN",
        "TEST",
        "GRPC",
        "HTTPS",
        "SSL",
        "TLS",
        "PUBLIC",
        "EXTERNAL",
        "CLIENT",
        "WORKER",
    ];
    words.len() > 1 && words.last() == Some(&"PORT") && part_of(name).is_none() && !words.iter().any(|it| foreign.contains(it))
}

/// The one with the shortest name; nothing where two are equally short.
pub(super) fn shortest<T: Clone>(names: &BTreeMap<String, T>) -> Option<(String, T)> {
    let least = names.keys().map(String::len).min()?;
    let mut found = names.iter().filter(|it| it.0.len() == least);
    let (name, it) = found.next()?;
    found.next().is_none().then(|| (name.clone(), it.clone()))
}

/// The database of an application that reads these variables.
pub(super) fn database(names: &[&str]) -> Database {
    let has = |it: &str| names.contains(&it);
    if has("DATABASE_URL") {
        return Database::Url("DATABASE_URL".to_owned());
    }
    if let Some(url) = names.iter().find(|it| part_of(it) == Some(Part::Url)) {
        return Database::Url((*url).to_owned());
    }
    if has("PGHOST") || has("PGDATABASE") {
        return Database::Libpq;
    }
    let parts: BTreeMap<String, Part> = names.iter().filter_map(|it| Some(((*it).to_owned(), part_of(it)?))).collect();
    // One alone, such as a port, is no address.
    if parts.values().any(|it| *it == Part::Host) && parts.len() > 1 { Database::Variables(parts) } else { Database::None }
}

/// Gives every variable that is known by now its value, where the contract has another name for it.
pub(super) fn settle(found: &mut Recognised) {
    let mut set = BTreeMap::new();
    match &found.database {
        Database::Url(name) if name != "DATABASE_URL" => {
            set.insert(name.clone(), Part::Url.reference().to_owned());
        }
        Database::Variables(parts) => set.extend(parts.iter().map(|(name, part)| (name.clone(), part.reference().to_owned()))),
        _ => {}
    }
    if let Some(name) = found.secret_key.as_ref().filter(|it| *it != "SECRET_KEY") {
        set.insert(name.clone(), "$(SECRET_KEY)".to_owned());
    }
    if let crate::recognise::Hosts::Variable { name, separator } = &found.hosts {
        if name != "ALLOWED_HOSTS" {
            set.insert(name.clone(), "$(ALLOWED_HOSTS)".to_owned());
        }
        if separator != "," {
            let what =
                format!("{name} is split at {separator:?}, and ALLOWED_HOSTS has commas: with more than one host it must be said by hand");
            found.assumed.push(what);
        }
    }
    for service in &found.services {
        if let ServiceKind::Cache(names) = &service.kind {
            set.extend(names.iter().filter(|it| !OF_CACHE.contains(&it.as_str())).map(|it| (it.clone(), "$(REDIS_URL)".to_owned())));
        }
    }
    for (name, value) in set {
        if !CONTRACT.contains(&name.as_str()) {
            found.env.entry(name).or_insert(value);
        }
    }
    // A compose file or a service may say what the source alone left open.
    let has = |is: fn(&ServiceKind) -> bool| found.services.iter().any(|it| is(&it.kind));
    let (has_cache, has_mail) = (has(|it| matches!(it, ServiceKind::Cache(_))), has(|it| *it == ServiceKind::Mail));
    let is_given =
        |name: &str| found.env.contains_key(name) || (has_cache && OF_CACHE.contains(&name)) || (has_mail && OF_MAIL.contains(&name));
    let asked = |lines: &str| lines.strip_prefix("[frontend.env]\n").and_then(|it| it.split(" = ").next()).map(str::to_owned);
    found.missing.retain(|it| asked(&it.lines).is_none_or(|name| !is_given(&name)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variables_name_says_which_part_of_the_address_it_holds() {
        for (name, part) in [
            ("DATABASE_URL", Some(Part::Url)),
            ("SQLALCHEMY_DATABASE_URI", Some(Part::Url)),
            ("POSTGRES_DSN", Some(Part::Url)),
            ("PGHOST", Some(Part::Host)),
            ("POSTGRES_SERVER", Some(Part::Host)),
            ("DB_PORT", Some(Part::Port)),
            ("POSTGRES_DB", Some(Part::Name)),
            ("DJANGO_DB_NAME", Some(Part::Name)),
            ("DB_USERNAME", Some(Part::User)),
            ("APP_DATABASE_PASS", Some(Part::Password)),
            ("db_host", Some(Part::Host)),
            ("TEST_DATABASE_URL", None),
            ("REDIS_URL", None),
            ("MYSQL_DB_HOST", None),
            ("EMAIL_HOST", None),
            ("DB_ROOT_PASSWORD", None),
            ("DATABASE_APPLICATION_NAME", None),
            ("DB", None),
            ("", None),
        ] {
            assert_eq!(part_of(name), part, "{name}");
        }
    }

    #[test]
    fn a_secret_of_the_applications_own_is_told_from_a_key_for_others() {
        assert!(["SECRET_KEY", "DJANGO_SECRET_KEY", "SESSION_SECRET", "NEXTAUTH_SECRET"].iter().all(|it| is_secret(it)));
        assert!(!["AWS_SECRET_KEY", "CLIENT_SECRET", "STRIPE_SECRET_KEY", "KEY"].iter().any(|it| is_secret(it)));
    }

    #[test]
    fn a_port_of_its_own_is_told_from_one_of_something_that_it_asks() {
        assert!(["APP_PORT", "SERVER_PORT", "PG_META_PORT", "http_port"].iter().all(|it| is_port(it)));
        assert!(!["PORT", "DB_PORT", "SMTP_PORT", "REDIS_PORT", "APP_ADMIN_PORT", "PORTS", "APP_PORT_NAME"].iter().any(|it| is_port(it)));
        let one = |names: &[&str]| shortest(&names.iter().map(|it| ((*it).to_owned(), ())).collect()).map(|it| it.0);
        assert_eq!(one(&["APP_HTTP_PORT", "APP_PORT"]).as_deref(), Some("APP_PORT"));
        assert_eq!(one(&["APP_PORT", "WEB_PORT"]), None);
    }

    #[test]
    fn a_url_goes_before_parts_and_one_part_alone_is_no_address() {
        assert_eq!(database(&["DB_HOST", "DATABASE_URL"]), Database::Url("DATABASE_URL".to_owned()));
        assert_eq!(database(&["PGHOST", "PGUSER"]), Database::Libpq);
        assert_eq!(database(&["DB_PORT"]), Database::None);
        let parts = BTreeMap::from([("DB_HOST".to_owned(), Part::Host), ("DB_NAME".to_owned(), Part::Name)]);
        assert_eq!(database(&["DB_HOST", "DB_NAME", "DEBUG"]), Database::Variables(parts));
    }
}
