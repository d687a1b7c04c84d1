//! `drill failover`: kills the database's primary under a stream of votes, and reports the outage and what was lost.

pub(crate) mod restore;
mod stream;
mod well;

use std::{
    collections::BTreeSet,
    io::Write as _,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, ObjectId, Verdict, Wait, verdict},
    commands::{
        answer,
        drill::{
            stream::{Attempt, NAME, Writer},
            well::{Reach, Well},
        },
        instance, reported, validate,
    },
    config::Profile,
    deploy::components::{Components, POSTGRES},
    env::Env,
    errors::{Code, Problem},
    flags::{
        Output,
        database::{Failover, Kill},
    },
    graph::TaskId,
    provider::{Loss, provider},
    report::Waiting,
    setup,
    snapshot::primary::Primary,
    tasks::desired,
};

const TASK: TaskId = TaskId::Database;

/// For the pod that writes, from its creation to its first votes.
const START: Duration = Duration::from_secs(90);
/// From a kill until votes are acknowledged again, then until all instances are ready, then until all else is. Within this time the operator also makes a new replica.
const RECOVERY: Duration = Duration::from_secs(300);
/// The acknowledged votes in a row that end an outage, and that precede a kill.
const STEADY: usize = 20;
/// For an outage to end, so that the drill's database can be dropped.
const CLEANING: Duration = Duration::from_secs(40);

/// Gives the drill's database what the application's sets for `synchronous_commit`, for everybody and for each role.
const SAME_COMMITS: &str = "SELECT format('ALTER %s SET synchronous_commit TO %L', \
    CASE WHEN setrole = 0 THEN format('DATABASE %I', :'name') ELSE format('ROLE %I IN DATABASE %I', rolname, :'name') END, \
    split_part(one, '=', 2)) \
    FROM pg_db_role_setting JOIN pg_database ON pg_database.oid = setdatabase LEFT JOIN pg_roles ON pg_roles.oid = setrole, unnest(setconfig) AS one \
    WHERE datname = :'live' AND one LIKE 'synchronous_commit=%' \\gexec";

/// One kill, and what came of it.
struct Round {
    before: String,
    after: String,
    /// In seconds.
    outage: f64,
}

/// `drill failover`.
pub(crate) fn failover(env: &Env, flags: &Failover) -> Result<()> {
    instance::find(env)?;
    let cluster = Cluster::open(env, &env.kubeconfig())?;
    let drill = Drill { env, cluster: &cluster, id: desired::database(env)? };
    drill.refuse(flags)?;
    setup::consent(env, TASK, &format!("{}; each time the application has no database for some seconds", what(env, flags)))?;
    let (mut rounds, mut result) = (Vec::new(), (0, Vec::new()));
    reported(env, TASK, &what(env, flags), || {
        let ran = drill.run(flags, &mut rounds);
        // Also after a failure and after Ctrl-C. It does not hide what the drill has found.
        if let Err(error) = drill.clean() {
            env.note(TASK, format!("something of the drill is left, which the next drill removes: {error:#}"));
        }
        result = ran?;
        Ok(format!("{} votes acknowledged, {} of them lost", result.0, result.1.len()))
    })?;
    let (acknowledged, lost) = result;
    let object = || json(flags, &rounds, acknowledged, &lost);
    match flags.output {
        Output::Text => answer(env, table(flags, &rounds, acknowledged, &lost).trim_end(), object)?,
        Output::Json => answer(env, &object().to_string(), object)?,
    }
    if lost.is_empty() {
        return Ok(());
    }
    let first: Vec<String> = lost.iter().take(5).map(u64::to_string).collect();
    let more = if lost.len() > first.len() { ", …" } else { "" };
    let what = format!("lost: {} of {acknowledged} acknowledged votes, with the numbers {}{more}", lost.len(), first.join(", "));
    Err(Problem::new(what).code(Code::WritesLost).hint(hint(env)).into())
}

fn hint(env: &Env) -> &'static str {
    match env.config.database.profile {
        Profile::Fast if env.config.database.instances > 1 => "`database.profile = \"durable\"` makes every transaction wait for a replica",
        _ => "look for `synchronous_commit` in what roles and databases set: cargo xtask psql -- -c '\\drds'",
    }
}

/// `drill failover --dry-run`.
pub(crate) fn preview(env: &Env, flags: &Failover) -> Result<()> {
    instance::find(env)?;
    Drill { env, cluster: &Cluster::open(env, &env.kubeconfig())?, id: desired::database(env)? }.refuse(flags)?;
    writeln!(std::io::stdout(), "would do: {}", what(env, flags)).context("print what would be done")
}

