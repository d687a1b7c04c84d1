//! EKS, AKS and GKE: a cluster of this instance's own in an account, made by OpenTofu from the HCL in `deploy/`.
//!
//! The whole cluster belongs to the instance. Its state is in the work folder; an inventory by tag and name finds what the state does not
//! know.

mod account;
mod adopt;
mod aws;
mod azure;
mod consent;
mod empty;
mod events;
mod google;
mod known;
mod kubeconfig;
mod list;
mod prices;
mod state;
mod state_key;
mod tofu;
mod vendor;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{
    cluster::{Verdict, Wait, certificate::Certificate},
    config::{Api, ClusterType, Secret},
    deploy::{image::PublishedImage, objects::INSTANCE},
    env::Env,
    errors::Problem,
    exposure::{Address, Exposure, ServiceType},
    fingerprint::Fingerprint,
    graph::{Selection, TaskId},
    probe::Probe,
    provider::{
        Features, Infrastructure, Instance, Provider, Removal, Requirement,
        cloud::{
            known::{Account, Known},
            prices::Price,
            state::STATE,
            tofu::Tofu,
            vendor::Vendor,
        },
        cluster, infrastructure, ingress_address, registry,
    },
};

pub(super) use crate::provider::cloud::{
    account::{registry, registry_name},
    list::expired,
};

/// A cluster in a cloud.
pub(super) struct Cloud(pub(super) ClusterType);

const TASK: TaskId = TaskId::Cluster;
/// A new API server's name may take minutes to be known everywhere.
const READY_LIMIT: Duration = Duration::from_secs(600);

fn vendor_of(kind: ClusterType) -> &'static dyn Vendor {
    match kind {
        ClusterType::Aks => &azure::Azure,
        ClusterType::Gke => &google::Google,
        // `Cloud` is made for the three clouds only.
        _ => &aws::Aws,
    }
}

fn vendor(env: &Env) -> &'static dyn Vendor {
    vendor_of(env.config.cluster.kind)
}

impl Cloud {
    fn vendor(&self) -> &'static dyn Vendor {
        vendor_of(self.0)
    }

    fn hcl(&self, env: &Env) -> Result<String> {
        let file = env.files.file(format!("deploy/{}/main.tf", self.0))?;
        std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))
    }

    /// The HCL's variables.
    fn variables(&self, env: &Env, known: &Known) -> Result<Value> {
        let mut out = self.vendor().variables(env, known)?;
        out["name"] = json!(known.name);
        out["allowed_cidrs"] = json!(env.config.cluster.allowed_cidrs);
        Ok(out)
    }

    /// With a state in a backend, another machine may have made the cluster: what is known of it comes from its tags.
    fn recover(&self, env: &Env, account: &Account) -> Result<()> {
        if env.config.cluster.backend.is_empty() || Known::read(env).is_some() {
            return Ok(());
        }
        let found = self.vendor().clusters(env, account)?.into_iter().find(|it| it.name == env.instance);
        let Some(known) = found else { return Ok(()) };
        let tofu = Tofu::open(env, TASK)?;
        tofu.prepare(&self.hcl(env)?, &self.variables(env, &known)?)?;
        if tofu.resources()?.is_empty() {
            return Ok(());
        }
        env.note(TASK, format!("cluster {} is in the state of the backend: going on with it", known.name));
        let outputs = tofu.outputs()?;
        let finished = outputs["endpoint"].is_string();
        if finished {
            kubeconfig::write(env, self.vendor(), &known, &outputs)?;
        }
        // Its inputs are those of another machine: the next run makes a plan.
        Known { finished, inputs: None, ..known }.write(env)
    }

    /// Whether the tool's Gateway is served by the cloud's own controller.
    fn has_own_gateways(&self, env: &Env) -> bool {
        let it = &env.config.ingress;
        env.config.is_behind_others() && it.api == Api::Gateway && it.gateway.is_none() && it.class.is_none()
    }
}

