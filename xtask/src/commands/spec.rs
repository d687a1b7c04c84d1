//! The properties of each command, one row each, which `commands.rs` uses before it calls the command's own file.

use crate::{
    errors::Problem,
    flags::{
        self, Command, ConfigCommand, DbCommand, GraphFormat, Output, Part, Topic,
        database::DrillCommand,
        patches::{Patch, PatchCommand, UpstreamCommand},
    },
    graph::{Graph, Selection, TaskId},
};

/// What a command requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Neither a project nor an instance, or it finds the project itself.
    Nothing,
    /// Any folder; the configuration may be invalid.
    AnyFolder,
    /// A project. The command reports an invalid configuration in its output.
    Project,
    /// A project with a valid configuration.
    Configuration,
}

/// What `--dry-run` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DryRun {
    /// An error, since the command changes nothing anyway.
    Refused,
    /// The plan of these tasks.
    Plan(&'static [TaskId]),
    /// The command's own description.
    Own,
}

/// The row of a command.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    /// The command as typed.
    pub(super) name: &'static str,
    pub(super) needs: Needs,
    /// It changes the instance, so only one such command runs at a time.
    pub(super) locks: bool,
    /// It supports `--events`, since it prints nothing else on standard output.
    pub(super) events: bool,
    pub(super) dry_run: DryRun,
    /// The output on standard output.
    pub(super) output: Output,
    /// The task that it ends with, for `--only` and `--from`.
    target: Option<TaskId>,
    only: bool,
    from: Option<TaskId>,
}

impl Command {
    /// The command's row.
    pub(super) fn spec(&self) -> Spec {
        use Needs::{AnyFolder, Nothing, Project};
        match self {
            Command::Create(it) => Spec { from: it.from, ..task("create", &[TaskId::Deploy]) }.output(it.output),
            Command::Update => task("update", &[TaskId::Deploy]),
            Command::Deploy(it) => task("deploy", &[TaskId::Deploy]).part(it),
            Command::Patch(Patch { part, command: None, .. }) => task("patch", &[TaskId::Patch]).part(part),
            Command::Patch(Patch { command: Some(it), .. }) => match it {
                PatchCommand::Status { output, .. } => looks("patch status").output(*output),
                PatchCommand::New { .. } => changes("patch new", DryRun::Own),
                PatchCommand::Edit { .. } => changes("patch edit", DryRun::Own),
                PatchCommand::Refresh { .. } => changes("patch refresh", DryRun::Own),
                PatchCommand::Rebase { .. } => changes("patch rebase", DryRun::Own),
                PatchCommand::Drop { .. } => changes("patch drop", DryRun::Own),
                PatchCommand::Export { .. } => looks("patch export"),
            },
            Command::Upstream(it) => match &it.command {
                UpstreamCommand::Status { output, .. } => looks("upstream status").output(*output),
                UpstreamCommand::Update { .. } => changes("upstream update", DryRun::Own),
                UpstreamCommand::Diff { .. } => looks("upstream diff"),
            },
            Command::Export(_) => Spec { events: false, ..changes("export", DryRun::Own) },
            Command::Requirements(it) => task("requirements", &[TaskId::Requirements]).part(&it.part),
            Command::Image(it) => task("image", &[TaskId::Image]).part(it),
            Command::Cluster(it) => task("cluster", &[TaskId::Cluster]).part(it),
            Command::Load(it) => task("load", &[TaskId::Load]).part(it),
            Command::Operator(it) => task("operator", &[TaskId::Operator]).part(it),
            Command::Database(it) => task("database", &[TaskId::Database]).part(it),
            // Standard output has the application's log. The command starts with a deployment of the current source.
            Command::Dev => Spec { events: false, ..changes("dev", DryRun::Plan(&[TaskId::Load, TaskId::Database])) },
            Command::Rollback(_) => changes("rollback", DryRun::Own),
            // It starts a command for each instance, which locks it.
            Command::Delete(it) if it.expired => looks("delete --expired"),
            Command::Delete(it) => changes("delete", DryRun::Own).output(it.output),
            Command::Db(it) => match it.command {
                DbCommand::Snapshot { .. } => changes("db snapshot", DryRun::Own),
                // Each of its backups locks the instance.
                DbCommand::Backup { every: Some(_) } => looks("db backup --every"),
                DbCommand::Backup { every: None } => changes("db backup", DryRun::Own),
                DbCommand::Restore { .. } => changes("db restore", DryRun::Own),
                DbCommand::Ls => looks("db ls"),
            },
            // Standard output has the URL of the new instance.
            Command::Clone(_) => Spec { events: false, ..changes("clone", DryRun::Own) },
            Command::Drill(it) => match &it.command {
                DrillCommand::Failover(it) => changes("drill failover", DryRun::Own).output(it.output),
                DrillCommand::Restore(it) => changes("drill restore", DryRun::Own).output(it.output),
            },
            Command::Plan(it) => looks("plan").output(it.output),
            Command::History(it) => looks("history").output(it.output),
            Command::Validate(it) => looks("validate").output(it.output),
            Command::Status(it) => looks("status").output(it.output),
            Command::Report(it) => looks("report").output(it.output),
            Command::Graph(it) if it.format() == GraphFormat::Json => looks("graph").output(Output::Json),
            Command::Graph(_) => looks("graph"),
            Command::Logs(_) => looks("logs"),
            Command::Url => looks("url"),
            Command::Open => looks("open"),
            Command::Forward(_) => looks("forward"),
            Command::Psql(_) => looks("psql"),
            Command::Shell(_) => looks("shell"),
            Command::Manage(_) => looks("manage"),
            Command::Kubectl(_) => looks("kubectl"),
            // The code may be that of an invalid configuration.
            Command::Explain(flags::Explain { topic: Some(Topic::Code(_)), output }) => looks("explain").needs(Nothing).output(*output),
            Command::Explain(it) => looks("explain").output(it.output),
            Command::Config(it) => match it.command {
                // It helps to correct an invalid configuration.
                ConfigCommand::Schema => looks("config schema").needs(Nothing),
                ConfigCommand::Show { output, .. } => looks("config show").output(output),
            },
            Command::Trust => looks("trust"),
            Command::Pause(_) => changes("pause", DryRun::Own),
            Command::Resume => changes("resume", DryRun::Own),
            Command::Doctor(it) => looks("doctor").needs(Project).output(it.output),
            Command::Sbom(_) => looks("sbom"),
            Command::SupportBundle(_) => looks("support-bundle").needs(Project),
            // The list of instances does not depend on the folder.
            Command::Ls(it) => looks("ls").needs(AnyFolder).output(it.output),
            // An installed program needs no project for these.
            Command::Install(_) => Spec { dry_run: DryRun::Own, ..looks("install").needs(Nothing) },
            Command::Eject(_) => Spec { dry_run: DryRun::Own, ..looks("eject").needs(Nothing) },
            // The folder becomes a project by it.
            Command::Init(_) => Spec { dry_run: DryRun::Own, ..looks("init").needs(Nothing) },
        }
    }
}

