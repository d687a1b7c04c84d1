//! The extensions of PostgreSQL that the application's migrations and code ask for.

use crate::{
    config::{Config, FILE, extension},
    recognise::{Change, Database, Recognised, tree::Tree},
};

/// Files whose text may create an extension.
const ENDINGS: [&str; 10] = [".sql", ".py", ".prisma", ".ts", ".js", ".go", ".rs", ".rb", ".ex", ".mjs"];

/// Operations of Django's migrations (`django.contrib.postgres.operations` of Django 6.0, `pgvector.django` of pgvector 0.4), and its engine
/// for PostGIS.
const OPERATIONS: [(&str, &str); 11] = [
    ("BloomExtension(", "bloom"),
    ("BtreeGinExtension(", "btree_gin"),
    ("BtreeGistExtension(", "btree_gist"),
    ("CITextExtension(", "citext"),
    ("CryptoExtension(", "pgcrypto"),
    ("HStoreExtension(", "hstore"),
    ("HalfvecExtension(", "vector"),
    ("TrigramExtension(", "pg_trgm"),
    ("UnaccentExtension(", "unaccent"),
    ("VectorExtension(", "vector"),
    ("django.contrib.gis.db.backends.postgis", "postgis"),
];

/// Adds the extensions that the files name. Of an application without a database nothing is read.
pub(super) fn add(tree: &Tree, found: &mut Recognised) {
    if found.database == Database::None {
        return;
    }
    let mut seen: Vec<(String, usize, String)> = Vec::new();
    for ending in ENDINGS {
        for file in tree.code(ending) {
            let Some(text) = tree.text(file) else { continue };
            seen.extend(named(&text, ending).into_iter().map(|(line, name)| (file.to_owned(), line, name)));
        }
    }
    for (file, line, name) in seen {
        if found.extensions.contains(&name) || name == "plpgsql" {
            continue;
        }
        if extension::is_known(&name) {
            found.signal(&file, line, format!("it needs PostgreSQL's extension {name}"), "the database has it before the migration");
            found.extensions.insert(name);
        } else if !found.missing.iter().any(|it| it.what.contains(&format!("`{name}`"))) {
            found.lacks(
                format!(
                    "{file}:{line} creates PostgreSQL's extension `{name}`, which no built-in image has: name one that has it in {FILE}"
                ),
                format!(
                    "[images]\npostgresql = \"registry.example.com/postgresql:{}-{name}\"",
                    Config::default().database.version.unwrap_or(17)
                ),
            );
        }
    }
    geographic(tree, found);
}

/// GeoDjango has an engine of its own.
fn geographic(tree: &Tree, found: &mut Recognised) {
    let names_it = |file: &str| tree.text(file).is_some_and(|it| it.contains("django.contrib.gis"));
    if !found.extensions.contains("postgis") || !tree.code(".py").any(names_it) {
        return;
    }
    found.lacks(
        "GeoDjango loads the libraries GDAL, GEOS and PROJ, which the image of Python does not have",
        "# build/Dockerfile.frontend needs a line: RUN apt-get update && apt-get install -y gdal-bin; and `build_network = true`",
    );
    for change in &mut found.changes {
        if let Change::DjangoSettings(settings) = change {
            settings.postgis = true;
        }
    }
}

/// The extensions that a text creates, with the number of the line.
fn named(text: &str, ending: &str) -> Vec<(usize, String)> {
    let mut out = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let code = line.trim_start();
        if code.starts_with("--") || code.starts_with('#') || code.starts_with("//") {
            continue;
        }
        let lower = line.to_ascii_lowercase();
        for (start, words) in lower.match_indices("create extension") {
            out.extend(name_after(&line[start + words.len()..]).map(|it| (at + 1, it)));
        }
        if ending == ".py" {
            let is_there = |word: &&(&str, &str)| line.contains(word.0) && !line.contains("import ");
            out.extend(OPERATIONS.iter().filter(is_there).map(|(_, name)| (at + 1, (*name).to_owned())));
            for (start, words) in line.match_indices("CreateExtension(") {
                out.extend(first_text(&line[start + words.len()..]).map(|it| (at + 1, it)));
            }
        }
        // `extensions = [postgis(version: "3"), pgcrypto, vector(map: "x")]`
        if ending == ".prisma" && code.starts_with("extensions") {
            let list = line.split_once('[').map_or("", |it| it.1).split(']').next().unwrap_or_default();
            let without_arguments: String =
                list.split('(').enumerate().map(|(at, it)| if at == 0 { it } else { it.split_once(')').map_or("", |it| it.1) }).collect();
            let names = without_arguments.split(',').map(|it| prisma(it.trim()));
            out.extend(names.filter(|it| !it.is_empty()).map(|it| (at + 1, it)));
        }
    }
    out
}