impl Provider for Cloud {
    fn check(&self, env: &Env) -> Result<()> {
        let (name, most) = (&env.instance, self.vendor().longest_name());
        if name.len() > most {
            let what = format!("name: `{name}` has {} characters; on {} a name has at most {most}", name.len(), self.vendor().title());
            return Err(Problem::config(what).hint("set a shorter `name` in Pocdeploy.toml").into());
        }
        if let Some(known) = Known::read(env).filter(|it| it.name != *name) {
            let what = format!("name: this folder has the state of instance `{}`, and is asked for `{name}`", known.name);
            return Err(Problem::config(what).hint(format!("set name = \"{}\" in Pocdeploy.toml", known.name)).into());
        }
        if !env.config.cluster.backend.is_empty() && env.config.name.is_none() {
            let what =
                "name: must be set beside `cluster.backend`: the name that follows from the folder's path is another one on each machine";
            return Err(Problem::config(what).hint(format!("set name = \"{name}\" in Pocdeploy.toml")).into());
        }
        if let Some(known) = Known::read(env).filter(|it| !it.is_of(self.0)) {
            let what = format!("instance {name} is a cluster of type `{}`, not `{}`", known.kind, self.0);
            return Err(Problem::config(what).hint(format!("delete it first: cargo xtask delete --type {}", known.kind)).into());
        }
        let local = env.work(known::FOLDER).join(STATE);
        if !env.config.cluster.backend.is_empty() && local.is_file() {
            let what = format!("cluster.backend: the state of this cluster is in {}, and cannot move", local.display());
            let hint = "take `cluster.backend` back for this cluster, or delete the cluster without it and create it again";
            return Err(Problem::config(what).hint(hint).into());
        }
        tofu::find(env)?;
        account::account(env).map(drop)
    }

    fn requirements(&self, env: &Env) -> Vec<Requirement> {
        let mut out = vec![match tofu::find(env) {
            Ok(found) => Requirement::met("OpenTofu", found.words()),
            Err(error) => Requirement::of("OpenTofu", &error),
        }];
        match account::account(env) {
            Ok(it) => {
                let found = format!("{} in {}, {}", it.who, it.account, it.region);
                out.push(Requirement::met("cloud login", found));
                out.extend(self.vendor().requirements(env, &it));
            }
            Err(error) => out.push(Requirement::of("cloud login", &error)),
        }
        out
    }

    fn inputs(&self, env: &Env) -> Result<Fingerprint> {
        let account = account::account(env)?;
        let mut out = Fingerprint::new();
        out.add("account", &account.account);
        out.add("region", &account.region);
        out.add("main.tf", self.hcl(env)?);
        out.add("allowed_cidrs", env.config.cluster.allowed_cidrs.join(" "));
        out.add("repositories", account::repositories(env)?.join(" "));
        if self.has_own_gateways(env) {
            out.add("gateway", "on");
        }
        Ok(out)
    }

    fn probe(&self, env: &Env, want: &Fingerprint) -> Result<Probe> {
        let Some(known) = Known::read(env) else { return Ok(Probe::Stale(format!("there is no cluster {}", env.instance))) };
        if !known.finished || !env.kubeconfig().is_file() {
            return Ok(Probe::Stale(format!("the creation of cluster {} has begun and is not finished", known.name)));
        }
        if let Err(why) = cluster(env)?.is_ready() {
            env.interrupt.check()?;
            return Ok(Probe::Stale(format!("cluster {} does not answer: {why}", known.name)));
        }
        if *want != Fingerprint::new() && known.inputs.as_ref() != Some(want) {
            let change = known.inputs.as_ref().and_then(|it| want.difference(it));
            return Ok(Probe::Stale(change.unwrap_or_else(|| "it is not known with which inputs it was made".to_owned())));
        }
        Ok(Probe::Fresh(format!("cluster {} on {} in {} answers", known.name, self.vendor().title(), known.account.region)))
    }

