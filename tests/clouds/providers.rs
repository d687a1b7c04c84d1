//! A provider's archive in a mirror or in a registry, of which a byte is another, or which is cut: it is refused by name, nothing of it is kept,
//! and the next run takes the right one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{
    http::{self, Answer},
    sky::Sky,
    stopped::{ALL, World},
};

/// Writes an archive as registries have it: the provider's program, with more bytes at its end or without.
const PACK: &str = "import sys, zipfile
program, to, more = sys.argv[1:]
name = zipfile.ZipInfo(program.rsplit('/')[-1])
name.external_attr = 0o755 << 16
with zipfile.ZipFile(to, 'w') as out:
    out.writestr(name, open(program, 'rb').read() + more.encode())
";

/// What the other provider has and the right one has not.
const MORE: &str = "another byte";

/// The mirror of OpenTofu's registry, with an archive in place of the folder with the program.
struct Mirror {
    archive: PathBuf,
    right: Vec<u8>,
    other: Vec<u8>,
}

impl Mirror {
    fn of(world: &World) -> Mirror {
        let place = world.sky.mirror().join("registry.opentofu.org/hashicorp/aws");
        let version = fs::read_dir(&place).unwrap().next().unwrap().unwrap().path();
        let platform = fs::read_dir(&version).unwrap().next().unwrap().unwrap().path();
        let program = fs::read_dir(&platform).unwrap().next().unwrap().unwrap().path();
        let name = |it: &Path| it.file_name().unwrap().to_str().unwrap().to_owned();
        let archive = place.join(format!("terraform-provider-aws_{}_{}.zip", name(&version), name(&platform)));
        let packed = |more: &str| {
            #[expect(clippy::disallowed_methods, reason = "makes a file of the test")]
            let made = Command::new("python3").args(["-c", PACK]).arg(&program).arg(&archive).arg(more).status().unwrap();
            assert!(made.success());
            fs::read(&archive).unwrap()
        };
        let (other, right) = (packed(MORE), packed(""));
        fs::remove_dir_all(&version).unwrap();
        Mirror { archive, right, other }
    }
}

/// The files of the tool's that end with the other bytes, and the number of those that are the provider's program.
fn kept(world: &World) -> (Vec<PathBuf>, usize) {
    let folders = ["cache", "target"].map(|it| world.project.root.join(it));
    let files = folders.iter().flat_map(|it| walkdir::WalkDir::new(it).into_iter().flatten()).filter(|it| it.file_type().is_file());
    let programs: Vec<PathBuf> =
        files.map(|it| it.into_path()).filter(|it| it.file_name().unwrap().to_string_lossy().starts_with("terraform-provider-")).collect();
    let count = programs.len();
    (programs.into_iter().filter(|it| fs::read(it).unwrap().ends_with(MORE.as_bytes())).collect(), count)
}

/// What is said of them.
const OTHER: &str = " is not what its pinned digest says";

/// Something to do.
fn edit(world: &World) {
    let hcl = world.project.read("deploy/eks/main.tf");
    world.project.write("deploy/eks/main.tf", &format!("{hcl}\n# edited\n"));
}

/// Runs with each fault, and what the first line says of it; after each of them one without a fault.
fn suffer(world: &World, faults: &[(&dyn Fn(), &str)], well: &dyn Fn()) {
    world.run(&["cluster", "--yes"]).ends_with(0);
    assert_eq!(kept(world), (Vec::new(), 1));
    for (fall, says) in faults {
        for folder in ["cache/tofu-providers", "target/pocdeploy/cloud/.terraform/providers"] {
            fs::remove_dir_all(world.project.root.join(folder)).unwrap();
        }
        edit(world);
        fall();
        let ran = world.run(&["cluster", "--yes"]);
        let first = ran.stderr.split_once("error[").map(|it| it.1).unwrap_or_default().lines().next().unwrap_or_default();
        eprintln!("{} {first}", ran.code);
        ran.ends_with(4).says("\nhint: ");
        assert!(first.starts_with("E0315]") && first.contains("hashicorp/aws") && first.contains(says), "{}", ran.stderr);
        assert_eq!(kept(world), (Vec::new(), 0), "{}", ran.stderr);
        well();
        world.run(&["cluster", "--yes"]).ends_with(0);
        assert_eq!(kept(world), (Vec::new(), 1));
    }
}

