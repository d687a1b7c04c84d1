//! The same where only Terraform is installed, and where the program changes.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{
    Reader, Workplace, hcl_is_valid, life, mistakes_that_pass,
    sky::Sky,
    stopped::{ALL, End, World},
    text,
};

const NOTHING: &str = "audit: the cloud has nothing with this instance's tag or name";
const SETTINGS: &str = r#"{ "token": "t", "word": "w", "registry": "r.example.com" }"#;

fn world() -> World {
    let world = World::of(Sky::read_by(Reader::Terraform, "eks"));
    world.sky.settings(&serde_json::from_str(SETTINGS).unwrap());
    world
}

fn cloud(world: &World) -> PathBuf {
    world.project.root.join("target/pocdeploy/cloud")
}

fn state(world: &World) -> String {
    fs::read_to_string(cloud(world).join("terraform.tfstate")).unwrap()
}

/// Only the owner can read what Terraform writes.
fn is_private(folder: &Path) {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder), 0o700);
    for name in ["terraform.tfstate", "plan", "cluster.json"] {
        assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
    }
}

/// An input that makes a plan necessary.
fn edit(world: &World) {
    let hcl = world.project.read("deploy/eks/main.tf");
    world.project.write("deploy/eks/main.tf", &format!("{hcl}\n# edited\n"));
}

#[test]
#[ignore = "long: `cargo xtask test --full` compiles Terraform for it"]
fn terraform_takes_the_hcl_refuses_mistakes_and_ends_empty_after_every_fault() {
    hcl_is_valid(&Workplace::of(Reader::Terraform));
    // Unlike OpenTofu it does not look behind a splat.
    let known = ["gke: \"master_auth[*].cluster_ca_certificate\" -> \"master_auth[*].ca_certificate\""];
    assert_eq!(mistakes_that_pass(&Workplace::of(Reader::Terraform)), known);
    life::all_end_empty(&Workplace::of(Reader::Terraform));
}

#[test]
#[ignore = "long: `cargo xtask test --full` compiles Terraform for it"]
fn a_cluster_comes_and_goes_where_only_terraform_is_installed() {
    let world = world();
    let doctor = world.run(&["doctor"]).stdout;
    assert!(doctor.contains("Terraform 1.13.3 at ") && doctor.contains("it cannot encrypt its state"), "{doctor}");
    let mut command = world.command(&["cluster", "--yes"]);
    world
        .ran(command.env("POCDEPLOY_STATE_PASSPHRASE", "of sixteen letters or more"))
        .ends_with(4)
        .says("POCDEPLOY_STATE_PASSPHRASE is set, and Terraform cannot encrypt its state");
    world
        .run(&["cluster"])
        .ends_with(4)
        .says("Terraform's state is in target/pocdeploy/cloud, in plain text, since Terraform cannot encrypt it")
        .says("about $");
    assert_eq!(world.sky.inventory(), Vec::<String>::new());

    let planned = world.run(&["plan"]);
    assert!(
        planned.stdout.contains("aws_eks_cluster.this") && planned.stdout.contains("192.0.2.7/32"),
        "{}{}",
        planned.stdout,
        planned.stderr
    );
    world.slow(0.3);
    let made = world.run(&["cluster", "--yes", "--events"]);
    made.ends_with(0);
    world.sky.faults(&json!([]));
    // What Terraform prints is understood: how much is done, and what is being made.
    assert!(made.stdout.contains("Terraform (usually 12 minutes)"), "{}", made.stdout);
    assert!(made.stdout.contains("20 done; creating aws_") || made.stdout.contains("19 done; creating aws_"), "{}", made.stdout);
    assert_eq!(world.sky.inventory().len(), ALL);
    is_private(&cloud(&world));
    assert!(state(&world).contains("10.42.0.0/16"));
    world.run(&["cluster", "--yes"]).ends_with(0).says("skipped: cluster trial on Amazon EKS in eu-central-1 answers");
    let listed = world.sky.over(std::process::Command::new(cloud(&world).join("tofu")).args(["state", "list"])).output().unwrap();
    assert!(text(&listed.stdout).contains("aws_vpc.this\n"), "{}", text(&listed.stderr));

    // Without the state nothing is passed over in silence.
    let (kept, elsewhere) = (world.project.root.join("target"), world.project.root.join("kept"));
    fs::rename(&kept, &elsewhere).unwrap();
    world.run(&["delete", "--yes"]).ends_with(1).says("left: EKS cluster trial").says("left: vpc ");
    fs::remove_dir_all(&kept).ok();
    fs::rename(&elsewhere, &kept).unwrap();
    assert_eq!(world.sky.inventory().len(), ALL);

    fs::write(world.sky.blocker("k8s-elb-1"), "").unwrap();
    world.run(&["delete", "--yes"]).ends_with(1).says("Terraform could not destroy").says("DependencyViolation").says("k8s-elb-1");
    fs::remove_file(world.sky.blocker("k8s-elb-1")).unwrap();
    world.run(&["delete", "--yes"]).ends_with(0).says(NOTHING);
    assert_eq!(world.sky.inventory(), Vec::<String>::new());
    assert!(!cloud(&world).exists());
}