    fn ensure(&self, env: &Env, want: &Fingerprint, _early: &(dyn Fn() + Sync)) -> Result<()> {
        let account = account::account(env)?;
        let vendor = self.vendor();
        if Known::read(env).is_none_or(|it| !it.finished) {
            consent::refuse_unfit(vendor.requirements(env, &account))?;
        }
        let tofu = Tofu::open(env, TASK)?;
        self.recover(env, &account)?;
        let is_new = Known::read(env).is_none();
        let known = match Known::read(env) {
            Some(known) => known,
            None => Known::begin(env, account)?,
        };
        // A saved plan was planned again just now, and is the same.
        let changes = match (&env.options.selection, tofu.has_plan()) {
            (Selection::Planned(_), true) => tofu.planned()?,
            _ => {
                tofu.prepare(&self.hcl(env)?, &self.variables(env, &known)?)?;
                let planned = tofu.plan()?;
                let adopts = !is_new && (!known.finished || tofu.was_truncated());
                if adopts && adopt::adopt(env, TASK, &tofu, vendor, &known)? { tofu.plan()? } else { planned }
            }
        };
        if is_new {
            consent::refuse_anothers_state(&changes, &known.name)?;
            consent::refuse_leftovers(&vendor.inventory(env, TASK, &known.account, &known.name)?, &known.name)?;
        }
        if known.finished {
            consent::refuse_replacement(&changes, vendor.cluster_resource())?;
        }
        // Also if a cluster that existed is to be made again.
        if is_new || changes.iter().any(|it| it.kind == vendor.cluster_resource() && it.action == "create") {
            consent::consent(env, vendor, &known, &tofu, &changes)?;
        }
        // From here on something may exist.
        known.write(env)?;
        let registry = vendor.registry_resources();
        if !changes.iter().any(|it| registry.contains(&it.kind.as_str())) {
            env.task_progress.usable(TASK);
        }
        tofu.apply(&changes, vendor.minutes().0, &|kind| {
            if registry.contains(&kind) {
                env.task_progress.usable(TASK);
            }
        })?;
        kubeconfig::write(env, vendor, &known, &tofu.outputs()?)?;
        let cluster = cluster(env)?;
        let api = Wait::new(env, "the API server", READY_LIMIT);
        cluster.wait_for(env, TASK, &api, || Ok(cluster.is_ready().map_or_else(Verdict::NotYet, |()| Verdict::Yes)))?;
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": env.config.namespace } });
        // A role that was just assigned is valid some minutes later.
        let allowed = Wait::new(env, "the permission to create a namespace", READY_LIMIT);
        cluster.wait_for(env, TASK, &allowed, || cluster.preview(&namespace).map(|_| Verdict::Yes))?;
        vendor::prepare(&cluster, &vendor.objects(&known))?;
        if self.has_own_gateways(env) {
            vendor.serve_gateways(env, &cluster, &known)?;
        }
        Known { finished: true, inputs: Some(want.clone()), ..known }.write(env)
    }

    fn preview(&self, env: &Env) -> Result<Vec<Infrastructure>> {
        let account = account::account(env)?;
        let known = match Known::read(env) {
            Some(known) => known,
            None => Known::begin(env, account)?,
        };
        let tofu = Tofu::open(env, TASK)?;
        tofu.prepare(&self.hcl(env)?, &self.variables(env, &known)?)?;
        tofu.plan()?;
        Ok(infrastructure::read(&tofu.shown_plan()?))
    }

    fn connect(&self, env: &Env) -> Result<Option<String>> {
        let Some(known) = Known::read(env) else { return Ok(Some(format!("no cluster {} was created from this folder", env.instance))) };
        if !env.kubeconfig().is_file() {
            return Ok(Some(format!("the creation of cluster {} is not finished", known.name)));
        }
        match cluster(env)?.is_ready() {
            Ok(()) => Ok(None),
            Err(why) => {
                env.interrupt.check()?;
                Ok(Some(format!("cluster {} does not answer: {why}", known.name)))
            }
        }
    }

    fn published(&self, env: &Env, local: &str) -> Result<Option<PublishedImage>> {
        if Known::read(env).is_none() {
            return Ok(None);
        }
        registry::published(env, local)
    }

    fn publish(&self, env: &Env, local: &str) -> Result<PublishedImage> {
        registry::publish(env, local)
    }

