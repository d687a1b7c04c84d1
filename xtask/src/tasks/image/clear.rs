//! Which of the images that the tool has built are no longer needed.

use std::{fs, path::Path};

use anyhow::Result;

use crate::{
    engine::Engine,
    env::Env,
    graph::{TaskId, TaskKind},
    layout::WORK,
    provider::{self, Instance},
    record,
    tasks::image::INPUTS_LABEL,
};

/// Removes from the engine the images that this tool built for the services, of whatever source, except these and those that other instances
/// built last.
pub fn remove_all_but(env: &Env, task: TaskId, kept: &[String]) -> Result<()> {
    let Ok(engine) = env.engine() else { return Ok(()) };
    let built = in_engine(env, engine)?;
    if built.iter().all(|it| kept.contains(&plain(it))) {
        return Ok(());
    }
    let others = provider::others(env)?;
    let Some(used) = others.iter().map(used_by).collect::<Option<Vec<_>>>() else {
        env.detail(task, format!("image {} stays: another instance may use it", built.join(", ")));
        return Ok(());
    };
    // Image names contain a hash of the inputs, so another instance of the same source uses the same image, also under its other name.
    let is_of_others = |name: &str| used.iter().flatten().any(|key| name.ends_with(&format!("-{key}")));
    let id = |name: &String| engine.image(name).map(|it| it.map(|it| it.id));
    let (stays, goes): (Vec<&String>, Vec<&String>) = built.iter().partition(|it| kept.contains(&plain(it)) || is_of_others(it));
    let ids = stays.iter().copied().map(id).collect::<Result<Vec<_>>>()?;
    for name in goes {
        if ids.contains(&id(name)?) {
            env.detail(task, format!("image {name} stays: it is needed under another name"));
        } else {
            engine.remove_image(name)?;
        }
    }
    Ok(())
}

/// Podman lists `polls:1` as `localhost/polls:1`.
fn plain(name: &str) -> String {
    name.strip_prefix("localhost/").unwrap_or(name).to_owned()
}

/// The hashes in the names of the images that an instance on this machine built last; `None` if its folder has no record of them. Without
/// its folder, nothing can deploy it again.
fn used_by(instance: &Instance) -> Option<Vec<String>> {
    if matches!(Path::new(&instance.project).try_exists(), Ok(false)) {
        return Some(Vec::new());
    }
    let own = Path::new(&instance.project).join(WORK);
    let files = [own.join("instances").join(&instance.name), own].into_iter().flat_map(|it| fs::read_dir(it.join("record"))).flatten();
    // `image.json`, and `image-worker.json` of another service.
    let records = files.flatten().filter(|it| it.file_name().to_string_lossy().starts_with(TaskKind::Image.name()));
    let out: Vec<String> = records.filter_map(|it| record::read_fingerprint(&it.path())).map(|it| it.short()).collect();
    (!out.is_empty()).then_some(out)
}

/// The names of all images in the engine that this tool built for the services of this configuration, of whatever source; sorted.
pub fn in_engine(env: &Env, engine: &Engine) -> Result<Vec<String>> {
    let services: Vec<String> = env.config.built().map(|it| format!("{}:", env.config.service(it).image)).collect();
    let mut out = engine.images_with(INPUTS_LABEL)?;
    out.retain(|name| services.iter().any(|it| plain(name).starts_with(it.as_str())));
    Ok(out)
}