#[test]
fn a_provider_with_other_bytes_is_refused_by_name_and_the_next_run_takes_the_right_one() {
    let world = World::of(Sky::new("eks"));
    let mirror = Mirror::of(&world);
    let put = |bytes: &[u8]| fs::write(&mirror.archive, bytes).unwrap();
    let cut = "a file is no package, as if it were cut or a web page";
    suffer(&world, &[(&|| put(&mirror.other), OTHER), (&|| put(&mirror.right[..1000]), cut)], &|| put(&mirror.right));
    // A byte that changes in the cache after OpenTofu has compared it.
    let cached = walkdir::WalkDir::new(world.project.root.join("cache/tofu-providers")).into_iter().flatten();
    let cached = cached.map(|it| it.into_path()).find(|it| it.is_file() && it.to_string_lossy().contains("/terraform-provider-")).unwrap();
    let right = fs::read(&cached).unwrap();
    fs::write(&cached, [&right, MORE.as_bytes()].concat()).unwrap();
    edit(&world);
    let ran = world.run(&["cluster", "--yes"]);
    ran.ends_with(0).says(" in the cache is not what its digest says: fetching it again");
    assert_eq!(world.sky.inventory().len(), ALL);
    assert!(fs::read(&cached).unwrap() == right, "the provider in the cache stays another");
}

/// What the registry says, as the digest of the archive, and the archive.
type Served = Arc<Mutex<(Vec<u8>, Vec<u8>)>>;

/// OpenTofu asks a registry of the test's own in place of its own.
fn registry(world: &World, mirror: &Mirror) -> Served {
    let served: Served = Arc::new(Mutex::new((mirror.right.clone(), mirror.right.clone())));
    let now = served.clone();
    let name = mirror.archive.file_name().unwrap().to_str().unwrap().to_owned();
    let [version, os, arch] = {
        let mut words = name.strip_suffix(".zip").unwrap().rsplit('_').map(str::to_owned);
        let (arch, os, version) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        [version, os, arch]
    };
    let port = http::serve_tcp(&http::Health::default(), move |request| {
        let (said, sent) = now.lock().unwrap().clone();
        let digest: String = Sha256::digest(&said).iter().map(|it| format!("{it:02x}")).collect();
        let at = |file: &str| format!("http://{}/{file}", request.header("host"));
        match request.path.rsplit('/').next().unwrap_or_default() {
            "versions" => {
                let platforms = [json!({ "os": os, "arch": arch })];
                Answer::json(200, &json!({ "versions": [{ "version": version, "protocols": ["5.0", "6.0"], "platforms": platforms }] }))
            }
            it if it == arch => Answer::json(
                200,
                &json!({
                    "protocols": ["5.0", "6.0"], "os": os, "arch": arch, "filename": name, "download_url": at(&name),
                    "shasums_url": at("sums"), "shasums_signature_url": at("signature"), "shasum": digest,
                    "signing_keys": { "gpg_public_keys": [] },
                }),
            ),
            "sums" => Answer::text(&format!("{digest}  {name}\n")),
            "signature" => Answer::text("none"),
            it if it == name => Answer::Whole { status: 200, kind: "application/zip", body: sent },
            _ => Answer::Whole { status: 404, kind: "text/plain", body: Vec::new() },
        }
    });
    let address = format!("http://127.0.0.1:{port}/v1/providers/");
    let settings = format!("host \"registry.opentofu.org\" {{\n  services = {{ \"providers.v1\" = \"{address}\" }}\n}}\n");
    fs::write(world.sky.mirror().with_file_name("settings"), settings).unwrap();
    served
}

#[test]
fn a_provider_of_a_registry_with_other_bytes_is_refused_by_name_and_the_next_run_takes_the_right_one() {
    let world = World::of(Sky::new("eks"));
    let mirror = Mirror::of(&world);
    let served = registry(&world, &mirror);
    let serve = |said: &[u8], sent: &[u8]| *served.lock().unwrap() = (said.to_vec(), sent.to_vec());
    let (right, other) = (&mirror.right[..], &mirror.other[..]);
    let faults: [(&dyn Fn(), &str); 3] =
        [(&|| serve(right, other), OTHER), (&|| serve(other, other), OTHER), (&|| serve(right, &right[..1000]), OTHER)];
    suffer(&world, &faults, &|| serve(right, right));
}
