//! What is said, asked and refused before anything is created or changed in an account.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::{
    env::Env,
    errors::{Code, Problem},
    graph::TaskId,
    provider::{
        Requirement,
        cloud::{
            known::{Account, Known},
            prices::Price,
            tofu::{Change, Tofu},
            vendor::{Thing, Vendor},
        },
    },
    setup,
};

const TASK: TaskId = TaskId::Cluster;

/// Shows what is made, for how much, and asks.
pub(super) fn consent(env: &Env, vendor: &dyn Vendor, known: &Known, tofu: &Tofu<'_>, changes: &[Change]) -> Result<()> {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for change in changes {
        *kinds.entry(change.kind.as_str()).or_default() += 1;
    }
    let kinds: Vec<String> =
        kinds.iter().map(|(kind, count)| if *count == 1 { (*kind).to_owned() } else { format!("{count} × {kind}") }).collect();
    let Account { who, account, region } = &known.account;
    let text = format!(
        "creates cluster {} on {} in account {account}, {region}, as {who}: {} resources ({}).\n\
         It costs {} until you delete it; it is marked to expire on {}, and nothing deletes it by itself.\n\
         {}: without it only the inventory by tag finds what exists",
        known.name,
        vendor.title(),
        changes.len(),
        kinds.join(", "),
        Price::of(env.config.cluster.kind)?.words(),
        known.expires_on(),
        tofu.state_words(),
    );
    setup::consent(env, TASK, &text)
}

/// A plan that would take the cluster away is refused: its database would go with it.
pub(super) fn refuse_replacement(changes: &[Change], cluster: &str) -> Result<()> {
    let lost: Vec<&str> = changes
        .iter()
        .filter(|it| it.kind == cluster && matches!(it.action.as_str(), "delete" | "replace"))
        .map(|it| it.address.as_str())
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    Err(Problem::new(format!("the change would replace {}, and the database with it; nothing was changed", lost.join(", ")))
        .code(Code::CloudFailed)
        .hint("take the change back, or save the database (db snapshot), delete the instance and create it again")
        .into())
}

/// A plan for a new instance that changes what exists: the backend's state is that of another instance.
pub(super) fn refuse_anothers_state(changes: &[Change], name: &str) -> Result<()> {
    let others: Vec<&str> = changes.iter().filter(|it| it.action != "create").map(|it| it.address.as_str()).collect();
    if others.is_empty() {
        return Ok(());
    }
    Err(Problem::new(format!("the state that `cluster.backend` names is of another instance than {name}: it has {}", others.join(", ")))
        .code(Code::NameTaken)
        .hint("give each instance a place of its own in the backend (`key`, `prefix` or `path`); nothing was changed")
        .into())
}

/// Missed requirements of the account.
pub(super) fn refuse_unfit(requirements: Vec<Requirement>) -> Result<()> {
    let missed: Vec<String> = requirements.into_iter().filter_map(|it| it.missed_words()).collect();
    if missed.is_empty() {
        return Ok(());
    }
    Err(Problem::requirement(format!("the account does not meet the requirements of a run; nothing was created\n{}", missed.join("\n")))
        .code(Code::Unfit)
        .hint("see all with: cargo xtask doctor")
        .into())
}

/// Things with the instance's name that no state knows: a new cluster would collide with them.
pub(super) fn refuse_leftovers(found: &[Thing], name: &str) -> Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = found.iter().map(|it| format!("  {it}")).collect();
    Err(Problem::new(format!(
        "the account has things of instance {name} that no state in this folder knows; nothing was created\n{}",
        lines.join("\n")
    ))
    .code(Code::NameTaken)
    .hint("delete from the folder that has the state, delete them one by one, or set another `name` in Pocdeploy.toml")
    .into())
}
