//! What differs between the clouds, behind one trait; each vendor's own command-line program answers.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use xshell::cmd;

use crate::{
    cluster::Cluster,
    env::Env,
    errors::{Code, Problem},
    exposure::{Balancer, Front},
    graph::TaskId,
    provider::{
        Requirement,
        cloud::{
            adopt::Import,
            known::{Account, Known},
        },
    },
    tool,
};

/// The limit of one question to a cloud.
pub(super) const ASK_LIMIT: Duration = Duration::from_secs(60);

/// A cloud.
pub(super) trait Vendor: Sync {
    /// `Amazon EKS`.
    fn title(&self) -> &'static str;
    /// The vendor's program, the command to log in with it, and where it comes from.
    fn program(&self) -> Program;
    /// Who is logged in, and where. An error is a missing requirement.
    fn account(&self, env: &Env) -> Result<Account>;
    /// What else must be so before anything is created: APIs, versions, quota. Asks the cloud.
    fn requirements(&self, env: &Env, account: &Account) -> Vec<Requirement>;
    /// The values of the HCL's variables, without those that all clouds share.
    fn variables(&self, env: &Env, known: &Known) -> Result<Value>;
    /// The resources with which the registry is there.
    fn registry_resources(&self) -> &'static [&'static str];
    /// The registry, with credentials that expire soon.
    fn login(&self, env: &Env, known: &Known) -> Result<Login>;
    /// `users[0].user.exec` of a kubeconfig: the vendor's program prints a token.
    fn exec(&self, env: &Env, known: &Known) -> Value;
    /// What the cloud reads in a Service of type LoadBalancer.
    fn balancer(&self, known: Option<&Known>) -> Balancer;
    /// What the cloud's own Ingress controller reads.
    fn front(&self, _known: Option<&Known>) -> Front {
        Front::default()
    }
    /// Switches on the cloud's own Gateway controller, if the cloud has one that is off at first. Returns when it is there.
    fn serve_gateways(&self, _env: &Env, _cluster: &Cluster, _known: &Known) -> Result<()> {
        Ok(())
    }
    /// Objects that a new cluster needs before the application: StorageClass, switches.
    fn objects(&self, known: &Known) -> Vec<Value>;
    /// The tool's clusters in the account and region, by their tags.
    fn clusters(&self, env: &Env, account: &Account) -> Result<Vec<Known>>;
    /// What exists of the resources in the HCL, asked without the state. Resources whose second creation changes nothing may be left out.
    fn existing(&self, env: &Env, task: TaskId, known: &Known) -> Result<Vec<Import>>;
    /// Everything in the account that carries the instance's mark or name, asked without the state.
    fn inventory(&self, env: &Env, task: TaskId, account: &Account, name: &str) -> Result<Vec<Thing>>;
    /// The longest name of an instance.
    fn longest_name(&self) -> usize;
    /// How many minutes creation and deletion usually take.
    fn minutes(&self) -> (u64, u64);
    /// The resource that is the cluster.
    fn cluster_resource(&self) -> &'static str;
}

/// A vendor's command-line program.
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) login: &'static str,
    pub(super) from: &'static str,
}

/// A registry and how to log in.
#[derive(Clone)]
pub(super) struct Login {
    /// Host and path, without the image's name.
    pub(super) place: String,
    pub(super) user: String,
    pub(super) password: String,
}

/// Something in the cloud that belongs to the instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Thing {
    /// `vpc vpc-1`.
    pub(super) what: String,
    /// The command that deletes it.
    pub(super) command: String,
}

impl std::fmt::Display for Thing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (delete it with: {})", self.what, self.command)
    }
}

/// Runs a vendor's program and parses the JSON that it prints.
pub(super) fn ask(env: &Env, task: TaskId, program: &str, arguments: &[&str]) -> Result<Value> {
    let text = read(env, task, program, arguments)?;
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).map_err(|error| no_json(program, arguments, &error))
}

/// Like `ask`, with a log of its own, for questions that are asked at once.
pub(super) fn ask_aside(env: &Env, task: TaskId, log: &str, program: &str, arguments: &[&str]) -> Result<Value> {
    let sh = env.tools.shell(&env.project)?;
    let text = env.tools.with_log(log).read_within(task, cmd!(sh, "{program} {arguments...}"), ASK_LIMIT)?;
    serde_json::from_str(&text).map_err(|error| no_json(program, arguments, &error))
}

fn no_json(program: &str, arguments: &[&str], error: &serde_json::Error) -> anyhow::Error {
    let what = format!("`{program} {}` printed no JSON: {error}", arguments.join(" "));
    Problem::requirement(what).code(Code::CloudRefused).into()
}

/// Runs a vendor's program and returns what it prints, which is in no log.
pub(super) fn read(env: &Env, task: TaskId, program: &str, arguments: &[&str]) -> Result<String> {
    let sh = env.tools.shell(&env.project)?;
    env.tools.read_within(task, cmd!(sh, "{program} {arguments...}"), ASK_LIMIT)
}

