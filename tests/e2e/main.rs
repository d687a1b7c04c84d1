//! The complete workflow on a real kind cluster: from nothing to a vote, and back to nothing.
//!
//! Instance and copy of the project are this test's own; engine, images and Go's caches are shared.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "programs that are not the tool's")]

mod acme;
mod backup;
mod behind;
mod bench;
mod browser;
mod canaries;
mod cloud;
mod day_two_change;
mod day_two_inside;
mod dev;
mod dumps;
mod durable;
#[path = "../clouds/emulator.rs"]
mod emulator;
mod examples;
mod existing;
mod exported;
mod from_registry;
mod front_door;
mod interruption;
mod killed;
mod leftovers;
mod linters;
mod load;
mod machine;
mod permissions;
mod pod_security;
mod policies;
mod private;
mod programs;
mod queue;
mod registry;
mod requirements;
mod room;
mod sboms;
mod services;
mod sixteen;
#[path = "../clouds/sky.rs"]
#[expect(dead_code, reason = "shared with the tests of the HCL, which use more of it")]
mod sky;
mod soak;
mod stuck;
mod versions;

use std::{fs, time::Instant};

use bench::Bench;

#[test]
fn from_nothing_to_a_vote_and_back_to_nothing() {
    let bench = Bench::new("");
    let foreign = bench.foreign_settings();
    bench.step("a foreign cluster of the same name is left alone", || {
        bench.start_foreign_node();
        bench.run(&["create", "--yes"]).ends_with(1).says("did not create; it was not changed");
        bench.run(&["delete", "--yes"]).ends_with(0).says("is not this tool's: left alone");
        assert!(bench.node_exists(), "the foreign container is gone");
        bench.remove_foreign_node();
    });

    bench.step("a container that does not start is removed", || {
        bench.try_a_node_that_does_not_start();
        assert!(!bench.node_exists());
    });

    let machine = machine::inventory(&bench);
    let url = bench.step("create ends with the URL alone on standard output", || {
        let began = Instant::now();
        let created = bench.run(&["create", "--yes"]);
        created.ends_with(0);
        eprintln!("   create with images there and no cluster: {:.1} s", began.elapsed().as_secs_f64());
        let url = created.stdout.trim_end().to_owned();
        assert!(url.starts_with("http://localhost:") && !url.contains('\n'), "{url:?}");
        for secret in bench.secrets() {
            let shown = format!("{}{}{}", created.stdout, created.stderr, bench.logs());
            assert!(!shown.contains(&secret), "a secret was printed or logged");
        }
        url
    });

    bench.step("validate finds it healthy at once, although the control plane's pods do not call themselves ready yet", || {
        bench.run(&["validate"]).ends_with(0);
    });

    let votes = bench.step("a browser votes and sees the count rise", || browser::vote(&url, &bench.pictures()));

    bench.step("the vote is a row in the database", || {
        assert_eq!(bench.votes_by_sql(), votes.all_after);
        assert_eq!(votes.all_after, votes.all_before + 1);
    });

    bench.step("the built image is clean under Django's own deployment check", || {
        let check = "python3 manage.py check --deploy --fail-level WARNING";
        let said = bench.kubectl(&format!("-n polls exec deployment/polls-frontend -- {check}"));
        assert!(said.contains("System check identified no issues (0 silenced)"), "{said}");
    });

    pod_security::is_enforced(&bench);
    permissions::are_few(&bench);
    room::is_left(&bench);

    bench.step("linters find nothing in the files of deploy/ and in the objects of both namespaces", || {
        let sets = [linters::files(&bench), linters::live(&bench, "polls"), linters::live(&bench, "cnpg-system")];
        linters::find_nothing(&linters::Schemas::of(&bench), &sets, true);
    });

    bench.step("sbom names what is in the images, in the form of CycloneDX", || sboms::name_what_is_there(&bench));

    policies::hold(&bench);

    bench.step("a second create changes nothing", || {
        let before = bench.world();
        let again = bench.run(&["create", "--yes"]);
        again.ends_with(0).says("nothing to do").says("0 ran");
        assert_eq!(again.stdout.trim_end(), url);
        similar(&before, &bench.world());
    });

    bench.step("a plan sees nothing to do, and a changed setting down to its property", || {
        let before = bench.world();
        bench.run(&["plan", "--detailed-exitcode"]).ends_with(0);
        let mut command = bench.command(&["create", "--dry-run"]);
        let planned = bench.ran(command.env("POCDEPLOY_FRONTEND_REPLICAS", "3"));
        planned.ends_with(0);
        assert!(planned.stdout.contains("~ Deployment polls-frontend in polls: spec.replicas: 2 -> 3"), "{}", planned.stdout);
        similar(&before, &bench.world());
    });

    day_two_inside::look_inside(&bench, &url);

    bench.step("the vote survives the loss of every pod", || {
        bench.kubectl("-n polls delete pods --all --wait=true --timeout=120s");
        bench.wait_for_page(&url);
        assert_eq!(browser::count(&url), votes.all_after);
        assert_eq!(bench.votes_by_sql(), votes.all_after);
    });

    bench.step("a paused instance uses nothing, and resumes with its data", || {
        bench.run(&["pause"]).ends_with(0).says("stopped, with all its data");
        day_two_inside::stopped(&bench);
        bench.run(&["pause"]).ends_with(0).says("stopped already");
        let resumed = bench.run(&["resume"]);
        assert_eq!(resumed.ends_with(0).stdout.trim_end(), url);
        // A kubelet that starts before containerd ends, and is started again a second later. kind's own image has no such order.
        if bench.engine().has_path(&bench.node(), "/etc/systemd/system/kubelet.service.d/21-order.conf").unwrap() {
            let restarts = bench.engine().exec(&bench.node(), &["systemctl", "show", "kubelet", "--property=NRestarts"]).unwrap();
            assert_eq!(restarts.stdout.trim(), "NRestarts=0");
        }
        bench.run(&["validate"]).ends_with(0);
        assert_eq!(browser::count(&url), votes.all_after);
    });

    bench.step("a frozen instance goes on where it was", || {
        let started = bench.kubectl("get pods -A -o jsonpath={.items[*].status.containerStatuses[*].state.running.startedAt}");
        bench.run(&["pause", "--keep-memory"]).ends_with(0).says("frozen, in memory");
        assert!(bench.run(&["ls"]).ends_with(0).stdout.lines().any(|it| it.starts_with(&bench.instance) && it.contains("frozen")));
        bench.run(&["validate"]).ends_with(5).says("is frozen");
        assert_eq!(bench.run(&["resume"]).ends_with(0).stdout.trim_end(), url);
        bench.run(&["validate"]).ends_with(0);
        let now = bench.kubectl("get pods -A -o jsonpath={.items[*].status.containerStatuses[*].state.running.startedAt}");
        assert_eq!(now, started, "no container has started again");
        assert_eq!(browser::count(&url), votes.all_after);
    });

    bench.step("create starts a stopped node too", || {
        bench.stop_node();
        bench.run(&["create", "--yes"]).ends_with(0).says("the cluster's node is stopped");
        bench.run(&["validate"]).ends_with(0);
        bench.wait_for_page(&url);
        assert_eq!(browser::count(&url), votes.all_after);
    });

    bench.step("a rehearsed restore brings back tables and rows, and leaves nothing", || {
        let rehearsed = bench.run(&["drill", "restore", "--output", "json"]);
        let found: serde_json::Value = serde_json::from_str(&rehearsed.ends_with(0).stdout).unwrap();
        let choices: u64 = bench.sql("SELECT count(*) FROM polls_choice").trim().parse().unwrap();
        assert!(found["tables"].as_u64().unwrap() > 10 && found["rows"].as_u64().unwrap() > choices, "{found}");
        assert_eq!(bench.sql("SELECT count(*) FROM pg_database WHERE datname LIKE 'pocdeploy%'").trim(), "0");
    });

    bench.step("a clone has the content, and is deleted alone", || {
        let name = format!("{}-copy", bench.instance);
        let snapshots = || bench.run(&["db", "ls"]).ends_with(0).stdout.clone();
        let before = snapshots();
        let cloned = bench.run(&["clone", &name, "--yes"]);
        let other = cloned.ends_with(0).stdout.trim_end().to_owned();
        assert_ne!(other, url);
        assert_eq!(browser::count(&other), votes.all_after);
        bench.run(&["--name", &name, "validate"]).ends_with(0);
        bench.run(&["clone", &name, "--yes"]).ends_with(2).says("there is an instance");
        bench.run(&["clone", "No_name", "--yes"]).ends_with(2).says("must be lower-case letters");
        bench.run(&["--name", &name, "delete", "--yes"]).ends_with(0);
        assert_eq!(snapshots(), before, "the dump for the clone is gone");
        bench.run(&["validate"]).ends_with(0);
    });

    bench.step("a database that delete keeps is what the next create has", || {
        bench.run(&["delete", "--yes", "--keep-database"]).ends_with(0).says("-kept.dump holds the database");
        assert_eq!(bench.traces(), Vec::<String>::new());
        bench.run(&["delete", "--yes", "--keep-database"]).ends_with(5).says("no instance");
        bench.run(&["resume"]).ends_with(5).says("has no finished cluster");
        bench.run(&["create", "--yes"]).ends_with(0).says("holds the database that `delete` kept of this instance");
        assert_eq!(bench.votes_by_sql(), votes.all_after);
        bench.run(&["validate"]).ends_with(0);
        // It is a snapshot like any other now.
        let names: Vec<_> =
            fs::read_dir(bench.path("snapshots")).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        assert!(names.iter().all(|it| !it.contains("kept")) && !names.is_empty(), "{names:?}");
    });

    bench.step("delete takes everything away and proves it", || {
        let began = Instant::now();
        bench.run(&["delete", "--yes"]).ends_with(0).says("audit: no container, network, volume or file of this instance is left");
        eprintln!("   delete: {:.1} s", began.elapsed().as_secs_f64());
        assert_eq!(bench.traces(), Vec::<String>::new());
        day_two_inside::absent(&bench);
        bench.run(&["delete", "--yes"]).ends_with(0);
        assert!(bench.foreign_settings() == foreign, "the user's own kubeconfig was changed");
    });

    bench.step("the machine is as it was", || machine::is_as_before(&machine, &machine::inventory(&bench)));
}