fn what(env: &Env, flags: &Failover) -> String {
    let killed = match flags.kill {
        Kill::Pod => "kills the pod of the database's primary",
        Kill::Postgres => "kills PostgreSQL in the database's primary",
        Kill::Node => "kills the node of the database's primary",
        Kill::Partition => "cuts off the node of the database's primary",
    };
    let times = if flags.times == 1 { "once".to_owned() } else { format!("{} times", flags.times) };
    format!("{killed} of instance {} {times}", env.instance)
}

/// How a kill loses a node; `None` if it leaves the node alone.
fn loss(kill: Kill) -> Option<Loss> {
    match kill {
        Kill::Pod | Kill::Postgres => None,
        Kill::Node => Some(Loss::Power),
        Kill::Partition => Some(Loss::Network),
    }
}

struct Drill<'a> {
    env: &'a Env,
    cluster: &'a Cluster,
    id: ObjectId,
}

impl Drill<'_> {
    /// An error if the cluster cannot lose the primary's node.
    fn refuse(&self, flags: &Failover) -> Result<()> {
        if loss(flags.kill).is_none() {
            return Ok(());
        }
        provider(self.env).may_lose(self.env, &self.node_of(&self.primary()?)?)
    }

    /// Returns the number of acknowledged votes, and the lost ones.
    fn run(&self, flags: &Failover, rounds: &mut Vec<Round>) -> Result<(usize, Vec<u64>)> {
        provider(self.env).heal(self.env)?;
        self.healthy("the database to be healthy before the drill")?;
        // What a killed run has left.
        self.clean()?;
        let object = self.object()?;
        let secret = desired::credentials(self.env)?;
        let owner = &self.env.config.database.user;
        let primary = Primary::find(self.cluster, &self.id)?;
        primary.sql("postgres", "CREATE DATABASE :\"name\" OWNER :\"owner\" TEMPLATE template0;", &[("name", NAME), ("owner", owner)])?;
        primary.sql("postgres", SAME_COMMITS, &[("name", NAME), ("live", &self.env.config.database.name)])?;
        let table = "SET ROLE :\"owner\"; SET synchronous_commit = on; CREATE TABLE votes (number bigint PRIMARY KEY);";
        primary.sql(NAME, table, &[("owner", owner)])?;
        let deadline = u64::from(flags.times) * 6 * RECOVERY.as_secs() + START.as_secs() + 60;
        let writer = Writer {
            namespace: &self.id.namespace,
            instance: &self.env.instance,
            database: &object,
            secret: &secret,
            deadline,
            on_control_plane: loss(flags.kill).is_some(),
        };
        self.cluster.apply(&writer.pod())?;
        self.steady("the first votes", START, 0, || Ok(true))?;
        for number in 1..=flags.times {
            let round = self.round(flags.kill, (number, flags.times))?;
            self.env.note(TASK, format!("kill {number} of {}: {:.1} s without an acknowledged vote", flags.times, round.outage));
            rounds.push(round);
            if number < flags.times {
                self.refresh()?;
            }
        }
        // In this order: what is acknowledged in between is not compared.
        let attempts = self.attempts()?;
        let there = self.there()?;
        let acknowledged = attempts.iter().filter(|it| it.acknowledged).count();
        Ok((acknowledged, stream::lost(&attempts, &there)))
    }

    fn round(&self, kill: Kill, (number, times): (u16, u16)) -> Result<Round> {
        let before = self.primary()?;
        let started = self.started()?;
        let from = last_acknowledged(&self.attempts()?);
        self.env.progress(TASK, format!("kill {number} of {times}: {before}"));
        let lost = self.node_of(&before)?;
        let reach = if loss(kill).is_some() { Reach::Cluster } else { Reach::Namespace(&self.id.namespace) };
        let well = Well::read(self.env, self.cluster, &reach)?;
        match kill {
            Kill::Node | Kill::Partition => {}
            Kill::Pod => self.cluster.kill(&ObjectId::new("v1", "Pod", &self.id.namespace, &before))?,
            Kill::Postgres => {
                let command = ["sh", "-c", r#"kill -9 "$(head -n 1 "$PGDATA/postmaster.pid")""#];
                self.cluster.exec(&self.id.namespace, &before, POSTGRES, &command)?;
            }
        }
        // Votes that are acknowledged before the kill has an effect end no outage: the kubelet may be late.
        let is_killed = || Ok(self.started()? != started);
        let answered = || self.steady("votes to be acknowledged after the kill", RECOVERY, from, is_killed);
        match loss(kill) {
            None => answered()?,
            Some(how) => self.without(&lost, how, answered)?,
        }
        self.healthy("the database to be whole again")?;
        let wait =
            Wait { pause: Duration::from_millis(500), ..Wait::new(self.env, "what was ready before the kill to be ready again", RECOVERY) };
        self.cluster.wait_for(self.env, TASK, &wait, || well.is_back(self.cluster, &reach))?;
        let outage = stream::outage(&self.attempts()?, from).unwrap_or_default();
        Ok(Round { before, after: self.primary()?, outage })
    }

    /// Replaces pods whose PostgreSQL has been restarted, so that each kill meets one that has not: the kubelet restarts a container at once,
    /// and after each further end 10 s, 20 s, and up to 300 s later, until it has run for ten minutes (pod lifecycle of Kubernetes 1.36). A
    /// primary with replicas stays.
    fn refresh(&self) -> Result<()> {
        let list =
            || self.cluster.list("v1", "Pod", &self.id.namespace, &format!("cnpg.io/cluster={},cnpg.io/podRole=instance", self.id.name));
        let (pods, primary) = (list()?, self.primary()?);
        let name = |it: &Value| it.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let uid = |it: &Value| it.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned();
        let was_restarted = |it: &&Value| {
            let statuses = it.pointer("/status/containerStatuses").and_then(Value::as_array);
            statuses.into_iter().flatten().any(|it| it["name"] == POSTGRES && it["restartCount"].as_u64().unwrap_or_default() > 0)
        };
        let worn: Vec<&Value> = pods.iter().filter(was_restarted).filter(|it| pods.len() == 1 || name(it) != primary).collect();
        if worn.is_empty() {
            return Ok(());
        }
        let old: Vec<String> = worn.iter().map(|it| uid(it)).collect();
        for pod in worn {
            self.env.progress(TASK, format!("replaces pod {}, whose next restart the kubelet would delay", name(pod)));
            self.cluster.delete(&ObjectId::of(pod)?)?;
        }
        let wait = Wait { pause: Duration::from_millis(500), ..Wait::new(self.env, "the end of pods that were replaced", RECOVERY) };
        self.cluster.wait_for(self.env, TASK, &wait, || {
            let left = list()?.into_iter().find(|it| old.contains(&uid(it)));
            Ok(left.map_or(Verdict::Yes, |it| Verdict::NotYet(format!("{} is still there", name(&it)))))
        })?;
        let from = last_acknowledged(&self.attempts()?);
        self.steady("votes to be acknowledged by the pods that were replaced", RECOVERY, from, || Ok(true))?;
        self.healthy("the database to be whole with the pods that were replaced")
    }

    /// Calls `work` while the node is lost. Brings the node back in any case.
    fn without(&self, node: &str, how: Loss, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let provider = provider(self.env);
        provider.may_lose(self.env, node)?;
        let worked = provider.lose(self.env, node, how).and_then(|()| work());
        let back = provider.bring_back(self.env, node, how);
        let back = back.with_context(|| format!("bring node {node} back"));
        match worked {
            Ok(()) => back,
            // The first failure is the one that explains.
            Err(error) => {
                back.unwrap_or_else(|it| self.env.note(TASK, format!("{it:#}")));
                Err(error)
            }
        }
    }

    /// The name of a pod's node.
    fn node_of(&self, pod: &str) -> Result<String> {
        let found = self.cluster.get(&ObjectId::new("v1", "Pod", &self.id.namespace, pod))?;
        let name = found.as_ref().and_then(|it| it.pointer("/spec/nodeName")).and_then(Value::as_str);
        name.map(str::to_owned).with_context(|| format!("pod {pod} is on no node"))
    }

    /// Waits until the last attempts are all acknowledged, come after number `from`, and `and` is true.
    fn steady(&self, what: &str, limit: Duration, from: u64, and: impl Fn() -> Result<bool>) -> Result<()> {
        let wait = Wait { pause: Duration::from_millis(500), ..Wait::new(self.env, what, limit) };
        self.cluster.wait_for(self.env, TASK, &wait, || {
            let attempts = self.attempts()?;
            let new = attempts.iter().rev().take_while(|it| it.acknowledged && it.number > from).count();
            Ok(match new {
                STEADY.. if and()? => Verdict::Yes,
                STEADY.. => Verdict::NotYet("the kill has no effect yet".to_owned()),
                _ => {
                    let why = attempts.last().filter(|it| !it.why.is_empty()).map(|it| format!(": {}", it.why)).unwrap_or_default();
                    Verdict::NotYet(format!("{new} of {STEADY} votes in a row are acknowledged{why}"))
                }
            })
        })
    }

    /// Waits until the operator and PostgreSQL call the database healthy, with all its replicas.
    fn healthy(&self, what: &str) -> Result<()> {
        let components = Components::read(self.env)?;
        let wait = Wait { pause: Duration::from_millis(500), ..Wait::new(self.env, what, RECOVERY) };
        self.cluster.wait_for(self.env, TASK, &wait, || {
            let verdict = verdict::of(&self.object()?);
            if verdict != Verdict::Yes {
                return Ok(verdict);
            }
            let said = validate::ask_database(self.env, self.cluster, &components)?;
            Ok(said.judge(&self.env.config.database).map_or_else(Verdict::NotYet, |_| Verdict::Yes))
        })
    }

    fn object(&self) -> Result<Value> {
        self.cluster.get(&self.id)?.ok_or_else(|| Problem::new(format!("{} does not exist", self.id)).into())
    }

    fn primary(&self) -> Result<String> {
        Ok(self.object()?.pointer("/status/currentPrimary").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// When the primary's PostgreSQL was started.
    fn started(&self) -> Result<String> {
        Primary::find(self.cluster, &self.id)?.sql("postgres", "SELECT pg_postmaster_start_time();", &[])
    }

    fn attempts(&self) -> Result<Vec<Attempt>> {
        let attempts = stream::attempts(&self.cluster.whole_log(&self.id.namespace, NAME)?);
        if !stream::is_whole(&attempts) {
            let what = "the kubelet has removed the beginning of the drill's log, so its votes cannot be compared";
            return Err(Problem::new(what).hint("a drill with fewer --times has a shorter log").into());
        }
        Ok(attempts)
    }

    /// The numbers of the votes in the table.
    fn there(&self) -> Result<BTreeSet<u64>> {
        let rows = Primary::find(self.cluster, &self.id)?.sql(NAME, "SELECT number FROM votes;", &[])?;
        rows.lines().map(|it| it.trim().parse().with_context(|| format!("read the vote {it:?}"))).collect()
    }

    /// Removes the pod and its database, also after a signal.
    fn clean(&self) -> Result<()> {
        let cluster = self.cluster.for_cleaning();
        cluster.kill(&ObjectId::new("v1", "Pod", &self.id.namespace, NAME))?;
        let drop = "DROP DATABASE IF EXISTS :\"name\" WITH (FORCE);";
        let began = Instant::now();
        loop {
            // During an outage there is no primary to ask.
            let dropped = Primary::find(&cluster, &self.id).and_then(|it| it.for_cleaning().sql("postgres", drop, &[("name", NAME)]));
            match dropped {
                Ok(_) => return Ok(()),
                Err(error) if began.elapsed() > CLEANING => return Err(error).with_context(|| format!("drop the database {NAME}")),
                Err(error) => {
                    let what = format!("the database, to drop {NAME} in it");
                    self.env.waiting(TASK, Waiting::new(&what, format!("{error:#}"), began.elapsed(), CLEANING));
                    thread::sleep(Duration::from_secs(1));
                }
            }
        }
    }
}

fn last_acknowledged(attempts: &[Attempt]) -> u64 {
    attempts.iter().filter(|it| it.acknowledged).map(|it| it.number).max().unwrap_or_default()
}

/// The result for people: a line for each kill, and the sum.
fn table(flags: &Failover, rounds: &[Round], acknowledged: usize, lost: &[u64]) -> String {
    let mut out = format!("{:<10}{:<8}{:<34}outage\n", "kill", "number", "primary");
    for (number, it) in rounds.iter().enumerate() {
        let primary = if it.before == it.after { it.before.clone() } else { format!("{} -> {}", it.before, it.after) };
        out += &format!("{:<10}{:<8}{primary:<34}{:.1} s\n", flags.kill.name(), number + 1, it.outage);
    }
    out + &format!("{acknowledged} votes acknowledged, {} of them lost\n", lost.len())
}

/// The JSON object; `schema` increases when a field changes its meaning.
fn json(flags: &Failover, rounds: &[Round], acknowledged: usize, lost: &[u64]) -> Value {
    let one = |it: &Round| json!({ "before": it.before, "after": it.after, "outage": it.outage });
    json!({
        "schema": 1,
        "kill": flags.kill.name(),
        "kills": rounds.iter().map(one).collect::<Vec<_>>(),
        "acknowledged": acknowledged,
        "lost": lost,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_for_each_kill() {
        let flags = Failover { kill: Kill::Pod, times: 2, output: Output::Text };
        let round = |before: &str, after: &str, outage| Round { before: before.to_owned(), after: after.to_owned(), outage };
        let rounds = [round("polls-db-1", "polls-db-2", 3.25), round("polls-db-2", "polls-db-2", 0.5)];
        let expected = "kill      number  primary                           outage\n\
                        pod       1       polls-db-1 -> polls-db-2          3.2 s\n\
                        pod       2       polls-db-2                        0.5 s\n\
                        812 votes acknowledged, 1 of them lost\n";
        assert_eq!(table(&flags, &rounds, 812, &[7]), expected);
        assert_eq!(json(&flags, &rounds, 812, &[7])["kills"][0]["after"], "polls-db-2");
    }
}
