//! `psql`, `shell`, `manage` and `kubectl`: run other programs on the running instance, and exit with their exit code.

use anyhow::Result;
use xshell::cmd;

use crate::{
    commands::instance::{self, Answering, connect_for_streams},
    deploy::components::Components,
    env::Env,
    errors::{EndedWith, Problem},
    flags::inspection::ComponentName,
    images,
    provider::{Node, provider},
    tool,
};

/// Runs psql in the primary's pod as superuser.
pub(crate) fn psql(env: &Env, arguments: &[String]) -> Result<()> {
    let cluster = connect_for_streams(env)?;
    let place = instance::place(&cluster, &Components::read(env)?.primary())?;
    let start = ["psql", "-d", &env.config.database.name].map(str::to_owned);
    passed_on(cluster.attach(&place, &[&start, arguments].concat())?)
}

/// Runs a shell or a command in a pod, or in a running node of a finished or unfinished cluster.
pub(crate) fn shell(env: &Env, part: ComponentName, command: &[String]) -> Result<()> {
    // Every node has bash; an image may have only sh.
    let shell = [if part == ComponentName::Node { "bash" } else { "sh" }.to_owned()];
    let command = if command.is_empty() { &shell } else { command };
    if part == ComponentName::Node {
        let node = env.only_looking(|| instance::node(env))?;
        return passed_on(env.engine()?.attach(&node.container, command)?);
    }
    let cluster = connect_for_streams(env)?;
    let components = Components::read(env)?;
    let part = match part {
        ComponentName::Database => components.primary(),
        ComponentName::Service(name) => components.service(name)?.part.clone(),
        _ => components.app,
    };
    let place = instance::place(&cluster, &part)?;
    passed_on(cluster.attach(&place, command)?)
}

/// Runs a management command of the application in one of its pods.
pub(crate) fn manage(env: &Env, arguments: &[String]) -> Result<()> {
    let cluster = connect_for_streams(env)?;
    let components = Components::read(env)?;
    let place = instance::place(&cluster, &components.app)?;
    passed_on(cluster.attach(&place, &[components.manage.as_slice(), arguments].concat())?)
}

/// Runs kubectl with the instance's kubeconfig: the built kubectl of the cluster's version, or else the one on `PATH`.
pub(crate) fn kubectl(env: &Env, arguments: &[String]) -> Result<()> {
    match env.only_looking(|| instance::what_answers(env))? {
        Answering::Cluster { note } => note.as_deref().map_or(Ok(()), instance::say)?,
        // The node's own kubectl also works before RBAC is set up, and reports the API server's error.
        Answering::Node { why } => {
            instance::say(&why)?;
            let ended = in_node(env, &instance::node(env)?, arguments);
            if ended.is_err() {
                instance::say(&instance::ways(env))?;
            }
            return ended;
        }
        Answering::Nothing { why } => return Err(instance::absent(env, &why)),
    }
    let Some(kubectl) = images::packages::kubectl(env).or_else(|| tool::find("kubectl")) else {
        return match provider(env).node(env)? {
            Some(node) => in_node(env, &node, arguments),
            None => Err(Problem::requirement("there is no kubectl on this machine's PATH").hint("install kubectl").into()),
        };
    };
    let sh = env.tools.shell(&std::env::current_dir()?)?;
    let kubeconfig = env.kubeconfig();
    passed_on(env.tools.run_in_place(cmd!(sh, "{kubectl} --kubeconfig {kubeconfig} {arguments...}"))?)
}

/// Every node has kubectl, but without this machine's files and without a terminal.
fn in_node(env: &Env, node: &Node, arguments: &[String]) -> Result<()> {
    use std::io::Write as _;
    let start = ["kubectl", "--kubeconfig", node.kubeconfig];
    let command: Vec<&str> = start.into_iter().chain(arguments.iter().map(String::as_str)).collect();
    let out = env.engine()?.exec(&node.container, &command)?;
    std::io::stdout().write_all(out.stdout.as_bytes())?;
    std::io::stderr().write_all(out.stderr.as_bytes())?;
    passed_on(u8::try_from(out.code).unwrap_or(1))
}

fn passed_on(code: u8) -> Result<()> {
    match code {
        0 => Ok(()),
        code => Err(EndedWith(code).into()),
    }
}

/// The application's URL.
pub(crate) fn url(env: &Env) -> Result<String> {
    env.only_looking(|| instance::find(env))?;
    instance::url(env)
}

/// Opens the application in the browser, and always prints the URL.
pub(crate) fn open(env: &Env) -> Result<()> {
    let url = url(env)?;
    print(&url)?;
    let openers = ["xdg-open", "wslview", "open"];
    let Some(opener) = openers.into_iter().find_map(tool::find) else {
        return Err(Problem::requirement(format!("none of {} is on this machine's PATH", openers.join(", ")))
            .hint(format!("open {url} yourself"))
            .into());
    };
    let sh = env.tools.shell(&env.project)?;
    match env.tools.run_in_place(cmd!(sh, "{opener} {url}"))? {
        0 => Ok(()),
        code => {
            Err(Problem::new(format!("`{}` ended with exit code {code}", opener.display())).hint(format!("open {url} yourself")).into())
        }
    }
}

/// Prints only the URL on standard output.
pub(crate) fn print_url(env: &Env) -> Result<()> {
    print(&url(env)?)
}

fn print(url: &str) -> Result<()> {
    use std::io::Write as _;
    Ok(writeln!(std::io::stdout(), "{url}")?)
}