/// A read-only command.
fn looks(name: &'static str) -> Spec {
    Spec {
        name,
        needs: Needs::Configuration,
        locks: false,
        events: false,
        dry_run: DryRun::Refused,
        output: Output::Text,
        target: None,
        only: false,
        from: None,
    }
}

/// A command that changes the instance.
fn changes(name: &'static str, dry_run: DryRun) -> Spec {
    Spec { locks: true, events: true, dry_run, ..looks(name) }
}

/// A command that runs the graph up to the last of these tasks.
fn task(name: &'static str, targets: &'static [TaskId]) -> Spec {
    Spec { target: targets.last().copied(), ..changes(name, DryRun::Plan(targets)) }
}

impl Spec {
    fn needs(self, needs: Needs) -> Spec {
        Spec { needs, ..self }
    }

    fn output(self, output: Output) -> Spec {
        Spec { output, ..self }
    }

    fn part(self, flags: &Part) -> Spec {
        Spec { only: flags.only, from: flags.from, ..self }
    }

    /// An error for `--events` and `--dry-run` if the command does not support them.
    pub(super) fn check(&self, flags: &flags::Global) -> Result<(), Problem> {
        let refused = |flag: &str, why: &str| Err(Problem::usage(format!("`{}` takes no {flag}: {why}", self.name)));
        if flags.dry_run && self.dry_run == DryRun::Refused {
            return refused("--dry-run", "it changes nothing");
        }
        if flags.events && !self.locks {
            return refused("--events", "that is for commands that change the instance");
        }
        if flags.events && !self.events {
            return refused("--events", "its standard output is the application's log");
        }
        if flags.events && flags.dry_run { refused("--events with --dry-run", "nothing would be told") } else { Ok(()) }
    }

