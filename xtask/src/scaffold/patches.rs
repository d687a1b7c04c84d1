//! The first patches of an application: what it needs to read its database and to be reached.

use std::{fmt::Write as _, path::Path};

use anyhow::{Context as _, Result};

use crate::{
    recognise::{Change, DjangoSettings, Framework, Recognised, Stack},
    regular,
    scaffold::{
        Planned,
        diff::{Edit, edited, new_file},
    },
};

/// The patches in their order, for the folder `place`.
pub(super) fn all(folder: &Path, found: &Recognised, place: &str) -> Result<Vec<Planned>> {
    let mut out: Vec<(String, String)> = Vec::new();
    for change in &found.changes {
        match change {
            Change::DjangoSettings(it) if it.is_in_place() => {
                let old = read(folder, &it.file)?;
                out.push(("settings".to_owned(), edited(&it.file, &old, &[behind(&old, &django(it))])));
            }
            Change::DjangoSettings(it) => out.push(("settings".to_owned(), new_file(&it.file, &django(it)))),
            Change::FromVariable { file, span, variable, is_imported, import_after } => {
                let text = read(folder, file)?;
                let edits = from_variable(&text, *span, variable, *is_imported, *import_after);
                out.push(("database".to_owned(), edited(file, &text, &edits)));
            }
            Change::Alembic { file, after, variable, is_imported, import_after } => {
                let text = read(folder, file)?;
                let set = format!("config.set_main_option(\"sqlalchemy.url\", os.environ[\"{variable}\"].replace(\"%\", \"%%\"))");
                let mut edits = vec![Edit { from: *after, to: *after, lines: vec![set] }];
                edits.extend(import(&text, *is_imported, *import_after));
                out.push(("migrations".to_owned(), edited(file, &text, &edits)));
            }
            Change::Metadata { file, text } => out.push(("metadata".to_owned(), new_file(file, text))),
            Change::Requirements { file, text } => {
                let path = folder.join(file);
                if path.is_file() {
                    let old = read(folder, file)?;
                    out.push(("requirements".to_owned(), edited(file, &old, &[behind(&old, text)])));
                } else {
                    out.push(("requirements".to_owned(), new_file(file, text)));
                }
            }
        }
    }
    if found.stack == Stack::Site || found.stack == Stack::Node && found.framework == Framework::Site {
        out.push(("server".to_owned(), new_file("pocdeploy_site.py", SITE)));
    }
    let named = |(at, (name, text)): (usize, (String, String))| Planned { path: format!("{place}/{:04}-{name}.patch", at + 1), text };
    Ok(out.into_iter().enumerate().map(named).collect())
}

fn read(folder: &Path, file: &str) -> Result<String> {
    let path = folder.join(file);
    regular::read_to_string(&path).with_context(|| format!("read {}", path.display()))
}

/// Pages from a folder: WhiteNoise alone, and 404 for missing files.
const SITE: &str = r#""""Serves the folder that SITE names."""

import os

from whitenoise import WhiteNoise


def not_found(environ, start_response):
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b"not found\n"]


application = WhiteNoise(not_found, root=os.environ["SITE"], index_file=True)
"#;

/// Lines behind the last one of a file, which gets the end that it may lack.
fn behind(old: &str, text: &str) -> Edit {
    let count = old.split_inclusive('\n').count();
    let mut edit = Edit { from: count, to: count, lines: text.lines().map(str::to_owned).collect() };
    if !old.is_empty() && !old.ends_with('\n') {
        edit.from -= 1;
        edit.lines.insert(0, old.lines().last().unwrap_or_default().to_owned());
    }
    edit
}

