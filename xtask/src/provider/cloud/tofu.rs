//! OpenTofu, or Terraform where only that is installed: it makes and removes what the HCL says.
//!
//! It works in a folder of the instance with its state, which only its owner can read. OpenTofu encrypts state and plan with a key that is
//! kept elsewhere; Terraform cannot.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use xshell::{Cmd, Shell, cmd};

use crate::{
    env::Env,
    errors::{Code, Problem},
    graph::TaskId,
    lock,
    provider::{
        cloud::{
            events::{self, Heard, Seen},
            known::{FOLDER, private_folder},
            state::{self, Writer, remove},
            state_key,
        },
        infrastructure,
    },
    record,
    report::Waiting,
    tool,
};

/// A control plane takes up to half an hour on a bad day (Azure/AKS#2980), and AWS retries a deletion for 20 minutes.
const LIMIT: Duration = Duration::from_secs(90 * 60);
/// After Ctrl-C it waits for running requests and writes its state.
const GRACE: Duration = Duration::from_secs(180);
const QUICK: Duration = Duration::from_secs(600);
/// For the lock of the state: a run whose tool was killed goes on until its cluster is there.
const LOCK: &str = "-lock-timeout=30m";
/// The oldest usable release of both, with mocks and encryption.
const LEAST: (u32, u32) = (1, 8);

const OPENTOFU: &str = "OpenTofu";
const TERRAFORM: &str = "Terraform";
/// Switches Terraform's question for a newer version off (developer.hashicorp.com/terraform/cli/commands).
const NO_QUESTION: &str = "CHECKPOINT_DISABLE";

/// The saved plan, in its folder.
const PLAN: &str = "plan";

/// A way to run it in the instance's folder.
pub(super) struct Tofu<'a> {
    env: &'a Env,
    task: TaskId,
    program: PathBuf,
    title: &'static str,
    folder: PathBuf,
    encryption: Option<String>,
    /// Whether it goes on with what Terraform has begun.
    takes_over: bool,
    sh: Shell,
}

/// How many minutes it usually takes, and who is told about each type of resource.
type Works<'a> = (u64, &'a (dyn Fn(&str) + Sync));

/// A change of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// `aws_subnet.public[0]`.
    pub(super) address: String,
    pub(super) kind: String,
    /// `create`, `update`, `replace`, `delete`.
    pub(super) action: String,
}

/// The program on this machine.
pub(super) struct Found {
    path: PathBuf,
    title: &'static str,
    version: String,
}

impl Found {
    /// For `doctor`.
    pub(super) fn words(&self) -> String {
        let note = if self.title == TERRAFORM { "; it cannot encrypt its state, as OpenTofu can" } else { "" };
        format!("{} {} at {}{note}", self.title, self.version, self.path.display())
    }
}

/// The one for this instance's state; an error says how to install it. A state stays with the program that wrote it. One that OpenTofu has
/// encrypted is for OpenTofu alone; OpenTofu goes on with one of Terraform's if Terraform is gone.
pub(super) fn find(env: &Env) -> Result<Found> {
    let writer = state::writer(&env.work(FOLDER));
    let (tofu, terraform) = (("tofu", OPENTOFU), ("terraform", TERRAFORM));
    let usable = match writer {
        None => vec![tofu, terraform],
        Some(Writer::OpenTofu) => vec![tofu],
        Some(Writer::Terraform) => vec![terraform, tofu],
    };
    let Some((path, title)) = usable.into_iter().find_map(|(name, title)| Some((tool::find(name)?, title))) else {
        let what = match writer {
            Some(Writer::OpenTofu) => "OpenTofu has encrypted the state of this instance, and `tofu` is not on this machine's PATH",
            _ => "neither `tofu` nor `terraform` is on this machine's PATH",
        };
        return Err(Problem::requirement(what).hint("install OpenTofu: https://opentofu.org/docs/intro/install").into());
    };
    // Terraform would ask its maker for a newer version first.
    let question = [&format!("{NO_QUESTION}=1"), &path.display().to_string(), "version", "-json"];
    let said: Value =
        tool::ask("env", &question, Duration::from_secs(30)).and_then(|it| serde_json::from_str(&it).ok()).unwrap_or_default();
    let version = said["terraform_version"].as_str().unwrap_or_default().to_owned();
    let mut numbers = version.split(['.', '-']).map(|it| it.parse::<u32>().unwrap_or_default());
    if (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default()) < LEAST {
        let what = format!("{} is {title} {version}; {}.{} or newer is necessary", path.display(), LEAST.0, LEAST.1);
        return Err(Problem::requirement(what).hint("install a newer one: https://opentofu.org/docs/intro/install").into());
    }
    if title == TERRAFORM {
        state_key::refuse_for_terraform()?;
    }
    Ok(Found { path, title, version })
}