#[track_caller]
fn similar(before: &[String], after: &[String]) {
    let changed: Vec<&String> =
        after.iter().filter(|it| !before.contains(it)).chain(before.iter().filter(|it| !after.contains(it))).collect();
    assert!(changed.is_empty(), "changed: {changed:#?}");
}

#[test]
#[ignore = "long: `cargo xtask test --full` runs it"]
fn a_restore_that_breaks_anywhere_leaves_all_as_it_was() {
    let bench = Bench::new("dumps");
    bench.run(&["create", "--yes"]).ends_with(0);
    dumps::breaks::everywhere(&bench);
    bench.run(&["delete", "--yes"]).ends_with(0);
}

#[test]
#[ignore = "long: `cargo xtask test --full` runs it"]
fn a_worker_answers_through_queue_and_database() {
    queue::a_worker_answers_through_queue_and_database(&Bench::new("queue"));
}

#[test]
fn secrets_are_in_their_homes_alone() {
    let bench = Bench::new("canary");
    canaries::are_in_their_homes_alone(&bench);
    bench.run(&["delete", "--yes"]).ends_with(0);
}

#[test]
fn requirements_follow_the_image_and_pips_settings() {
    let bench = Bench::new("pins");
    requirements::follow_the_image_and_pips_settings(&bench);
}