/// A settings module that imports the application's own, or the lines behind that one.
fn django(it: &DjangoSettings) -> String {
    let mut out = if it.is_in_place() {
        "\n\n# The deployment's: what the platform gives in place of what is above.\nimport os  # noqa: E402\n\n".to_owned()
    } else {
        format!(
            "\"\"\"Settings of the deployment: {base}, with what the platform gives in place of what stands there.\"\"\"\n\nimport os\n\n\
             from {base} import *  # noqa: F401,F403\n\n",
            base = it.base
        )
    };
    let mut add = |text: &str| out.push_str(text);
    if it.debug {
        add("DEBUG = False\n");
    }
    if it.secret_key {
        add("SECRET_KEY = os.environ[\"SECRET_KEY\"]\n");
    }
    if it.hosts {
        add("ALLOWED_HOSTS = os.environ[\"ALLOWED_HOSTS\"].split(\",\")\n");
        add("CSRF_TRUSTED_ORIGINS = [it for it in os.environ.get(\"TRUSTED_ORIGINS\", \"\").split(\",\") if it]\n");
    }
    if it.database {
        let engine = if it.postgis { "django.contrib.gis.db.backends.postgis" } else { "django.db.backends.postgresql" };
        add("DATABASES = {\n    **globals().get(\"DATABASES\", {}),\n    \"default\": {\n");
        add(&format!("        \"ENGINE\": \"{engine}\",\n"));
        for (key, name) in [("HOST", "PGHOST"), ("PORT", "PGPORT"), ("NAME", "PGDATABASE"), ("USER", "PGUSER"), ("PASSWORD", "PGPASSWORD")]
        {
            add(&format!("        \"{key}\": os.environ[\"{name}\"],\n"));
        }
        add("    },\n}\n");
        // Packages use fields of PostgreSQL's own once the database is one, and Django refuses those without this application.
        add("INSTALLED_APPS = list(globals().get(\"INSTALLED_APPS\", []))\n");
        add("if \"django.contrib.postgres\" not in INSTALLED_APPS:\n    INSTALLED_APPS.append(\"django.contrib.postgres\")\n");
    }
    if it.whitenoise {
        add("MIDDLEWARE = list(globals().get(\"MIDDLEWARE\", []))\n");
        add("_security = \"django.middleware.security.SecurityMiddleware\"\n");
        add(
            "MIDDLEWARE.insert(MIDDLEWARE.index(_security) + 1 if _security in MIDDLEWARE else 0, \"whitenoise.middleware.WhiteNoiseMiddleware\")\n",
        );
    }
    if it.static_root {
        add("STATIC_ROOT = \"/srv/static\"\n");
    }
    if let Some(media) = &it.media {
        add(&format!("MEDIA_ROOT = \"{media}\"\n"));
    }
    out
}

/// A constant becomes the default of a variable. Columns are bytes of a line, and a constant may span lines.
fn from_variable(text: &str, span: (usize, usize, usize, usize), variable: &str, is_imported: bool, import_after: usize) -> Vec<Edit> {
    let (first, column, last, end) = span;
    let lines: Vec<&str> = text.lines().collect();
    let (Some(from), Some(to)) = (lines.get(first.wrapping_sub(1)), lines.get(last.wrapping_sub(1))) else { return Vec::new() };
    let (Some(head), Some(tail)) = (from.get(..column), to.get(end..)) else { return Vec::new() };
    let mut constant = String::new();
    for (at, line) in lines[first - 1..last].iter().enumerate() {
        let begin = if at == 0 { column } else { 0 };
        let stop = if at + first == last { end } else { line.len() };
        if at > 0 {
            constant.push('\n');
        }
        constant.push_str(line.get(begin..stop).unwrap_or_default());
    }
    let mut new = String::new();
    // Writing to a String cannot fail.
    write!(new, "{head}os.environ.get(\"{variable}\", {constant}){tail}").ok();
    let mut out = vec![Edit { from: first - 1, to: last, lines: new.lines().map(str::to_owned).collect() }];
    out.extend(import(text, is_imported, import_after));
    out
}

/// `import os` at a place where it is allowed, if it is missing.
fn import(text: &str, is_imported: bool, after: usize) -> Option<Edit> {
    let at = after.min(text.lines().count());
    let mut lines = vec!["import os".to_owned()];
    if at > 0 {
        lines.insert(0, String::new());
    }
    (!is_imported).then_some(Edit { from: at, to: at, lines })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_with_another_database_bring_its_own_application() {
        let settings = |database| django(&DjangoSettings { base: "site.settings".to_owned(), database, ..DjangoSettings::default() });
        let text = settings(true);
        let (databases, apps) =
            (text.find("DATABASES = {").unwrap(), text.find("INSTALLED_APPS.append(\"django.contrib.postgres\")").unwrap());
        assert!(databases < apps, "{text}");
        assert!(!settings(false).contains("INSTALLED_APPS"));
    }
}
