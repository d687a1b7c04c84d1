//! `clone NAME`: a second instance with the content of this one's database, for a branch or a demonstration.

use std::{fs, io::Write as _, path::Path};

use anyhow::{Context as _, Result};
use xshell::cmd;

use crate::{
    cluster::Cluster,
    commands::{instance, reported},
    config::{ClusterType, complaint_about_instance},
    env::Env,
    errors::{Code, Problem},
    graph::TaskId,
    invocation, port,
    provider::instances,
    snapshot::{self, Proof},
    tasks::{database, desired},
};

const TASK: TaskId = TaskId::Snapshot;

/// Dumps the database, and runs `create --restore` as for an instance of that name, with the same configuration file. The dump is removed
/// once the instance has its content.
pub(crate) fn run(env: &Env, name: &str, config: Option<&Path>) -> Result<()> {
    refuse(env, name)?;
    let file = snapshot::default_path(env, None);
    database::refuse_interrupted(env, &Cluster::open(env, &env.kubeconfig())?)?;
    reported(env, TASK, "dumping the database", || {
        // The restore into the new instance is the proof.
        let size = snapshot::take(env, TASK, &Cluster::open(env, &env.kubeconfig())?, &desired::database(env)?, &file, Proof::Read)?;
        Ok(format!("{} KB", size.div_ceil(1000)))
    })?;
    let volumes: Vec<String> = env.config.all_services().flat_map(|(_, it)| it.volumes.keys().cloned()).collect();
    if !volumes.is_empty() {
        env.note(TASK, format!("the files of volumes are not copied: {}", volumes.join(", ")));
    }
    let code = create(env, name, config, &file)?;
    if code == 0 {
        return fs::remove_file(&file).with_context(|| format!("remove {}", file.display()));
    }
    let program = invocation::program();
    let what = format!("instance {name} was not created (exit code {code}); {} holds the content for it", file.display());
    let hint = format!("{program} delete --name {name}\n{program} create --name {name} --restore {}", file.display());
    Err(Problem::new(what).code(Code::Unhealthy).hint(hint).into())
}

/// `clone --dry-run`.
pub(crate) fn preview(env: &Env, name: &str) -> Result<()> {
    refuse(env, name)?;
    let text = format!("would create instance {name} with what the database of instance {} holds", env.instance);
    writeln!(std::io::stdout(), "{text}").context("print what would be done")
}

fn refuse(env: &Env, name: &str) -> Result<()> {
    if let Some(wrong) = complaint_about_instance(name) {
        return Err(Problem::usage(format!("the name {wrong}")).into());
    }
    if env.config.cluster.kind == ClusterType::Existing {
        let what = "two instances of this project cannot share an existing cluster: they have the same namespace";
        return Err(Problem::usage(what).hint("clone it to this machine: `db snapshot`, then `create --type kind --restore FILE`").into());
    }
    instance::find(env)?;
    let (known, _) = instances(env)?;
    if name == env.instance || known.iter().any(|it| it.name == name) {
        let hint = format!("another name, or first: {} delete --name {name}", invocation::program());
        return Err(Problem::usage(format!("there is an instance {name} already")).hint(hint).into());
    }
    Ok(())
}

/// This program itself, as for the new instance.
fn create(env: &Env, name: &str, config: Option<&Path>, file: &Path) -> Result<u8> {
    let program = std::env::current_exe().context("find the running program")?;
    let sh = env.tools.shell(&env.project)?;
    let (kind, project) = (env.config.cluster.kind.name(), &env.project);
    let consent = env.options.yes.then_some("--yes");
    let config = config.map(|it| ["--config".into(), it.as_os_str().to_owned()]).into_iter().flatten();
    let mut command =
        cmd!(sh, "{program} create --type {kind} --name {name} --project {project} --restore {file} {config...} {consent...}");
    // A port that the user set is that of the first instance.
    if let (Some(set), Ok(engine)) = (env.config.cluster.port, env.engine()) {
        command = command.env("POCDEPLOY_CLUSTER_PORT", port::choose(None, engine, &[set])?.port.to_string());
    }
    env.tools.run_in_place(command)
}
