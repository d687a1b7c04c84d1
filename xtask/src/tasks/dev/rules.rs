//! Which files of a service can be copied into its running pods, by its stack and by what its image's build does.

use std::path::Path;

use anyhow::Result;

use crate::{
    dockerfile,
    engine::ImageFacts,
    env::Scope,
    recognise::{self, Recognised, Stack},
    regular,
    tasks::answers,
};

/// Files that decide which packages are installed, in the application's top folder or below it.
const PACKAGES: [&str; 17] = [
    "pyproject.toml",
    "uv.lock",
    "poetry.lock",
    "Pipfile",
    "Pipfile.lock",
    "setup.py",
    "setup.cfg",
    "package.json",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "pnpm-lock.yaml",
    "pnpm-workspace.yaml",
    "yarn.lock",
    ".npmrc",
    ".yarnrc",
    ".dockerignore",
    "Dockerfile",
];

/// What a change of a service's source needs.
pub enum Rules {
    /// Every file is copied by the image's build as it is.
    All,
    /// Python, and a step of the build reads the source: static files may be collected.
    Python,
    /// Compiled on this machine; the programs are copied.
    Program(Box<Recognised>),
    /// Each change needs a new image; the reason.
    Image(String),
}

impl Rules {
    /// `facts` are those of the service's image, `python` is the path of its Python.
    pub fn of(env: &Scope<'_>, facts: &ImageFacts, python: Option<&str>) -> Result<Rules> {
        if facts.folder.is_empty() || facts.folder == "/" {
            return Ok(Rules::Image("its image has no working directory".to_owned()));
        }
        if python.is_none() {
            return Ok(Rules::Image("its image has no python3, which receives files".to_owned()));
        }
        let text = regular::read_to_string(&env.files.file(&env.service.dockerfile)?)?;
        let is_built = dockerfile::builds_from_source(&dockerfile::parse(&text));
        let found = recognise::recognise_source(&env.stage(), &answers::of_scope(env))?;
        Ok(match found {
            Some(found) if matches!(found.stack, Stack::Go | Stack::Rust) && text.contains(crate::artifacts::FOLDER) => {
                Rules::Program(Box::new(found))
            }
            Some(found) if found.stack == Stack::Python => Rules::by(true, is_built),
            Some(_) => Rules::by(false, is_built),
            None => Rules::by(has_python(&env.stage()), is_built),
        })
    }

    fn by(is_python: bool, is_built: bool) -> Rules {
        match (is_python, is_built) {
            (_, false) => Rules::All,
            (true, true) => Rules::Python,
            (false, true) => Rules::Image("a step of its image's build reads the source".to_owned()),
        }
    }

    /// Why a changed file needs a new image; `None` if it is copied into pods. `file` is relative to the source; `migrate` is the command of
    /// the migration.
    pub fn needs_image(&self, file: &Path, migrate: &[String]) -> Option<String> {
        let shown = file.display();
        let is_in = |folder: &str| file.components().any(|it| it.as_os_str() == folder);
        let name = file.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
        if let Rules::Image(why) = self {
            return Some(format!("{shown} changed: {why}"));
        }
        let is_named = |text: &str| text.split(|it: char| it.is_whitespace() || it == '/').any(|it| it == name);
        if ["migrations", "versions", "prisma", "drizzle"].into_iter().any(is_in) || migrate.iter().any(|it| is_named(it)) {
            return Some(format!("{shown} changed: the database may have to be migrated"));
        }
        if PACKAGES.contains(&name.as_str()) || name.starts_with("requirements") && name.ends_with(".txt") {
            return Some(format!("{shown} changed: the image may have other packages"));
        }
        if matches!(self, Rules::Python) && file.extension().is_none_or(|it| it != "py") && !is_in("templates") {
            return Some(format!("{shown} changed, which is no Python and no template: the image's build may collect or need it"));
        }
        None
    }

    /// Whether the file is copied when it differs from the pod's. Of a compiled application, the source stays here.
    pub fn goes(&self, file: &Path, migrate: &[String]) -> bool {
        let is_source = matches!(self, Rules::Program(_)) && file.extension().is_some_and(|it| it == "go" || it == "rs");
        !is_source && self.needs_image(file, migrate).is_none()
    }
}

/// Whether Python files lie at the top.
fn has_python(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|it| it.path().extension().is_some_and(|it| it == "py"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rules: &Rules, file: &str, expected: Option<&str>) {
        let migrate = ["node", "tools/migrate.js"].map(str::to_owned);
        let reason = rules.needs_image(Path::new(file), &migrate);
        assert_eq!(reason.is_some(), expected.is_some(), "{file}: {reason:?}");
        assert!(reason.as_deref().unwrap_or_default().contains(expected.unwrap_or_default()), "{file}: {reason:?}");
        assert_eq!(rules.goes(Path::new(file), &migrate), expected.is_none(), "{file}");
    }

    #[test]
    fn python_with_a_build_copies_code_and_templates() {
        check(&Rules::Python, "polls/views.py", None);
        check(&Rules::Python, "polls/templates/polls/index.html", None);
        check(&Rules::Python, "polls/static/style.css", Some("polls/static/style.css changed, which is no Python"));
        check(&Rules::Python, "polls/migrations/0003_x.py", Some("migrated"));
        check(&Rules::Python, "requirements.txt", Some("other packages"));
    }

    #[test]
    fn without_a_build_every_file_is_copied_but_those_of_packages_and_migrations() {
        for file in ["server.js", "views/page.ejs", "static/style.css", "data/words.json"] {
            check(&Rules::All, file, None);
        }
        check(&Rules::All, "package.json", Some("other packages"));
        check(&Rules::All, "requirements/../requirements-dev.txt", Some("other packages"));
        check(&Rules::All, "alembic/versions/1_a.py", Some("migrated"));
        check(&Rules::All, "prisma/schema.prisma", Some("migrated"));
        check(&Rules::All, "tools/migrate.js", Some("migrated"));
        check(&Rules::Image("no python3".to_owned()), "server.js", Some("server.js changed: no python3"));
    }
}