/// The extension that Prisma's schema names so (documentation of Prisma 6, "PostgreSQL extensions").
fn prisma(name: &str) -> String {
    match name {
        "uuidOssp" => "uuid-ossp",
        "pgvector" => "vector",
        other => other,
    }
    .to_owned()
}

/// The name after `CREATE EXTENSION`, if the text itself says it.
fn name_after(rest: &str) -> Option<String> {
    let mut words = rest.split_whitespace();
    let mut word = words.next()?;
    if word.eq_ignore_ascii_case("if") {
        word = words.nth(2)?;
    }
    let quotes = |it: char| it == '"' || it == '\\' || it == '\'' || it == '`' || it == ';' || it == ')' || it == ',';
    let name = word.trim_matches(quotes).split([';', '"', '\'', '\\', '`']).next()?;
    let is_plain = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_' || it == '-';
    (!name.is_empty() && name.chars().all(is_plain)).then(|| name.to_owned())
}

/// The text in the first quotes.
fn first_text(rest: &str) -> Option<String> {
    let rest = rest.trim_start().trim_start_matches("name=");
    let quote = rest.chars().next().filter(|it| "\"'".contains(*it))?;
    Some(rest[1..].split(quote).next()?.to_owned()).filter(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str, ending: &str) -> Vec<String> {
        named(text, ending).into_iter().map(|(_, it)| it).collect()
    }

    #[test]
    fn what_creates_an_extension_names_it() {
        for (text, ending, expected) in [
            ("CREATE EXTENSION IF NOT EXISTS vector;", ".sql", "vector"),
            ("create extension \"uuid-ossp\" with schema public;", ".sql", "uuid-ossp"),
            ("  CREATE EXTENSION pg_trgm;", ".sql", "pg_trgm"),
            ("op.execute('CREATE EXTENSION IF NOT EXISTS \"postgis\"')", ".py", "postgis"),
            ("await client.query(`CREATE EXTENSION IF NOT EXISTS hstore`);", ".ts", "hstore"),
            ("db.Exec(\"CREATE EXTENSION IF NOT EXISTS \\\"citext\\\"\")", ".go", "citext"),
            ("        TrigramExtension(),", ".py", "pg_trgm"),
            ("operations = [CreateExtension('btree_gist')]", ".py", "btree_gist"),
            ("CreateExtension(name=\"hll\")", ".py", "hll"),
            ("'ENGINE': 'django.contrib.gis.db.backends.postgis',", ".py", "postgis"),
            ("  extensions = [pgvector(map: \"vector\", schema: \"x\")]", ".prisma", "vector"),
        ] {
            assert_eq!(names(text, ending), [expected], "{text}");
        }
        assert_eq!(
            names("extensions = [postgis(version: \"3.3\"), pgcrypto, uuidOssp(map: \"uuid-ossp\")]", ".prisma"),
            ["postgis", "pgcrypto", "uuid-ossp"]
        );
    }

    #[test]
    fn what_only_speaks_of_one_names_none() {
        for (text, ending) in [
            ("-- CREATE EXTENSION vector;", ".sql"),
            ("# CREATE EXTENSION vector", ".py"),
            ("// CREATE EXTENSION vector", ".ts"),
            ("from django.contrib.postgres.operations import TrigramExtension", ".py"),
            ("CREATE EXTENSION IF NOT EXISTS", ".sql"),
            ("f\"CREATE EXTENSION {name}\"", ".py"),
            ("CREATE EXTENSION $1", ".sql"),
            ("class MyExtension(Base):", ".py"),
        ] {
            assert_eq!(names(text, ending), [""; 0], "{text}");
        }
    }
}
