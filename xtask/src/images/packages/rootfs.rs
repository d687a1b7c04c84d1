//! Root file systems from Debian packages, made by `mmdebstrap` from this machine's own mirrors.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use xshell::cmd;

use crate::{
    env::Env,
    graph::TaskId,
    images::packages::{
        keys::Keys,
        products::product,
        recipe::{Recipes, Root},
        steps::Steps,
    },
    tool::{self, BUILD_LIMIT, Tools},
};

/// The root file system as a tar archive.
pub(super) fn make(env: &Env, task: TaskId, recipes: &Recipes, keys: &Keys, name: &str, steps: &Steps<'_>) -> Result<PathBuf> {
    let root = recipes.root(name)?;
    let path = product(env, task, &format!("rootfs-{name}"), keys.root(name)?, |part| {
        env.step(task, &format!("Debian packages for {name}"), || bootstrap(env, task, recipes, name, &root, part, steps))
    });
    let path = path.with_context(|| format!("make the root file system `{name}` of Debian packages"))?;
    steps.done();
    Ok(path)
}

pub(super) fn bootstrap(env: &Env, task: TaskId, recipes: &Recipes, name: &str, root: &Root, part: &Path, steps: &Steps<'_>) -> Result<()> {
    steps.says(&format!("Debian packages for {name}"));
    let tools = env.tools.with_log(&format!("image-{name}")).fetching_by_itself();
    let from = (sources(env, task, &root.suite)?, apt_settings(env, task)?);
    strap(&tools, task, &recipes.folder, root, from, part, |line| {
        if let Some(line) = line.strip_prefix("I: ").filter(|it| !it.contains("hook")) {
            steps.says(&format!("Debian packages for {name}: {line}"));
        }
    })
}

/// The same from these sources with these settings of apt, for recipes in `folder`.
fn strap(
    tools: &Tools,
    task: TaskId,
    folder: &Path,
    root: &Root,
    (sources, settings): (Vec<String>, Vec<String>),
    part: &Path,
    says: impl Fn(&str) + Sync,
) -> Result<()> {
    let sh = tools.shell(folder)?;
    let mut options = options(root, &folder.display().to_string());
    options.extend(settings);
    let suite = &root.suite;
    tools.run_watched(task, cmd!(sh, "mmdebstrap {options...} --format=tar {suite} {part} {sources...}"), BUILD_LIMIT, says)
}

/// `mmdebstrap`'s options for a root file system.
fn options(root: &Root, recipes: &str) -> Vec<String> {
    let mut out = vec![
        format!("--variant={}", root.variant),
        format!("--include={}", root.packages.join(",")),
        "--aptopt=Acquire::Languages \"none\"".to_owned(),
    ];
    out.extend(root.exclude.iter().map(|it| format!("--dpkgopt=path-exclude={it}")));
    out.extend(root.include.iter().map(|it| format!("--dpkgopt=path-include={it}")));
    if let Some(setup) = &root.setup {
        out.push(format!("--customize-hook='{recipes}/{setup}' \"$1\""));
    }
    let remove: Vec<String> = root.remove.iter().map(|it| format!(".{it}")).collect();
    // The shell expands the patterns; `rm -f` ignores those without a match.
    out.push(format!("--customize-hook=cd \"$1\" && rm -rf {}", remove.join(" ")));
    out
}

/// The package sources of a suite: this machine's mirrors with another suite. If the machine is not a Debian, `mmdebstrap` chooses.
fn sources(env: &Env, task: TaskId, suite: &str) -> Result<Vec<String>> {
    if tool::find("apt-get").is_none() {
        return Ok(Vec::new());
    }
    let sh = env.tools.shell(&env.project)?;
    let format = "$(ORIGIN) $(RELEASE) $(REPO_URI)";
    let listed = env.tools.read(task, cmd!(sh, "apt-get indextargets --format {format} 'Created-By: Packages'"))?;
    Ok(sources_from(&listed, suite))
}

fn sources_from(listed: &str, suite: &str) -> Vec<String> {
    let mut main = BTreeSet::new();
    let mut security = BTreeSet::new();
    for line in listed.lines() {
        let mut words = line.split_whitespace();
        let (Some("Debian"), Some(release), Some(uri)) = (words.next(), words.next(), words.next()) else { continue };
        if release.ends_with("-security") {
            security.insert(uri.to_owned());
        } else if !release.contains('-') {
            main.insert(uri.to_owned());
        }
    }
    let Some(main) = main.first() else { return Vec::new() };
    let mut out = vec![format!("deb {main} {suite} main"), format!("deb {main} {suite}-updates main")];
    out.extend(security.first().map(|uri| format!("deb {uri} {suite}-security main")));
    out
}

/// This machine's apt settings for its mirrors, for example a proxy, which `mmdebstrap` would ignore otherwise.
fn apt_settings(env: &Env, task: TaskId) -> Result<Vec<String>> {
    if tool::find("apt-config").is_none() {
        return Ok(Vec::new());
    }
    let sh = env.tools.shell(&env.project)?;
    let dump = env.tools.read(task, cmd!(sh, "apt-config dump Acquire"))?;
    Ok(dump.lines().filter(|it| reaches(it)).map(|it| format!("--aptopt={it}")).collect())
}

fn reaches(setting: &str) -> bool {
    ["Acquire::http::", "Acquire::https::", "Acquire::Check-"].iter().any(|it| setting.starts_with(it)) && !setting.ends_with(" \"\";")
}

#[cfg(test)]
mod tampered;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_own_mirrors_serve_another_suite() {
        let listed = "Debian bookworm http://mirror.example/debian/\n\
                      Debian bookworm-updates http://mirror.example/debian/\n\
                      Debian bookworm-security http://mirror.example/security/\n\
                      Other stable http://other.example/\n";
        assert_eq!(
            sources_from(listed, "trixie"),
            [
                "deb http://mirror.example/debian/ trixie main",
                "deb http://mirror.example/debian/ trixie-updates main",
                "deb http://mirror.example/security/ trixie-security main",
            ]
        );
        assert!(sources_from("Ubuntu noble http://u.example/\n", "trixie").is_empty());
    }

    #[test]
    fn what_is_removed_is_below_the_new_root() {
        let root = Root {
            variant: "essential".to_owned(),
            packages: vec!["python3".to_owned()],
            remove: vec!["/var/log/*".to_owned()],
            setup: Some("python/setup.sh".to_owned()),
            ..Root::default()
        };
        let options = options(&root, "/p/build/images");
        assert_eq!(options[3], "--customize-hook='/p/build/images/python/setup.sh' \"$1\"");
        assert_eq!(options[4], "--customize-hook=cd \"$1\" && rm -rf ./var/log/*");
    }

    #[test]
    fn only_settings_that_say_something_are_passed_on() {
        assert!(reaches("Acquire::http::Proxy \"http://10.0.0.5:3128\";"));
        assert!(!reaches("Acquire::http::Proxy \"\";"));
        assert!(!reaches("Acquire::Languages \"none\";"));
    }
}
