//! Returns to an earlier revision, with the same waits as any other change.

use anyhow::Result;

use crate::{
    cluster::Cluster,
    env::Env,
    errors::Problem,
    graph::TaskId,
    provider::provider,
    tasks::deploy::{
        STEADY, address,
        change::{self, Change},
        history::{self, Outcome, ROLLBACK, Revision},
        rollout,
    },
};

const ID: TaskId = TaskId::Rollback;

/// A revision to restore.
pub struct Target {
    pub revision: Revision,
    /// Its objects are those that serve, and nothing was begun since: a rollback that was killed may have done all its work.
    pub serves: bool,
}

/// Applies the objects of a revision: the given one, or the previous one. For one that serves already, this is no new revision.
pub fn rollback(env: &Env, number: Option<u32>) -> Result<Target> {
    let cluster = Cluster::open(env, &env.kubeconfig())?;
    let target = rollback_target(env, number)?;
    let desired = &target.revision;
    let provider = provider(env);
    for image in desired.images() {
        if provider.published(env, &image)?.is_some() {
            continue;
        }
        if env.engine()?.image(&image)?.is_none() {
            let what = format!("the image of revision {}, {image}, is neither in the cluster nor in the engine any more", desired.number);
            return Err(Problem::new(what).hint("restore its source and run `cargo xtask update`").into());
        }
        env.progress(ID, format!("loading {image} into the cluster"));
        let published = provider.publish(env, &image)?;
        env.detail(ID, format!("pods name it {published}"));
    }
    let address = address::wait(env, &cluster, ID)?;
    let apply = || change::apply(env, &cluster, ID, desired, |objects| rollout::roll_out(env, &cluster, ID, objects, &address));
    if target.serves {
        apply()?;
        return Ok(target);
    }
    let change = Change { images: desired.images(), why: format!("{ROLLBACK}{}", desired.number), objects: desired.objects.clone() };
    change::carry_out(env, &cluster, ID, change, || {
        apply()?;
        Ok(None)
    })?;
    // What led here before may be gone now, such as a Gateway that had replaced an Ingress.
    if env.config.is_behind_others() {
        rollout::answers(env, &cluster, ID, &[], &address, STEADY)?;
    }
    Ok(target)
}

/// The serving revision, if `rollback` made it and nothing was tried since: it is right although the source is newer.
pub fn rolled_back(cluster: &Cluster, namespace: &str) -> Result<Option<Revision>> {
    let revisions = history::read(cluster, namespace)?;
    Ok(revisions.last().filter(|it| it.outcome == Outcome::Deployed && it.why.starts_with(ROLLBACK)).cloned())
}

/// The revision that `rollback` would restore. Changes nothing.
pub fn rollback_target(env: &Env, number: Option<u32>) -> Result<Target> {
    let cluster = Cluster::open(env, &env.kubeconfig())?;
    let revisions = history::read(&cluster, &env.config.namespace)?;
    let (revision, serves) = choose(&revisions, number)?;
    Ok(Target { revision: revision.clone(), serves })
}

/// The revision, and whether it serves.
fn choose(revisions: &[Revision], number: Option<u32>) -> Result<(&Revision, bool)> {
    let hint = "`cargo xtask history` lists them";
    let Some(now) = history::serving(revisions) else {
        return Err(Problem::new("no revision was deployed yet").hint("the first: cargo xtask create").into());
    };
    let Some(number) = number else {
        let before =
            revisions.iter().rev().find(|it| it.number < now.number && it.outcome == Outcome::Deployed && it.objects != now.objects);
        let before = before.map(|it| (it, false));
        return before.ok_or_else(|| Problem::new(format!("there is no revision before {}", now.number)).hint(hint).into());
    };
    // A rollback to the oldest revision may push it out of the history.
    let restored = Some(now).filter(|it| it.why == format!("{ROLLBACK}{number}"));
    let Some(found) = revisions.iter().find(|it| it.number == number).or(restored) else {
        return Err(Problem::new(format!("there is no revision {number}")).hint(hint).into());
    };
    match &found.outcome {
        Outcome::Deployed => {
            let is_at_rest = revisions.last().is_none_or(|it| it.outcome != Outcome::Started);
            Ok((found, is_at_rest && found.objects == now.objects))
        }
        Outcome::Failed(why) => Err(Problem::new(format!("revision {number} never served: {why}")).hint(hint).into()),
        Outcome::Started => Err(Problem::new(format!("revision {number} was interrupted and never served")).hint(hint).into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn revision(number: u32, outcome: Outcome, content: u32) -> Revision {
        let image = format!("polls:{content}");
        Revision {
            number,
            image,
            further_images: Vec::new(),
            when: String::new(),
            why: String::new(),
            outcome,
            objects: vec![json!({ "content": content })],
        }
    }

    fn check(revisions: &[Revision], number: Option<u32>, expected: Result<(u32, bool), &str>) {
        let found = choose(revisions, number).map(|(it, serves)| (it.number, serves)).map_err(|it| it.to_string());
        assert_eq!(found.as_ref().map_err(String::as_str), expected.as_ref().map_err(|it| *it));
    }

    #[test]
    fn without_a_number_it_is_the_last_other_one_that_served() {
        let failed = || Outcome::Failed("crash".to_owned());
        let all = [
            revision(1, Outcome::Deployed, 1),
            revision(2, Outcome::Deployed, 2),
            revision(3, failed(), 3),
            revision(4, Outcome::Deployed, 4),
        ];
        check(&all, None, Ok((2, false)));
        check(&all[..1], None, Err("there is no revision before 1"));
        check(&[], None, Err("no revision was deployed yet"));
        // A rollback of a rollback goes forward again.
        let back = [revision(1, Outcome::Deployed, 1), revision(2, Outcome::Deployed, 2), revision(3, Outcome::Deployed, 1)];
        check(&back, None, Ok((2, false)));
    }

    #[test]
    fn only_what_served_can_be_asked_for() {
        let all = [
            revision(1, Outcome::Deployed, 1),
            revision(2, Outcome::Failed("crash".to_owned()), 2),
            revision(3, Outcome::Started, 3),
            revision(4, Outcome::Deployed, 4),
        ];
        check(&all, Some(1), Ok((1, false)));
        check(&all, Some(2), Err("revision 2 never served: crash"));
        check(&all, Some(3), Err("revision 3 was interrupted and never served"));
        check(&all, Some(4), Ok((4, true)));
        check(&all, Some(9), Err("there is no revision 9"));
    }

    #[test]
    fn a_rollback_that_has_done_its_work_can_be_asked_for_again() {
        let mut all = vec![revision(2, Outcome::Deployed, 2), revision(3, Outcome::Deployed, 3), revision(4, Outcome::Deployed, 2)];
        all[2].why = format!("{ROLLBACK}2");
        check(&all, Some(2), Ok((2, true)));
        // The history keeps the newest alone.
        check(&all[1..], Some(2), Ok((4, true)));
        check(&all[1..], Some(1), Err("there is no revision 1"));
        // What was begun since may have changed something.
        all.push(revision(5, Outcome::Started, 5));
        check(&all, Some(2), Ok((2, false)));
        all[3].outcome = Outcome::Failed("taken back".to_owned());
        check(&all, Some(2), Ok((2, true)));
    }
}
