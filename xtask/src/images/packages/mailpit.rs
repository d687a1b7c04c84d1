//! Mailpit: a program from a Go module that holds the source of its page, and not the page. npm makes the page first, with the module's own
//! lock; Go compiles it in.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use xshell::cmd;

use crate::{
    env::Env,
    errors::Problem,
    graph::TaskId,
    images::packages::{golang, keys::Keys, products::product, recipe::Recipes, steps::Steps},
    npm, regular,
    tool::{self, BUILD_LIMIT},
};

const MODULE: &str = "github.com/axllent/mailpit";

/// The program's path.
pub(super) fn make(env: &Env, task: TaskId, recipes: &Recipes, keys: &Keys, steps: &Steps<'_>) -> Result<PathBuf> {
    let path =
        product(env, task, "mailpit", &keys.mailpit_image, |part| env.step(task, "Mailpit", || build(env, task, recipes, part, steps)));
    let path = path.context("build Mailpit from its Go module and npm packages")?;
    steps.done();
    Ok(path)
}

fn build(env: &Env, task: TaskId, recipes: &Recipes, part: &Path, steps: &Steps<'_>) -> Result<()> {
    if tool::find("npm").is_none() {
        let what = "Mailpit's page is made by npm, which is not on this machine's PATH";
        let hint = "install it, on Debian with: sudo apt-get install --no-install-recommends npm";
        return Err(Problem::requirement(what).hint(hint).into());
    }
    steps.says("Mailpit: downloading its Go module");
    let module = golang::module_folder(env, task, recipes, "mailpit", MODULE)?;
    let source = tempfile::tempdir_in(env.cache("images")).context("make a folder for Mailpit's source")?;
    regular::copy_tree(&module, source.path())?;
    let tools = env.tools.with_log("image-mailpit").fetching();
    let sh = tools.shell(source.path())?;
    steps.says("Mailpit: npm packages of its page");
    let flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=warn"];
    tools.run_watched(task, npm::soon(cmd!(sh, "npm ci {flags...}")), BUILD_LIMIT, |_| ())?;
    // The Node.js of the machine may be older than the page's tools need.
    let (spec, node) = (format!("{}@{}", npm::node_package(), npm::NODE), source.path().join("node"));
    npm::fetch(&tools, task, &source.path().join(".npmrc"), &spec, npm::digest(&spec), &node)?;
    steps.says("Mailpit: its page");
    let program = node.join("bin/node");
    tools.run_watched(task, cmd!(sh, "{program} esbuild.config.mjs").env("MINIFY", "true"), BUILD_LIMIT, |_| ())?;
    if !source.path().join("server/ui/dist/app.js").is_file() {
        return Err(Problem::new("Mailpit's build made no page: server/ui/dist/app.js is missing").into());
    }
    let version = format!("-s -w -X {MODULE}/config.Version=v{}", recipes.versions.mailpit);
    golang::compile_in(env, task, source.path(), ".", &version, part, |what| steps.says(&format!("Mailpit: {what}")))
}