    fn name_for_pods(&self, env: &Env, local: &str) -> Result<PublishedImage> {
        registry::name_for_pods(env, local)
    }

    fn exposure(&self, env: &Env) -> Exposure {
        if env.config.is_behind_others() {
            return Exposure { front: self.vendor().front(Known::read(env).as_ref()), ..Exposure::of(ServiceType::ClusterIp) };
        }
        Exposure { balancer: self.vendor().balancer(Known::read(env).as_ref()), ..Exposure::of(ServiceType::LoadBalancer) }
    }

    fn address(&self, env: &Env) -> Result<Option<Address>> {
        if env.config.is_behind_others() {
            return Ok(Some(ingress_address(env)?));
        }
        let services = cluster(env)?.list("v1", "Service", &env.config.namespace, &format!("{INSTANCE}={}", env.instance))?;
        Ok(services.iter().find(|it| it["spec"]["type"] == "LoadBalancer").and_then(Address::of_load_balancer))
    }

    fn features(&self, _env: &Env) -> Features {
        Features::default()
    }

    fn pull_credentials(&self, env: &Env) -> Result<Option<Secret>> {
        // Nodes pull from the cloud's own registry with their own identity.
        match env.config.cluster.registry {
            Some(_) => registry::pull_credentials(env),
            None => Ok(None),
        }
    }

    fn instances(&self, env: &Env) -> Result<Vec<Instance>> {
        let account = account::account(env)?;
        let price = Price::of(self.0)?;
        // The cloud knows clusters whose state is elsewhere; this folder knows those whose creation has failed.
        let mut all = self.vendor().clusters(env, &account)?;
        let here = known::all(env).into_iter().map(|it| it.0).filter(|it| it.is_of(self.0));
        for known in here {
            match all.iter_mut().find(|it| it.name == known.name) {
                Some(found) => *found = known,
                None => all.push(known),
            }
        }
        Ok(all.iter().map(|it| list::instance(it, &price)).collect())
    }

    fn certificates(&self, _env: &Env) -> Result<Vec<Certificate>> {
        Ok(Vec::new())
    }

    fn removal(&self, env: &Env) -> Removal {
        let place = account::account(env).map(|it| format!(" in account {}, {}", it.account, it.region)).unwrap_or_default();
        Removal {
            takes: format!(
                "removes instance {}{place}: its cluster on {} with the database and the images in its registry",
                env.instance,
                self.vendor().title()
            ),
            audited: format!("the cloud has nothing with this instance's tag or name{place}, and no file of it is left"),
        }
    }

    fn destroy(&self, env: &Env, task: TaskId) -> Result<()> {
        let account = account::account(env)?;
        self.recover(env, &account)?;
        let Some(known) = Known::read(env) else { return Ok(()) };
        let tofu = Tofu::open(env, task)?;
        tofu.prepare(&self.hcl(env)?, &self.variables(env, &known)?)?;
        let mut resources = tofu.resources()?;
        if !known.finished || resources.is_empty() || tofu.was_truncated() {
            tofu.plan()?;
            adopt::adopt(env, task, &tofu, self.vendor(), &known)?;
            resources = tofu.resources()?;
        }
        let has_cluster = resources.iter().any(|it| it.starts_with(self.vendor().cluster_resource()));
        if has_cluster && env.kubeconfig().is_file() {
            empty::before_destruction(env, task)?;
        }
        if !resources.is_empty() {
            tofu.destroy(self.vendor().minutes().1)?;
        }
        empty::until_gone(env, task, || self.vendor().inventory(env, task, &account, &known.name))
    }

    fn kept_outside(&self, env: &Env) -> Result<Vec<PathBuf>> {
        Ok(vec![state_key::file(env)?])
    }

    fn leftovers(&self, env: &Env) -> Result<Vec<String>> {
        let account = account::account(env)?;
        let found = self.vendor().inventory(env, TASK, &account, &env.instance)?;
        Ok(found.iter().map(ToString::to_string).collect())
    }
}