    /// The part of the graph that the flags allow to run.
    pub(super) fn selection(&self, graph: &Graph) -> Result<Selection, Problem> {
        let Some(target) = self.target else { return Ok(Selection::All) };
        match self.from {
            Some(from) if graph.named(from).is_empty() => {
                let of_its_kind: Vec<String> = graph.named(TaskId::of(from.kind)).into_iter().map(TaskId::name).collect();
                let what = format!("there is no task {}; there is {}", from.name(), of_its_kind.join(", "));
                Err(Problem::usage(what).hint("`cargo xtask graph` lists the tasks"))
            }
            Some(from) if !graph.reached(&[target]).iter().any(|it| from.means(*it)) => {
                let (target, from) = (target.name(), from.name());
                Err(Problem::usage(format!("{target} does not need {from}: --from {from} means nothing here")))
            }
            Some(from) => Ok(Selection::From(from)),
            None if self.only => Ok(Selection::Only(target)),
            None => Ok(Selection::All),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use expect_test::expect;

    use super::*;
    use crate::flags::Flags;

    /// All commands and subcommands, as typed.
    fn typed(of: &clap::Command, before: &str) -> Vec<String> {
        let named = |it: &clap::Command| format!("{before} {}", it.get_name()).trim().to_owned();
        let all = of.get_subcommands().filter(|it| it.get_name() != "help");
        let own = |it: &clap::Command| if it.is_subcommand_required_set() { Vec::new() } else { vec![named(it)] };
        all.flat_map(|it| [own(it), typed(it, &named(it))].concat()).collect()
    }

    /// Adds required arguments, so that the line can be parsed.
    fn read(line: &str) -> Command {
        let needed = match line {
            "clone" => vec!["demo"],
            "db restore" => vec!["file"],
            "export" => vec!["--format", "helm"],
            "manage" => vec!["check"],
            "patch drop" => vec!["1"],
            "upstream update" => vec!["1.0"],
            _ => Vec::new(),
        };
        let words = std::iter::once("pocdeploy").chain(line.split(' ')).chain(needed);
        flags::read(&Flags::command().try_get_matches_from(words).unwrap()).command
    }

    #[test]
    fn the_table_of_commands_says_what_each_needs_and_does() {
        let mut out = format!("{:<16}{:<15}{:<7}{:<8}dry run\n", "command", "needs", "locks", "events");
        for line in typed(&Flags::command(), "") {
            let spec = read(&line).spec();
            assert_eq!(spec.name, line);
            let word = |it| if it { "yes" } else { "-" };
            let needs = format!("{:?}", spec.needs);
            out.push_str(&format!("{line:<16}{needs:<15}{:<7}{:<8}{:?}\n", word(spec.locks), word(spec.events), spec.dry_run));
        }
        expect![[r#"
            command         needs          locks  events  dry run
            init            Nothing        -      -       Own
            create          Configuration  yes    yes     Plan([Deploy])
            plan            Configuration  -      -       Refused
            update          Configuration  yes    yes     Plan([Deploy])
            dev             Configuration  yes    -       Plan([Load, Database])
            history         Configuration  -      -       Refused
            rollback        Configuration  yes    yes     Own
            db snapshot     Configuration  yes    yes     Own
            db backup       Configuration  yes    yes     Own
            db ls           Configuration  -      -       Refused
            db restore      Configuration  yes    yes     Own
            clone           Configuration  yes    -       Own
            drill failover  Configuration  yes    yes     Own
            drill restore   Configuration  yes    yes     Own
            delete          Configuration  yes    yes     Own
            pause           Configuration  yes    yes     Own
            resume          Configuration  yes    yes     Own
            patch           Configuration  yes    yes     Plan([Patch])
            patch status    Configuration  -      -       Refused
            patch new       Configuration  yes    yes     Own
            patch edit      Configuration  yes    yes     Own
            patch refresh   Configuration  yes    yes     Own
            patch rebase    Configuration  yes    yes     Own
            patch drop      Configuration  yes    yes     Own
            patch export    Configuration  -      -       Refused
            upstream status Configuration  -      -       Refused
            upstream update Configuration  yes    yes     Own
            upstream diff   Configuration  -      -       Refused
            export          Configuration  yes    -       Own
            requirements    Configuration  yes    yes     Plan([Requirements])
            image           Configuration  yes    yes     Plan([Image])
            cluster         Configuration  yes    yes     Plan([Cluster])
            load            Configuration  yes    yes     Plan([Load])
            operator        Configuration  yes    yes     Plan([Operator])
            database        Configuration  yes    yes     Plan([Database])
            deploy          Configuration  yes    yes     Plan([Deploy])
            validate        Configuration  -      -       Refused
            status          Configuration  -      -       Refused
            logs            Configuration  -      -       Refused
            url             Configuration  -      -       Refused
            open            Configuration  -      -       Refused
            forward         Configuration  -      -       Refused
            psql            Configuration  -      -       Refused
            shell           Configuration  -      -       Refused
            manage          Configuration  -      -       Refused
            kubectl         Configuration  -      -       Refused
            ls              AnyFolder      -      -       Refused
            graph           Configuration  -      -       Refused
            explain         Configuration  -      -       Refused
            doctor          Project        -      -       Refused
            trust           Configuration  -      -       Refused
            support-bundle  Project        -      -       Refused
            sbom            Configuration  -      -       Refused
            report          Configuration  -      -       Refused
            config show     Configuration  -      -       Refused
            config schema   Nothing        -      -       Refused
            install         Nothing        -      -       Own
            eject           Nothing        -      -       Own
        "#]]
        .assert_eq(&out);
    }

    #[test]
    fn what_changes_the_instance_can_be_looked_at_first() {
        for line in typed(&Flags::command(), "") {
            let spec = read(&line).spec();
            assert!(!spec.locks || spec.dry_run != DryRun::Refused, "{line}");
        }
    }
}