#[test]
#[ignore = "long: `cargo xtask test --full` compiles Terraform for it"]
fn a_run_of_terraform_that_is_stopped_goes_on_and_leaves_nothing() {
    let world = world();
    for (made, left, end) in [(4, 18, End::Interrupted), (12, 9, End::PowerCut), (ALL, 1, End::Killed), (9, 14, End::PowerCut)] {
        world.round(made, left, end);
    }
    let of = |does: &str| json!([{ "type": "aws_eks_cluster", "on": "create", "does": does, "times": 1 }]);
    world.sky.faults(&of("throttle"));
    world.run(&["cluster", "--yes"]).ends_with(1).says("Terraform could not apply").says("ThrottlingException: Rate exceeded");
    world.sky.faults(&of("lost"));
    world.run(&["cluster", "--yes"]).ends_with(1).says("connection reset by peer");
    world.run(&["cluster", "--yes"]).ends_with(0).says("aws_eks_cluster.this exists and the state did not know it: taking it in");
    world.run(&["delete", "--yes"]).ends_with(0).says(NOTHING);
    assert_eq!(world.sky.inventory(), Vec::<String>::new());
}

#[test]
#[ignore = "long: `cargo xtask test --full` compiles Terraform for it"]
fn a_state_stays_with_its_program_and_opentofu_goes_on_where_terraform_is_gone() {
    let world = world();
    world.run(&["cluster", "--yes"]).ends_with(0);
    // OpenTofu is installed later: the state stays with Terraform.
    world.sky.install(Reader::OpenTofu);
    edit(&world);
    world.run(&["cluster", "--yes"]).ends_with(0);
    let known: Value = serde_json::from_str(&state(&world)).unwrap();
    assert_eq!(known["terraform_version"], "1.13.3");
    // Terraform is removed: OpenTofu goes on, and encrypts.
    world.sky.uninstall(Reader::Terraform);
    edit(&world);
    world.run(&["cluster", "--yes"]).ends_with(0).says("OpenTofu goes on with it and encrypts it");
    assert_eq!(world.sky.inventory().len(), ALL);
    assert!(state(&world).contains("\"encrypted_data\"") && !state(&world).contains("10.42."));
    // It is OpenTofu's now, and Terraform says so.
    world.sky.install(Reader::Terraform);
    world.sky.uninstall(Reader::OpenTofu);
    edit(&world);
    for command in ["cluster", "delete"] {
        world.run(&[command, "--yes"]).ends_with(4).says("OpenTofu has encrypted the state of this instance, and `tofu` is not");
    }
    world.sky.install(Reader::OpenTofu);
    world.run(&["delete", "--yes"]).ends_with(0).says(NOTHING);
    assert_eq!(world.sky.inventory(), Vec::<String>::new());
}