impl<'a> Tofu<'a> {
    /// For the instance's state. Writes nothing.
    pub(super) fn open(env: &'a Env, task: TaskId) -> Result<Tofu<'a>> {
        let Found { path: program, title, .. } = find(env)?;
        let folder = env.work(FOLDER);
        let takes_over = title == OPENTOFU && state::writer(&folder) == Some(Writer::Terraform);
        let encryption = if title == OPENTOFU { Some(state_key::encryption(env, takes_over)?) } else { None };
        let sh = env.tools.shell(&folder)?;
        Ok(Tofu { env, task, program, title, folder, encryption, takes_over, sh })
    }

    /// What is said of the state before it is there: whose it is, and whether others can read it.
    pub(super) fn state_words(&self) -> String {
        let place = match self.env.config.cluster.backend.get("type") {
            Some(backend) => format!("in the backend `{backend}`"),
            None => format!("in {}", self.folder.strip_prefix(&self.env.project).unwrap_or(&self.folder).display()),
        };
        let plain = if self.title == TERRAFORM { ", in plain text, since Terraform cannot encrypt it" } else { "" };
        format!("{}'s state is {place}{plain}", self.title)
    }

    /// Whether things may exist that the state does not know, since it was truncated.
    pub(super) fn was_truncated(&self) -> bool {
        state::was_truncated(&self.folder)
    }

    /// Writes the HCL and its variables into the folder, repairs the state, and fetches the provider.
    pub(super) fn prepare(&self, hcl: &str, variables: &Value) -> Result<()> {
        private_folder(&self.folder)?;
        if let Some(note) = state::repair(&self.folder)? {
            self.env.note(self.task, note);
        }
        if self.takes_over {
            self.env.note(self.task, "Terraform has written the state and is gone: OpenTofu goes on with it and encrypts it");
        }
        record::write_file(&self.folder.join("main.tf"), hcl.as_bytes())?;
        record::write_json(&self.folder.join("terraform.tfvars.json"), variables)?;
        let backend = self.folder.join(BACKEND);
        match self.env.config.cluster.backend.get("type") {
            Some(kind) => {
                let settings: BTreeMap<_, _> = self.env.config.cluster.backend.iter().filter(|it| it.0 != "type").collect();
                record::write_json(&backend, &json!({ "terraform": { "backend": { kind: settings } } }))?;
            }
            None => remove(&backend)?,
        }
        let script = self.folder.join("tofu");
        let by_itself = if self.encryption.is_some() { state_key::in_shell(self.env, self.takes_over)? } else { None };
        record::write_file(&script, script_text(&self.program, by_itself.as_deref()).as_bytes())?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700))?;
        self.init()
    }

    /// Fetches the provider, or finds it in the cache.
    pub(super) fn init(&self) -> Result<()> {
        fs::create_dir_all(self.env.cache(PROVIDERS))?;
        self.env.progress(self.task, format!("{}: fetching the provider", self.title));
        // OpenTofu's cache of providers takes one writer at a time.
        let (lock, what) = (self.env.cache(PROVIDERS).join("lock"), "another fetch of providers");
        let _turn = lock::acquire(&lock, what, QUICK, &self.env.interrupt, |it| self.env.waiting(self.task, it))?;
        let tools = self.env.tools.fetching_by_itself();
        let init = || tools.run_watched(self.task, self.command(&["init", "-input=false", "-no-color", LOCK]), QUICK, |_| ());
        let ended = match init() {
            Err(error) if self.has_removed_changed(&format!("{error:#}"))? => init(),
            other => other,
        };
        ended.map_err(|error| {
            let text = format!("{error:#}");
            let hint = if text.contains("-migrate-state") {
                "the state is in the backend of the first run: restore `cluster.backend`"
            } else {
                "the provider comes from the registry of OpenTofu or Terraform, or from a mirror that its CLI configuration names"
            };
            Problem::requirement(text).code(Code::CloudFailed).hint(hint).into()
        })
    }

    /// Removes a provider that has changed in the cache, if the program says so, which would refuse it for ever.
    fn has_removed_changed(&self, said: &str) -> Result<bool> {
        let text = said.split_whitespace().collect::<Vec<_>>().join(" ");
        let between = |begin, end| text.split_once(begin).and_then(|it| it.1.split_once(end));
        let folder =
            between("existing cached package at ", " does not match").or_else(|| between("existing cached provider package at ", ": "));
        let Some(folder) = folder.map(|it| PathBuf::from(it.0)).filter(|it| it.starts_with(self.env.cache(PROVIDERS))) else {
            return Ok(false);
        };
        self.env.note(self.task, format!("{} in the cache is not what its digest says: fetching it again", folder.display()));
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
        Ok(true)
    }

    /// Plans, and saves the plan. Returns its changes.
    pub(super) fn plan(&self) -> Result<Vec<Change>> {
        self.env.progress(self.task, format!("{}: planning", self.title));
        let output = format!("-out={PLAN}");
        self.run("plan", &["plan", "-json", "-input=false", LOCK, &output], None, Heard::default()).map(|it| it.changes)
    }

    /// Whether there is a saved plan.
    pub(super) fn has_plan(&self) -> bool {
        self.folder.join(PLAN).is_file()
    }

    /// The changes of the saved plan.
    pub(super) fn planned(&self) -> Result<Vec<Change>> {
        let shown = self.shown_plan()?;
        let kind = |address: &str| {
            let all = shown["resource_changes"].as_array().into_iter().flatten();
            all.filter(|it| it["address"] == address).find_map(|it| it["type"].as_str()).unwrap_or_default().to_owned()
        };
        let changes = infrastructure::read(&shown).into_iter();
        Ok(changes.map(|it| Change { kind: kind(&it.resource), address: it.resource, action: it.action }).collect())
    }

    /// The saved plan, property by property.
    pub(super) fn shown_plan(&self) -> Result<Value> {
        let text = self.env.tools.read_within(self.task, self.command(&["show", "-json", PLAN]), QUICK)?;
        serde_json::from_str(&text).with_context(|| format!("read the plan of {}", self.title))
    }

    /// Takes an existing resource into the state.
    pub(super) fn import(&self, address: &str, id: &str) -> Result<()> {
        let arguments = ["import", "-input=false", "-no-color", LOCK, address, id];
        self.env.tools.with_grace(GRACE).run(self.task, self.command(&arguments))
    }

    /// Applies the saved plan with these changes. `made` gets each type of resource as soon as all of the type are there.
    pub(super) fn apply(&self, changes: &[Change], minutes: u64, made: &(dyn Fn(&str) + Sync)) -> Result<()> {
        let heard = Heard::expecting(changes);
        self.run("apply", &["apply", "-json", "-input=false", LOCK, PLAN], Some((minutes, made)), heard)?;
        state::is_settled(&self.folder)
    }

    /// Removes everything in the state.
    pub(super) fn destroy(&self, minutes: u64) -> Result<()> {
        let arguments = ["destroy", "-json", "-auto-approve", "-input=false", LOCK];
        self.run("destroy", &arguments, Some((minutes, &|_| ())), Heard::default()).map(drop)
    }

    /// The addresses in the state; empty without a state.
    pub(super) fn resources(&self) -> Result<Vec<String>> {
        if !self.folder.join("main.tf").is_file() {
            return Ok(Vec::new());
        }
        let command = self.command(&["state", "list"]);
        match self.env.tools.read_within(self.task, command, QUICK) {
            Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
            Err(error) if format!("{error:#}").contains("No state file") => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// The values of the outputs.
    pub(super) fn outputs(&self) -> Result<Value> {
        let text = self.env.tools.read_within(self.task, self.command(&["output", "-json"]), QUICK)?;
        let said: Value = serde_json::from_str(&text).with_context(|| format!("read the outputs of {}", self.title))?;
        let values = said.as_object().into_iter().flatten().map(|(name, it)| (name.clone(), it["value"].clone()));
        Ok(Value::Object(values.collect()))
    }

    fn command(&self, arguments: &[&str]) -> Cmd<'_> {
        let sh = &self.sh;
        let mut command = cmd!(sh, "./tofu {arguments...}");
        command = command.env("TF_IN_AUTOMATION", "1").env("TF_INPUT", "0").env("TF_DATA_DIR", self.folder.join(".terraform"));
        command = command.env(NO_QUESTION, "1").env("TF_PLUGIN_CACHE_DIR", self.env.cache(PROVIDERS)).env_remove("TF_WORKSPACE");
        // Flags of the user's would make another plan than the one that is shown, and logs hold requests.
        for (name, _) in
            std::env::vars_os().filter(|(it, _)| it.to_str().is_some_and(|it| it.starts_with("TF_CLI_ARGS") || it.starts_with("TF_LOG")))
        {
            command = command.env_remove(name);
        }
        if let Some(encryption) = &self.encryption {
            command = command.env("TF_ENCRYPTION", encryption);
        }
        command
    }

    /// Runs a command whose lines are JSON, and shows what it does.
    fn run(&self, name: &str, arguments: &[&str], works: Option<Works<'_>>, heard: Heard) -> Result<Heard> {
        let heard = Mutex::new(heard);
        let began = Instant::now();
        let (env, task, title) = (self.env, self.task, self.title);
        let on_line = |line: &str| {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(event) = events::read(line) else { return };
            let seen = heard.take(event);
            let Some((minutes, made)) = works else { return };
            match seen {
                Seen::Made(kind) => made(&kind),
                Seen::Other => {}
                Seen::Nothing => return,
            }
            let what = format!("{title} (usually {minutes} minutes)");
            env.waiting(task, Waiting::new(what, heard.words(), began.elapsed(), LIMIT));
        };
        let tools = self.env.tools.with_grace(GRACE);
        let ended = tools.run_watched(self.task, self.command(arguments), LIMIT, on_line);
        let heard = heard.into_inner().unwrap_or_else(PoisonError::into_inner);
        match ended {
            Ok(()) => Ok(heard),
            Err(error) => {
                // A signal explains the end, whatever the program said about it.
                self.env.interrupt.check().with_context(|| format!("{} {name} was stopped; its state is kept", self.title))?;
                Err(heard.failure(self.title, name, error))
            }
        }
    }
}

/// A script beside the state that runs the program as this tool does, for the tool itself and for its users: files that only their owner can
/// read, and the key of the state.
fn script_text(program: &Path, encryption: Option<&str>) -> String {
    let program = quoted(&program.display().to_string());
    let key =
        encryption.map(|it| format!("[ -n \"$TF_ENCRYPTION\" ] || TF_ENCRYPTION=\"{it}\"\nexport TF_ENCRYPTION\n")).unwrap_or_default();
    format!(
        "#!/bin/sh\n# Runs OpenTofu or Terraform on this instance's state, for example: ./tofu state list\numask 077\ncd \"$(dirname \"$0\")\" || exit\n{key}exec {program} \"$@\"\n"
    )
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The place of the state, if it is not this folder.
const BACKEND: &str = "backend.tf.json";

/// The folder of fetched providers in the cache.
const PROVIDERS: &str = "tofu-providers";