#[test]
fn a_durable_database_loses_no_acknowledged_vote() {
    let bench = Bench::new("durable");
    durable::loses_nothing(&bench, &["postgres", "node"], "1");
    durable::changes(&bench);
    bench.step("delete takes every node away", || {
        bench.run(&["delete", "--yes"]).ends_with(0);
        assert_eq!(bench.traces(), Vec::<String>::new());
    });
}

#[test]
fn a_database_has_its_extensions_and_backups_and_moves_to_the_next_version() {
    let bench = Bench::new("versions");
    versions::have_what_is_named(&bench);
    backup::are_kept(&bench, &versions::settings());
    versions::is_red_with_a_full_volume(&bench);
    versions::move_on(&bench);
}

#[test]
#[ignore = "long: `cargo xtask test --full` runs it"]
fn what_a_database_acknowledged_survives_many_kills() {
    let bench = Bench::new("kills");
    durable::loses_nothing(&bench, &["pod", "postgres", "node", "partition"], "5");
    bench.run(&["delete", "--yes"]).ends_with(0);
    durable::survives_crashes(&bench);
}

#[test]
fn delete_leaves_no_image_but_those_of_other_instances() {
    leftovers::only_the_images_of_others_stay(&Bench::new("left"));
}

#[test]
fn a_front_door_leads_to_every_service() {
    front_door::opens(&Bench::new("door"));
}

