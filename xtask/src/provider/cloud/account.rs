//! The account that pays, and its registry. Both are asked for once in a run.

use anyhow::{Context as _, Result};

use crate::{
    env::Env,
    errors::{Code, Problem},
    images::{self, Role},
    provider::{
        cloud::{
            known::{Account, FOLDER, Known},
            vendor::Login,
        },
        registry,
    },
    record,
};

/// The paths of all images that may be pushed.
pub(super) fn repositories(env: &Env) -> Result<Vec<String>> {
    let mut out = Vec::new();
    for (_, service) in env.config.all_services() {
        match service.kind {
            Some(kind) => out.push(registry::split(&images::packages::reference(env, Role::from(kind))?).0.to_owned()),
            None if service.uses.is_none() => out.push(service.image.clone()),
            None => {}
        }
    }
    for role in [Role::Operator, Role::Postgresql] {
        out.push(registry::split(&images::packages::reference(env, role)?).0.to_owned());
    }
    out.sort();
    out.dedup();
    Ok(out)
}

/// The account and region: those in which the cluster exists, else those of the login. Another account than the configured one, or than
/// that of the cluster, is refused. Asked once in a run.
pub(super) fn account(env: &Env) -> Result<Account> {
    let asked = env.readings.once("the cloud's account", || super::vendor(env).account(env))?;
    if let Some(set) = env.config.cluster.account.as_ref().filter(|it| **it != asked.account) {
        let what = format!("`{}` is logged in to {}, and `cluster.account` is {set}", super::vendor(env).program().name, asked.account);
        return Err(Problem::requirement(what).code(Code::CloudLogin).hint("log in to the other one, or correct the key").into());
    }
    let Some(known) = Known::read(env) else { return Ok(asked) };
    if known.account.account != asked.account {
        let (here, there) = (&asked.account, &known.account.account);
        let what =
            format!("instance {} is in account {there}, and `{}` is logged in to {here}", env.instance, super::vendor(env).program().name);
        return Err(Problem::requirement(what)
            .code(Code::CloudLogin)
            .hint(format!("log in to {there}: {}", super::vendor(env).program().login))
            .into());
    }
    Ok(Account { region: known.account.region, ..asked })
}

/// The cloud's own registry, whose credentials the engine gets.
pub(in crate::provider) fn registry(env: &Env) -> Result<String> {
    let known = Known::read(env).with_context(|| format!("instance {} has no registry yet", env.instance))?;
    let login: Login = env.readings.once("the cloud's registry", || super::vendor(env).login(env, &known))?;
    env.withhold([login.password.clone()].into_iter());
    env.engine()?.give_login(&format!("{}/image", login.place), &login.user, &login.password);
    if kept(env).as_ref() != Some(&login.place) && env.may_change(String::new).is_ok() {
        record::write_json(&env.work(FOLDER).join(REGISTRY), &login.place)?;
    }
    Ok(login.place)
}

/// The registry's name, without asking for credentials if it is known.
pub(in crate::provider) fn registry_name(env: &Env) -> Result<String> {
    match kept(env) {
        Some(place) => Ok(place),
        None => registry(env),
    }
}

/// The registry's name, in a file of its own: several tasks ask at once, while another writes what is known of the cluster.
const REGISTRY: &str = "registry.json";

fn kept(env: &Env) -> Option<String> {
    record::read_json(&env.work(FOLDER).join(REGISTRY))
}
