//! Go modules of which a program needs a changed copy. `changes.toml` in the recipe's folder names each changed file, so that the upstream
//! module stays as it is, and the project contains none of it.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::{
    env::Env,
    errors::{Code, Problem},
    graph::TaskId,
    images::packages::{golang, recipe::Recipes},
    regular,
};

/// The file in the recipe's folder.
const CHANGES: &str = "changes.toml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    change: Vec<Change>,
}

/// A changed file: replaced or added as a whole, or with a text replaced.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    module: String,
    /// The path in the module.
    file: String,
    /// The file in the recipe's folder that takes its place.
    by: Option<PathBuf>,
    /// A text that must be there, and the one that takes its place.
    replace: Option<String>,
    with: Option<String>,
}

/// The changed copies of a recipe's modules. They exist as long as this value.
pub(super) struct Changed {
    folder: tempfile::TempDir,
}

impl Changed {
    /// Makes the copies. `None` if the recipe changes nothing.
    pub(super) fn of(env: &Env, task: TaskId, recipes: &Recipes, recipe: &str) -> Result<Option<Changed>> {
        let own = recipes.folder.join(recipe);
        let file = own.join(CHANGES);
        if !file.is_file() {
            return Ok(None);
        }
        let text = regular::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let changes: Changes = toml::from_str(&text).map_err(|error| wrong(&file, &error.to_string()))?;
        let mut by_module: BTreeMap<&str, Vec<&Change>> = BTreeMap::new();
        for change in &changes.change {
            by_module.entry(&change.module).or_default().push(change);
        }
        let folder = tempfile::tempdir_in(env.cache("images")).context("make a folder for changed modules")?;
        let mut pins = regular::read_to_string(&own.join("go.mod")).context("read go.mod")?;
        for (index, (module, changes)) in by_module.into_iter().enumerate() {
            let from = golang::module_folder(env, task, recipes, recipe, module)?;
            let to = folder.path().join(index.to_string());
            regular::copy_tree(&from, &to)?;
            for change in changes {
                change.apply(&to, &own).with_context(|| format!("change {} of {module}", change.file))?;
            }
            write!(pins, "\nreplace {module} => {}\n", to.display())?;
        }
        let written = [("changed.mod", pins.into_bytes()), ("changed.sum", fs::read(own.join("go.sum")).context("read go.sum")?)];
        for (name, content) in written {
            fs::write(folder.path().join(name), content).with_context(|| format!("write {name}"))?;
        }
        Ok(Some(Changed { folder }))
    }

    /// Go's flag for the pins with the copies.
    pub(super) fn flag(&self) -> String {
        format!("-modfile={}", self.folder.path().join("changed.mod").display())
    }
}

impl Change {
    /// Changes the file in the copy `module`; `own` is the recipe's folder.
    fn apply(&self, module: &Path, own: &Path) -> Result<()> {
        let target = module.join(&self.file);
        match (&self.by, &self.replace, &self.with) {
            (Some(file), None, None) => {
                fs::create_dir_all(target.parent().unwrap_or(module))?;
                fs::copy(own.join(file), &target)?;
            }
            (None, Some(from), Some(to)) => {
                let text = fs::read_to_string(&target)?;
                if !text.contains(from) {
                    return Err(wrong(&own.join(CHANGES), &format!("{} does not contain `{from}`", self.file)));
                }
                fs::write(&target, text.replace(from, to))?;
            }
            _ => return Err(wrong(&own.join(CHANGES), "a change has either `by`, or `replace` and `with`")),
        }
        Ok(())
    }
}

fn wrong(file: &Path, why: &str) -> anyhow::Error {
    Problem::config(format!("{}: {why}", file.display())).code(Code::Recipe).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(by: Option<&str>, replace: Option<(&str, &str)>) -> Change {
        Change {
            module: "example.com/m".to_owned(),
            file: "a/b.go".to_owned(),
            by: by.map(PathBuf::from),
            replace: replace.map(|it| it.0.to_owned()),
            with: replace.map(|it| it.1.to_owned()),
        }
    }

    #[test]
    fn a_file_is_replaced_or_edited_and_a_text_that_is_gone_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (module, own) = (folder.path().join("module"), folder.path().join("own"));
        for it in [module.join("a"), own.clone()] {
            fs::create_dir_all(it).unwrap();
        }
        fs::write(module.join("a/b.go"), "one two two").unwrap();
        fs::write(own.join("new.go"), "whole").unwrap();
        change(None, Some(("two", "2"))).apply(&module, &own).unwrap();
        assert_eq!(fs::read_to_string(module.join("a/b.go")).unwrap(), "one 2 2");
        let error = change(None, Some(("three", "3"))).apply(&module, &own).unwrap_err().to_string();
        assert!(error.contains("a/b.go does not contain `three`"), "{error}");
        change(Some("new.go"), None).apply(&module, &own).unwrap();
        assert_eq!(fs::read_to_string(module.join("a/b.go")).unwrap(), "whole");
        assert!(change(Some("new.go"), Some(("a", "b"))).apply(&module, &own).is_err());
    }
}