#[test]
fn a_controller_that_the_cluster_has_serves_another_project() {
    let owner = Bench::new("landlord");
    owner.step("a cluster of another project's", || owner.run(&["create", "--yes"]).ends_with(0).code);
    let registry = registry::Registry::empty(&owner);
    behind::serves(&owner, &registry);
    owner.step("delete takes it away", || {
        owner.run(&["delete", "--yes"]).ends_with(0);
        assert_eq!(owner.traces(), Vec::<String>::new());
    });
}

#[test]
fn a_private_base_image_is_had_with_dockers_credentials() {
    private::images_are_built_from_a_private_one(&Bench::new("private"));
}

#[test]
fn a_cluster_on_eks_comes_up_and_goes() {
    cloud::Ground::of_aws().comes_up_and_goes("eks");
}

#[test]
#[ignore = "long: `cargo xtask test --full` compiles Terraform for it"]
fn a_cluster_on_eks_comes_up_and_goes_where_only_terraform_is_installed() {
    cloud::Ground::of_aws().comes_up_and_goes_by(sky::Reader::Terraform, "eks");
}

#[test]
#[ignore = "long: `cargo xtask test --full` runs it"]
fn clusters_on_aks_and_gke_come_up_and_go() {
    let ground = cloud::Ground::new();
    for kind in ["aks", "gke"] {
        ground.comes_up_and_goes(kind);
    }
}

#[test]
fn upstream_images_come_from_a_registry_that_answers() {
    from_registry::comes_up(false);
}

#[test]
#[ignore = "long: `cargo xtask test --full` runs it"]
fn exported_files_come_up_without_the_tool() {
    from_registry::comes_up(true);
}

#[test]
fn a_run_that_is_stopped_goes_on_and_two_checkouts_live_side_by_side() {
    let bench = Bench::new("stop");
    let url = bench.step("a create that is stopped in each of its tasks goes on from there", || {
        interruption::create_goes_on_from_wherever_it_was_stopped(&bench)
    });
    bench.step("a plan after an edit is applied as it is, or refused", || {
        interruption::a_plan_after_an_edit_names_the_file_and_is_applied_or_refused(&bench);
    });
    bench.step("two checkouts at once", || {
        interruption::two_checkouts_do_not_collide(&bench, &Bench::new("two"), &url);
    });
    bench.step("delete takes it away", || {
        bench.run(&["delete", "--yes"]).ends_with(0);
        assert_eq!(bench.traces(), Vec::<String>::new());
    });
}

#[test]
fn a_run_that_is_killed_is_finished_by_the_same_command() {
    let killed = killed::everything_goes_on(&Bench::new("kill"));
    assert!(killed >= 12, "{killed}");
}

#[test]
#[ignore = "long: `cargo xtask test --full` runs it"]
fn a_run_that_is_killed_at_any_moment_is_finished_by_the_same_command() {
    killed::at_random(&Bench::new("any"), 200);
}

#[test]
#[ignore = "long: `cargo xtask test --full` runs it"]
fn the_whole_again_and_again_leaves_nothing() {
    soak::leaves_nothing(&Bench::new("soak"), 10, 200);
}

#[test]
#[ignore = "long: `cargo xtask test --full` runs it"]
fn examples_come_up_from_their_files_alone() {
    examples::come_up_from_their_files_alone(&Bench::new("host"));
}
