//! What `delete` leaves in the engine: what other instances were deployed with.

use std::{collections::HashMap, fs};

use pocdeploy::{engine::Engine, fingerprint::Fingerprint, tasks::image::INPUTS_LABEL};

use crate::bench::Bench;

/// No cluster comes up: the other instance is its network and its folder.
pub(crate) fn only_the_images_of_others_stay(bench: &Bench) {
    let engine = bench.engine();
    let named = bench.instance.clone();
    let file = bench.path("Pocdeploy.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("image = \"polls\"", &format!("image = \"{named}\""), 1)).unwrap();
    let images = || -> Vec<String> { engine.images_with(INPUTS_LABEL).unwrap().into_iter().filter(|it| it.starts_with(&named)).collect() };

    let other = tempfile::tempdir().unwrap();
    bench.step("two images of two sources", || {
        bench.run(&["image", "--yes"]).ends_with(0);
        let record = other.path().join("target/pocdeploy/record");
        fs::create_dir_all(&record).unwrap();
        fs::copy(bench.path("target/pocdeploy/record/image.json"), record.join("image.json")).unwrap();
        bench.edit_source("# another image\n");
        bench.run(&["image", "--yes"]).ends_with(0);
        assert_eq!(images().len(), 3, "{:?}", images());
    });
    let network = Network::of(&engine, &format!("{named}-other"), &other.path().display().to_string());
    let key: Fingerprint = serde_json::from_slice(&fs::read(other.path().join("target/pocdeploy/record/image.json")).unwrap()).unwrap();
    let used = images().into_iter().filter(|it| it.ends_with(&format!("-{}", key.short()))).collect::<Vec<_>>();
    assert_eq!(used.len(), 1);
    bench.step("delete leaves the one that another instance was deployed with", || {
        bench.run(&["delete", "--yes"]).ends_with(0);
        assert_eq!(images(), used);
    });
    bench.step("it leaves all while it cannot know", || {
        bench.run(&["image", "--yes"]).ends_with(0);
        fs::remove_dir_all(other.path().join("target")).unwrap();
        bench.run(&["delete", "--yes"]).ends_with(0);
        assert_eq!(images().len(), 3, "{:?}", images());
    });
    drop(network);
    bench.step("alone, it leaves none, nor a node that an orphaned kind made on a network that is gone", || {
        bench.run(&["image", "--yes"]).ends_with(0);
        orphan(bench, &engine, &named);
        assert_eq!(images(), Vec::<String>::new());
    });
}

/// `docker create` as kind's `docker run` does it, when `delete` removes the network before the container starts.
fn orphan(bench: &Bench, engine: &Engine, image: &str) {
    let (name, network) = (bench.node(), format!("pocdeploy-{}", bench.instance));
    let labels = [("dev.pocdeploy.instance".to_owned(), bench.instance.clone())];
    engine.create_network(&network, labels.into()).unwrap();
    let label = format!("io.x-k8s.kind.cluster={}", bench.instance);
    let made = std::process::Command::new("docker")
        .args(["create", "--name", &name, "--network", &network, "--label", &label, &format!("{image}:1.0.0")])
        .env("DOCKER_HOST", &engine.host)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    engine.remove_network(&network).unwrap();
    bench.run(&["delete", "--yes"]).ends_with(0);
    assert!(engine.container(&name).unwrap().is_none());
}

struct Network<'a> {
    engine: &'a Engine,
    name: String,
}

impl Network<'_> {
    fn of<'a>(engine: &'a Engine, instance: &str, project: &str) -> Network<'a> {
        let labels = [("dev.pocdeploy.instance", instance), ("dev.pocdeploy.project", project)];
        let labels: HashMap<String, String> = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        // As the tool names it: one of another name would have a copy of the labels.
        let name = format!("pocdeploy-{instance}");
        engine.create_network(&name, labels).unwrap();
        Network { engine, name }
    }
}

impl Drop for Network<'_> {
    fn drop(&mut self) {
        self.engine.remove_network(&self.name).unwrap();
    }
}
