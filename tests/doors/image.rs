//! Requests to the engine's BuildKit, and the files of the build context.

use std::{collections::HashMap, fs};

use pocdeploy::{
    dockerfile::Ignore,
    engine::{BuildRequest, Found, Root},
    engines::connect,
};

use crate::{Bench, engine::Engine};

#[test]
fn a_build_by_buildkit_brings_the_context_without_what_is_ignored_and_no_client() {
    let bench = Bench::new("");
    let app = bench.env.path("app");
    fs::create_dir_all(app.join("wheels")).unwrap();
    for (name, text) in [(".env", "KEY=1"), ("app.py", "x"), ("wheels/old.whl", ""), ("pip.whl", ""), ("Dockerfile", "FROM x")] {
        fs::write(app.join(name), text).unwrap();
    }
    let double = Engine::start(&bench.env.project);
    let engine = connect(&bench.env, &Found { host: double.host(), title: "the double".to_owned() }).unwrap();
    let request = BuildRequest {
        context: vec![
            Root { path: app.clone(), name: String::new(), ignore: Some(Ignore::parse(b".env\nwheels\npip.whl\n", "").unwrap()) },
            Root::whole(app.join("pip.whl"), "wheels/pip.whl"),
        ],
        dockerfile: "Dockerfile".to_owned(),
        tag: "polls:1-0f".to_owned(),
        args: HashMap::from([("BASE_IMAGE".to_owned(), "python:3&x".to_owned())]),
        labels: HashMap::from([("a".to_owned(), "b c".to_owned())]),
        network: false,
    };
    engine.build_with_buildkit(request, |_| ()).unwrap();
    let builds = double.builds();
    assert_eq!(builds.len(), 1);
    let asked: Vec<String> = builds[0].query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let expected = [
        "version=2",
        "dockerfile=Dockerfile",
        "t=polls:1-0f",
        "networkmode=none",
        "buildargs={\"BASE_IMAGE\":\"python:3&x\"}",
        "labels={\"a\":\"b c\"}",
    ];
    assert_eq!(asked, expected);
    let mut archive = tar::Archive::new(builds[0].context.as_slice());
    let names: Vec<String> =
        archive.entries().unwrap().map(|it| it.unwrap().path().unwrap().display().to_string()).filter(|it| !it.is_empty()).collect();
    assert_eq!(names, ["Dockerfile", "app.py", "wheels/pip.whl"]);
    double.fail("/build", 1, "no space left on device");
    let error = engine.build_with_buildkit(BuildRequest::default(), |_| ()).unwrap_err();
    assert!(format!("{error:#}").contains("no space left on device"), "{error:#}");
}
