//! Images for a cluster that has no engine here: pushed to a registry, referred to by digest.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::{
    config::Secret,
    deploy::image::PublishedImage,
    engine::credentials,
    engines,
    env::{Env, path_key},
    errors::{Code, Problem},
    graph::TaskId,
    images,
    provider::cloud,
    record,
};

const TASK: TaskId = TaskId::Load;
/// The limit of one request to the registry.
const ASK_LIMIT: Duration = Duration::from_secs(20);
/// The references of the images that were published last.
const PUBLISHED: &str = "record/published";

/// The registry to push to: the configured one, or the cloud's own. Its credentials are given to the engine, if there is one.
pub(super) fn place(env: &Env) -> Result<String> {
    match &env.config.cluster.registry {
        Some(set) => Ok(set.trim_end_matches('/').to_owned()),
        None => cloud::registry(env),
    }
}

/// The name of the registry for nodes.
fn pull_place(env: &Env) -> Result<String> {
    match (&env.config.cluster.pull_registry, &env.config.cluster.registry) {
        (Some(set), _) | (None, Some(set)) => Ok(set.trim_end_matches('/').to_owned()),
        (None, None) => cloud::registry_name(env),
    }
}

/// An image's path and tag in the registry: `localhost/pocdeploy/operator:1.30.0-ab` becomes `pocdeploy/operator` and `1.30.0-ab`.
pub(super) fn split(local: &str) -> (&str, &str) {
    let (name, tag) = match local.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (local, "latest"),
    };
    let path = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => rest,
        _ => name,
    };
    (path, tag)
}

/// The reference of a published image, in one file for each image, since two tasks publish in parallel.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Published {
    local: String,
    name: String,
}

fn file(env: &Env, local: &str) -> PathBuf {
    env.work(PUBLISHED).join(format!("{}.json", path_key(Path::new(local))))
}

fn remembered(env: &Env, local: &str) -> Option<PublishedImage> {
    let here = format!("{}/", pull_place(env).ok()?);
    // If another registry was configured since, the stored reference is not valid.
    let is_it = |it: &Published| it.local == local && it.name.starts_with(&here);
    record::read_json(&file(env, local)).filter(is_it).map(|it| PublishedImage::new(it.name))
}

fn remember(env: &Env, local: &str, published: &PublishedImage) -> Result<()> {
    if remembered(env, local).as_ref() == Some(published) {
        return Ok(());
    }
    record::write_json(&file(env, local), &Published { local: local.to_owned(), name: published.to_string() })
}

/// The references of all images that this instance has in the registry.
pub(super) fn all_remembered(env: &Env) -> Vec<String> {
    let files = std::fs::read_dir(env.work(PUBLISHED)).into_iter().flatten().flatten();
    let mut out: Vec<String> = files.filter_map(|it| record::read_json::<Published>(&it.path())).map(|it| it.name).collect();
    out.sort();
    out
}

/// The reference of the last publication, with its digest; else without a digest.
pub(super) fn name_for_pods(env: &Env, local: &str) -> Result<PublishedImage> {
    let (path, tag) = split(local);
    match remembered(env, local) {
        Some(found) => Ok(found),
        None => Ok(PublishedImage::new(format!("{}/{path}:{tag}", pull_place(env)?))),
    }
}

/// Asks the registry for the image's digest, through the engine. If no engine answers, for example on a machine that only reads or rolls
/// back, uses the reference of the last publication.
pub(super) fn published(env: &Env, local: &str) -> Result<Option<PublishedImage>> {
    if env.engine().is_err() {
        match engines::find(env) {
            Ok(Some(engine)) => env.set_engine(engine),
            Ok(None) | Err(_) => return Ok(remembered(env, local)),
        }
    }
    let (path, tag) = split(local);
    let Some(digest) = env.engine()?.digest_in_registry(&format!("{}/{path}:{tag}", place(env)?), ASK_LIMIT)? else { return Ok(None) };
    let found = PublishedImage::new(format!("{}/{path}:{tag}@{digest}", pull_place(env)?));
    if env.may_change(String::new).is_ok() {
        remember(env, local, &found)?;
    }
    Ok(Some(found))
}

/// Pushes the layers that the registry lacks.
pub(super) fn publish(env: &Env, local: &str) -> Result<PublishedImage> {
    let engine = env.engine()?;
    let (path, tag) = split(local);
    let place = place(env)?;
    let repository = format!("{place}/{path}");
    let name = format!("{repository}:{tag}");
    // An image whose name is already that of the registry keeps the name.
    let is_further_name = name != local;
    if is_further_name {
        engine.tag(local, &repository, tag)?;
    }
    let pushed = images::registry::push(env, TASK, &repository, tag);
    // The additional name is not needed any more, whether the push succeeded or will be repeated.
    if is_further_name {
        engine.remove_image(&name)?;
    }
    pushed.map_err(|error| error.context(format!("push to the registry {place}")))?;
    match published(env, local)? {
        Some(found) => Ok(found),
        None => Err(Problem::new(format!("{name} was pushed, and the registry does not have it")).code(Code::NoProduct).into()),
    }
}

/// The content of a Secret of type `kubernetes.io/dockerconfigjson` for the registry that nodes pull from; `None` if docker's configuration
/// has no credentials. Computed once in a run, since a credential helper may be slow.
pub(super) fn pull_credentials(env: &Env) -> Result<Option<Secret>> {
    if let Some(known) = env.pull_credentials.get() {
        return Ok(known.clone());
    }
    let found = credentials(&env.tools, &place(env)?, &pull_place(env)?)?.map(Secret::new);
    Ok(env.pull_credentials.get_or_init(|| found).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_keeps_its_path_and_loses_its_host() {
        for (local, expected) in [
            ("polls:1.0.0-ab", ("polls", "1.0.0-ab")),
            ("localhost/pocdeploy/operator:1.30.0-ab", ("pocdeploy/operator", "1.30.0-ab")),
            ("registry.example.com:5000/team/polls:1", ("team/polls", "1")),
            ("team/polls", ("team/polls", "latest")),
        ] {
            assert_eq!(split(local), expected);
        }
    }
}
