//! Imports images that are unpacked in the node image into the engine, to use them outside a node.

use std::{collections::HashMap, fs};

use anyhow::{Context as _, Result};

use crate::{
    engine::{BuildRequest, ContainerSpec, Root},
    env::Env,
    errors::Problem,
    graph::TaskId,
    images::{
        Role,
        packages::{reference, versions},
    },
};

/// Creates the image `image` (`name:tag`) from the operator's or the database's files in the node image, which the engine must have.
pub fn inside_as_image(env: &Env, role: Role, image: &str) -> Result<()> {
    let node = reference(env, Role::Node)?;
    let bin = format!("/usr/lib/postgresql/{}/bin", versions(env)?.postgresql);
    let (file, settings) = match role {
        Role::Operator => ("manager".to_owned(), "USER 65532:65532\nENTRYPOINT [\"/manager\"]\n".to_owned()),
        Role::Postgresql => (
            format!("{}/postgres", bin.trim_start_matches('/')),
            format!("ENV PATH={bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nUSER 26\n"),
        ),
        Role::Python | Role::Node | Role::Valkey | Role::Mailpit | Role::Traefik => {
            return Err(Problem::new("this image is in the engine itself").into());
        }
    };
    let layer = layer_with(env, &node, &file)?;
    let folder = tempfile::tempdir().context("make a temporary folder")?;
    let dockerfile = folder.path().join("Dockerfile");
    fs::write(&dockerfile, format!("FROM {node} AS node\nFROM scratch\nCOPY --from=node {layer} /\n{settings}"))
        .context("write a Dockerfile")?;
    let request = BuildRequest {
        context: vec![Root::whole(dockerfile, "Dockerfile")],
        dockerfile: "Dockerfile".to_owned(),
        tag: image.to_owned(),
        args: HashMap::new(),
        labels: HashMap::new(),
        network: false,
    };
    env.engine()?.build(request, |_| ())
}

/// The folder of the node's unpacked layer that contains a file.
fn layer_with(env: &Env, node: &str, file: &str) -> Result<String> {
    let engine = env.engine()?;
    let name = format!("pocdeploy-look-{}", std::process::id());
    let command = ["sleep", "60"].map(str::to_owned).to_vec();
    let spec = ContainerSpec { name: name.clone(), image: node.to_owned(), command, temporary: true, ..ContainerSpec::default() };
    engine.start_new(spec)?;
    let found = engine.exec(&name, &["sh", "-c", &format!("ls -d /opt/pocdeploy/layers/*/fs/{file}")]);
    engine.remove_container(&name, |it| env.waiting(TaskId::NodeImage, it))?;
    let found = found?.ok("look into the node image")?;
    let layer = found.trim().strip_suffix(file).map(str::to_owned);
    layer.ok_or_else(|| Problem::new(format!("the node image holds no {file}: {found}")).into())
}