/// Like `ask`; `None` if the program fails and says one of these words, which mean that there is no such thing.
pub(super) fn ask_for(env: &Env, task: TaskId, program: &str, arguments: &[&str], absent: &[&str]) -> Result<Option<Value>> {
    match ask(env, task, program, arguments) {
        Ok(found) => Ok(Some(found)),
        Err(error) => {
            env.interrupt.check()?;
            let said = format!("{error:#}");
            if absent.iter().any(|it| said.contains(it)) { Ok(None) } else { Err(error) }
        }
    }
}

/// The program is on PATH.
pub(super) fn refuse_without(program: &Program) -> Result<()> {
    if tool::find(program.name).is_some() {
        return Ok(());
    }
    let what = format!("`{}` is not on this machine's PATH", program.name);
    Err(Problem::requirement(what).hint(format!("install it: {}", program.from)).into())
}

/// The error of a program that is not logged in.
pub(super) fn logged_out(program: &Program, why: &anyhow::Error) -> anyhow::Error {
    let text = format!("{why:#}");
    let said = text.lines().rfind(|it| !it.trim().is_empty()).unwrap_or_default().trim();
    Problem::requirement(format!("`{}` has no valid login: {said}", program.name))
        .code(Code::CloudLogin)
        .hint(format!("log in with: {}", program.login))
        .into()
}

/// The error of a place or account that is neither configured nor known to the vendor's program.
pub(super) fn unset(key: &str, what: &str, command: &str) -> anyhow::Error {
    Problem::config(format!("{key}: {what} is not set")).hint(format!("set it in Pocdeploy.toml, or with: {command}")).into()
}

/// An exec section that calls a program that prints an ExecCredential itself, or a shell that wraps a printed token in one.
pub(super) fn exec(api_version: &str, command: &str, arguments: &[&str]) -> Value {
    json!({ "apiVersion": format!("client.authentication.k8s.io/{api_version}"), "command": command, "args": arguments, "interactiveMode": "Never" })
}

/// An exec section for a command that prints a token.
pub(super) fn exec_token(command: &str) -> Value {
    let credential = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}"#;
    exec("v1", "sh", &["-c", &format!("token=$({command}) && printf '{credential}' \"$token\"")])
}

/// A cluster in a cloud's list, by its tags or labels; `None` if it is not the tool's. `prefix` is before `instance`, `created`, `expires`.
pub(super) fn known(kind: &str, account: &Account, region: &str, tags: &Value, prefix: &str) -> Option<Known> {
    let tag = |name: &str| tags[format!("{prefix}{name}")].as_str();
    Some(Known {
        kind: kind.to_owned(),
        name: tag("instance")?.to_owned(),
        account: Account { region: region.to_owned(), ..account.clone() },
        created: tag("created")?.parse().ok()?,
        expires: tag("expires")?.parse().ok()?,
        inputs: None,
        finished: true,
    })
}

/// The strings of a list at a pointer.
pub(super) fn strings<'a>(value: &'a Value, list: &str, field: &'a str) -> impl Iterator<Item = String> + 'a {
    let items = if list.is_empty() { value.as_array() } else { value[list].as_array() };
    items.into_iter().flatten().filter_map(move |it| if field.is_empty() { it.as_str() } else { it[field].as_str() }).map(str::to_owned)
}

/// Applies the vendor's objects to a new cluster. A StorageClass is left out if the cluster has a default one.
pub(super) fn prepare(cluster: &Cluster, objects: &[Value]) -> Result<()> {
    for object in objects {
        if object["kind"] == "StorageClass" && has_default_class(cluster, object["metadata"]["name"].as_str().unwrap_or_default())? {
            continue;
        }
        cluster.apply(object)?;
    }
    Ok(())
}

fn has_default_class(cluster: &Cluster, besides: &str) -> Result<bool> {
    let classes = cluster.list("storage.k8s.io/v1", "StorageClass", "", "")?;
    let mark = "/metadata/annotations/storageclass.kubernetes.io~1is-default-class";
    Ok(classes.iter().any(|it| it["metadata"]["name"] != besides && it.pointer(mark).is_some_and(|it| it == "true")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_token_becomes_a_credential() {
        let exec = exec_token("echo a-b.c");
        let script = exec["args"][1].as_str().unwrap();
        let said = tool::ask("sh", &["-c", script], Duration::from_secs(20)).unwrap();
        let credential: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(credential["status"]["token"], "a-b.c");
        // Without a token there is no credential.
        let failed = exec_token("false");
        assert_eq!(tool::ask("sh", &["-c", failed["args"][1].as_str().unwrap()], Duration::from_secs(20)), None);
    }

    #[test]
    fn strings_are_taken_from_lists() {
        let value = json!({ "a": [{ "n": "x" }, { "m": "y" }, { "n": "z" }], "b": ["p"] });
        assert_eq!(strings(&value, "a", "n").collect::<Vec<_>>(), ["x", "z"]);
        assert_eq!(strings(&value, "b", "").collect::<Vec<_>>(), ["p"]);
        assert_eq!(strings(&value["b"], "", "").collect::<Vec<_>>(), ["p"]);
    }
}
