//! The door to a Kubernetes cluster: the only module that uses kube and k8s-openapi.
//!
//! Calls block. Every wait has a limit, reports what it waits for, and fails with the last state.

pub mod age;
mod apply;
mod attach;
mod causes;
pub mod certificate;
pub mod diagnosis;
pub mod difference;
mod drift;
pub mod evidence;
mod exec;
mod forward;
pub mod kinds;
mod log_lines;
mod logs;
mod node_port;
pub mod obstacle;
mod page;
mod pods;
pub mod settings;
mod silence;
pub mod survey;
pub mod verdict;

use std::{
    fs,
    future::Future,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;
use tokio::runtime::Runtime;

pub use crate::cluster::{
    apply::ObjectId,
    exec::Exec,
    forward::Target,
    logs::{Line, Source},
    obstacle::Patience,
    pods::Place,
    verdict::Verdict,
};
use crate::{
    env::Env,
    errors::{Code, Problem},
    graph::TaskId,
    interrupt::Interrupt,
    report::Waiting,
};

/// The field manager's name in server-side apply.
pub const FIELD_MANAGER: &str = "pocdeploy";

/// A connection with the instance's own kubeconfig.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    /// What the client was made of, for one that asks whether the server still answers.
    config: Arc<Config>,
    runtime: Arc<Runtime>,
    interrupt: Interrupt,
    kinds: apply::Kinds,
}

impl Cluster {
    /// Reads this kubeconfig file only, neither `KUBECONFIG` nor `~/.kube/config`. Does not connect yet.
    pub fn open(env: &Env, kubeconfig: &Path) -> Result<Cluster> {
        Cluster::open_with(env, kubeconfig, Some(Duration::from_secs(60)))
    }

    /// Without a read timeout, for streams that may be silent for any time: logs, terminals, forwarded ports.
    pub fn open_for_streams(env: &Env, kubeconfig: &Path) -> Result<Cluster> {
        Cluster::open_with(env, kubeconfig, None)
    }

    fn open_with(env: &Env, kubeconfig: &Path, read_timeout: Option<Duration>) -> Result<Cluster> {
        let text = fs::read_to_string(kubeconfig).with_context(|| format!("read {}", kubeconfig.display()))?;
        Cluster::open_text(env, &text, read_timeout).with_context(|| format!("use {}", kubeconfig.display()))
    }

    /// With a kubeconfig from memory.
    pub(crate) fn open_text(env: &Env, kubeconfig: &str, read_timeout: Option<Duration>) -> Result<Cluster> {
        let open = async {
            let file = Kubeconfig::from_yaml(kubeconfig)?;
            let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
            config.connect_timeout = Some(Duration::from_secs(5));
            config.read_timeout = read_timeout;
            // The address is on this machine, so the user's HTTP proxy must not be used.
            config.proxy_url = None;
            anyhow::Ok((Client::try_from(config.clone())?, Arc::new(config)))
        };
        let (client, config) = env.runtime.block_on(open)?;
        Ok(Cluster { client, config, runtime: env.runtime.clone(), interrupt: env.interrupt.clone(), kinds: apply::Kinds::default() })
    }

    /// A copy of the connection to delete what a run created. It ignores earlier signals, so each call needs its own limit.
    pub(crate) fn for_cleaning(&self) -> Cluster {
        Cluster { interrupt: Interrupt::default(), ..self.clone() }
    }

