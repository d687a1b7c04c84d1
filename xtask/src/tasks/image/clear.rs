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

/// Removes from the engine the images that this tool built for the services, of whatever source, except those that other instances built last.
pub fn remove_all(env: &Env, task: TaskId) -> Result<()> {
    let Ok(engine) = env.engine() else { return Ok(()) };
    let built = in_engine(env, engine)?;
    let (stays, goes) = by_others(env, task, built)?;
    let id = |name: &String| engine.image(name).map(|it| it.map(|it| it.id));
    let kept = stays.iter().map(id).collect::<Result<Vec<_>>>()?;
    for name in &goes {
        if kept.contains(&id(name)?) {
            env.detail(task, format!("image {name} stays: another instance uses it"));
        } else {
            engine.remove_image(name)?;
        }
    }
    Ok(())
}

/// Removes these images of earlier revisions from the engine, except those that other instances on this machine built last.
pub fn remove(env: &Env, task: TaskId, names: Vec<String>) -> Result<()> {
    let Ok(engine) = env.engine() else { return Ok(()) };
    for name in by_others(env, task, names)?.1 {
        env.detail(task, format!("image {name} of an earlier revision goes"));
        engine.remove_image(&name)?;
    }
    Ok(())
}

/// Those of `names` that other instances built last, and the rest. If that is not known, nothing goes.
fn by_others(env: &Env, task: TaskId, names: Vec<String>) -> Result<(Vec<String>, Vec<String>)> {
    if names.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let others = provider::others(env)?;
    let Some(used) = others.iter().map(used_by).collect::<Option<Vec<_>>>() else {
        env.detail(task, format!("image {} stays: another instance may use it", names.join(", ")));
        return Ok((names, Vec::new()));
    };
    // Image names contain a hash of the inputs, so another instance of the same source uses the same image, also under its other name.
    Ok(names.into_iter().partition(|name| used.iter().flatten().any(|key| name.ends_with(&format!("-{key}")))))
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
    // Podman lists `polls:1` as `localhost/polls:1`.
    let plain = |name: &str| name.strip_prefix("localhost/").unwrap_or(name).to_owned();
    out.retain(|name| services.iter().any(|it| plain(name).starts_with(it.as_str())));
    Ok(out)
}
