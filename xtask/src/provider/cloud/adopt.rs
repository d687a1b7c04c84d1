//! Takes into the state what exists and the state does not know: a run that was killed, or an answer that was lost, leaves such resources,
//! and a second creation of the same name is refused.

use anyhow::Result;

use crate::{
    env::Env,
    errors::{Code, Problem},
    graph::TaskId,
    provider::cloud::{known::Known, tofu::Tofu, vendor::Vendor},
};

/// An address in the HCL, and the ID with which the provider imports the resource.
pub(super) type Import = (String, String);

/// Imports what is missing in the state; returns whether there was something. The known cluster proves that it is this instance's. A plan
/// before this has waited for a run that still writes the state.
pub(super) fn adopt(env: &Env, task: TaskId, tofu: &Tofu<'_>, vendor: &dyn Vendor, known: &Known) -> Result<bool> {
    if let Some(other) = vendor.clusters(env, &known.account)?.into_iter().find(|it| it.name == known.name && it.created != known.created) {
        let what = format!(
            "the account has a cluster {} that another folder made at {} (Unix time); nothing was changed",
            other.name, other.created
        );
        return Err(Problem::new(what).code(Code::NameTaken).hint("set another `name` in Pocdeploy.toml").into());
    }
    let mut there = tofu.resources()?;
    let before = there.len();
    for (address, id) in vendor.existing(env, task, known)? {
        if there.contains(&address) {
            continue;
        }
        env.note(task, format!("{address} exists and the state did not know it: taking it in"));
        tofu.import(&address, &id)?;
        there.push(address);
    }
    Ok(there.len() > before)
}
