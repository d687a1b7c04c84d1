//! A base image in a registry that asks who one is: docker's own configuration and a credential helper let both builders have it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use pocdeploy::{
    graph::TaskId,
    images::{self, Role},
};

use crate::bench::Bench;

/// `team` and `right-word`, as `htpasswd -B` writes them.
const HTPASSWD: &str = "team:$2b$05$piQGksGk.63xLdedQQuYWuEt2FKh9tiJssa2449P6IMKTO8wp7W9e\n";
/// The same for a client: `team:right-word` and `team:wrong-word`.
const RIGHT: &str = "dGVhbTpyaWdodC13b3Jk";
const WRONG: &str = "dGVhbTp3cm9uZy13b3Jk";
const HELPER: &str =
    "#!/bin/sh\nread -r server\nprintf '{\"ServerURL\":\"%s\",\"Username\":\"team\",\"Secret\":\"right-word\"}' \"$server\"\n";

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).ok();
    }
}

/// Images are built from a private one; no cluster is made.
pub(crate) fn images_are_built_from_a_private_one(bench: &Bench) {
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let place = format!("127.0.0.1:{port}");
    let _server = serve(folder.path(), &place);
    let configuration = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("config.json"), text).unwrap();
        path
    };
    let auths = |word: &str| format!("{{\"auths\": {{\"{place}\": {{\"auth\": \"{word}\"}}}}}}");
    let (right, wrong) = (configuration("right", &auths(RIGHT)), configuration("wrong", &auths(WRONG)));
    let none = configuration("none", "{}");
    let helper = configuration("helper", &format!("{{\"credHelpers\": {{\"{place}\": \"e2e\"}}}}"));
    let program = folder.path().join("docker-credential-e2e");
    fs::write(&program, HELPER).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();

    bench.run(&["image", "--yes"]).ends_with(0);
    let (engine, name) = (bench.engine(), format!("{place}/team/base"));
    engine.tag(&images::reference(&bench.env(), TaskId::Image, Role::Python).unwrap(), &name, "1").unwrap();
    push(&engine.host, &right, &format!("{name}:1"));
    let dockerfile = bench.path("build/Dockerfile.frontend");
    let classic =
        fs::read_to_string(&dockerfile).unwrap().replace("ARG BASE_IMAGE=", "ARG UNUSED=").replace("${BASE_IMAGE}", &format!("{name}:1"));
    assert!(classic.contains("FROM 127."));
    let buildkit = classic.replace("RUN PYTHONPATH=", "RUN --mount=type=tmpfs,target=/unused PYTHONPATH=");
    assert_ne!(classic, buildkit);

    let image = |configuration: &PathBuf, (text, buildkit): (&str, &str)| {
        fs::write(&dockerfile, text).unwrap();
        bench.edit_source("# another image\n");
        engine.remove_image(&format!("{name}:1")).unwrap();
        let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
        bench.ran(bench.command(&["image", "--yes"]).env("DOCKER_CONFIG", configuration).env("DOCKER_BUILDKIT", buildkit).env("PATH", path))
    };
    for (builder, text) in [("the classic builder", (classic.as_str(), "0")), ("BuildKit", (buildkit.as_str(), "1"))] {
        bench.step(builder, || {
            image(&right, text).ends_with(0);
            image(&helper, text).ends_with(0);
            let refused = format!("image {name}:1 is not in the engine, and cannot be pulled");
            image(&wrong, text).ends_with(1).says(&refused).says("unauthorized").says(&format!("docker login {place}"));
            image(&none, text).ends_with(1).says(&refused).says("no basic auth credentials");
        });
    }
    engine.remove_image(&format!("{name}:1")).unwrap();
    bench.run(&["delete", "--yes"]).ends_with(0);
}

fn serve(folder: &Path, place: &str) -> Server {
    fs::write(folder.join("htpasswd"), HTPASSWD).unwrap();
    let config = format!(
        "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {root}/data}}}}\nhttp: {{addr: '{place}'}}\n\
         auth: {{htpasswd: {{realm: private, path: {root}/htpasswd}}}}\n",
        root = folder.display(),
    );
    fs::write(folder.join("config.yml"), config).unwrap();
    let log = fs::File::create(folder.join("log")).unwrap();
    let child =
        Command::new("docker-registry").arg("serve").arg(folder.join("config.yml")).stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let server = Server(child);
    let began = Instant::now();
    while std::net::TcpStream::connect(place).is_err() {
        assert!(began.elapsed() < Duration::from_secs(30), "{}", fs::read_to_string(folder.join("log")).unwrap_or_default());
        std::thread::sleep(Duration::from_millis(100));
    }
    server
}

/// With docker's own client, so that the registry is filled by another program than is tested.
fn push(host: &str, configuration: &Path, reference: &str) {
    let output = Command::new("docker")
        .args(["push", "--quiet", reference])
        .env("DOCKER_HOST", host)
        .env("DOCKER_CONFIG", configuration)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