    fn call<T>(&self, future: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Problem> {
        self.interrupt.status()?;
        let interrupt = self.interrupt.clone();
        self.runtime.block_on(async move {
            tokio::select! {
                result = future => result.map_err(|error| explain(&error)),
                problem = interrupt.came() => Err(problem),
                problem = silence::lasts(&self.config) => Err(problem),
            }
        })
    }

    /// Whether the API server's `/readyz` succeeds.
    pub fn is_ready(&self) -> Result<(), String> {
        let request = http_get("/readyz").map_err(|error| error.to_string())?;
        let asked = async { Ok(tokio::time::timeout(silence::ANSWER_LIMIT, self.client.request_text(request)).await) };
        match self.call(asked) {
            Ok(Ok(Ok(text))) if text.trim_start().starts_with('<') => Err(silence::NO_API.to_owned()),
            Ok(Ok(Ok(_))) => Ok(()),
            Ok(Ok(Err(error))) => Err(failed_checks(&explain(&error).to_string())),
            // The client repeats a request for minutes that the server has no time for.
            Ok(Err(_)) => Err(self.call(async { Ok(silence::ask(&self.config).await) }).map_or_else(
                |it| it.to_string(),
                |why| why.err().unwrap_or_else(|| format!("no answer within {} s", silence::ANSWER_LIMIT.as_secs())),
            )),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Waits until the API server is ready, of a cluster that exists: credentials and certificates that it refuses do not become valid by
    /// waiting, while a cloud that has just created one needs minutes to know its users.
    pub fn wait_until_ready(&self, env: &Env, task: TaskId, limit: Duration) -> Result<()> {
        let hint = format!("renew the credentials and the address in the kubeconfig until this works: {} kubectl get nodes", env.tool());
        let wait = Wait::new(env, "the API server", limit);
        let patience = Patience::default();
        let answers = self.wait_for(env, task, &wait, || {
            Ok(match self.is_ready() {
                Ok(()) => Verdict::Yes,
                Err(why) => patience.judge(obstacle::at_the_door(&why), Verdict::NotYet(why)),
            })
        });
        answers.map_err(|error| match error.downcast::<Problem>() {
            Ok(problem) if problem.code == Code::NeverReady => problem.code(Code::Api).hint(hint).into(),
            Ok(problem) => problem.into(),
            Err(other) => other,
        })
    }

    /// Calls `look` repeatedly until its verdict is yes. Fails at `Never`, at the limit, and after a signal. An API error counts as "not
    /// yet", since API servers restart.
    pub fn wait_for(&self, env: &Env, task: TaskId, wait: &Wait<'_>, look: impl Fn() -> Result<Verdict>) -> Result<()> {
        let began = Instant::now();
        let mut seen = "nothing yet".to_owned();
        loop {
            let waiting = || format!("waiting for {}; last seen: {seen}", wait.what);
            env.task_progress.check(task).with_context(waiting)?;
            seen = match look() {
                Ok(Verdict::Yes) => return Ok(()),
                Ok(Verdict::NotYet(why)) => why,
                Ok(Verdict::Never(why)) => {
                    return Err(Problem::new(format!("{}: {why}", wait.what)).code(Code::NeverReady).hint(&wait.hint).into());
                }
                Err(error) => {
                    // A signal also ends the call: its error says nothing about the cluster.
                    self.interrupt.check().with_context(waiting)?;
                    format!("{error:#}")
                }
            };
            let waiting = Waiting::new(wait.what, &seen, began.elapsed(), wait.limit);
            if began.elapsed() > wait.limit {
                return Err(Problem::timed_out(waiting.timed_out()).hint(&wait.hint).into());
            }
            env.waiting(task, waiting);
            self.interrupt.sleep(wait.pause).with_context(|| format!("waiting for {}; last seen: {seen}", wait.what))?;
        }
    }

    /// Like `wait_for` for one object; a missing object counts as "not yet".
    pub fn wait_for_object(
        &self,
        env: &Env,
        task: TaskId,
        wait: &Wait<'_>,
        id: &ObjectId,
        verdict: impl Fn(&Value) -> Verdict,
    ) -> Result<()> {
        self.wait_for(env, task, wait, || match self.get(id)? {
            Some(object) => Ok(verdict(&object)),
            None => Ok(Verdict::NotYet(format!("{id} does not exist"))),
        })
    }
}

/// What a wait waits for, its limit and pause, and the hint of its error.
pub struct Wait<'a> {
    pub what: &'a str,
    pub limit: Duration,
    pub pause: Duration,
    pub hint: String,
}

impl Wait<'_> {
    /// Four looks a second; the hint names a command to inspect the cluster.
    pub fn new<'a>(env: &Env, what: &'a str, limit: Duration) -> Wait<'a> {
        let hint = format!("look inside with: {} kubectl get pods,events -A", env.tool());
        Wait { what, limit, pause: Duration::from_millis(250), hint }
    }
}

/// The API's error with the message of the server, webhook or transport that caused it.
fn explain(error: &kube::Error) -> Problem {
    let code = match error {
        kube::Error::Api(status) if status.code == 404 => Code::NotFound,
        _ => Code::Api,
    };
    let what = match error {
        kube::Error::Api(status) => status.message.clone(),
        kube::Error::Service(inner) => {
            // The transport's own message is at the end of the chain.
            let mut cause: &dyn std::error::Error = inner.as_ref();
            while let Some(next) = cause.source() {
                cause = next;
            }
            cause.to_string()
        }
        kube::Error::SerdeError(error) => format!("{}: {error}", silence::NO_API),
        other => other.to_string(),
    };
    Problem::new(what).code(code)
}

fn http_get(path: &str) -> Result<http::Request<Vec<u8>>> {
    http::Request::get(path).body(Vec::new()).context("make a request")
}

/// The failed checks of a `/readyz` response, which lists all checks; another text unchanged.
fn failed_checks(text: &str) -> String {
    let failed: Vec<&str> = text.lines().filter_map(|it| it.strip_prefix("[-]")).collect();
    if failed.is_empty() { text.to_owned() } else { format!("not ready: {}", failed.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_servers_checks_those_that_failed_are_told() {
        let text = "[+]ping ok\n[-]poststarthook/rbac/bootstrap-roles failed: reason withheld\n[+]log ok\nreadyz check failed";
        assert_eq!(failed_checks(text), "not ready: poststarthook/rbac/bootstrap-roles failed: reason withheld");
        assert_eq!(failed_checks("Connection refused"), "Connection refused");
    }
}
