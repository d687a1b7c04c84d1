//! Extensions of PostgreSQL, and a newer major version, on a real cluster.

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    bench::{Bench, Ran},
    emulator::Emulator,
};

const FRONTEND: &str = "[frontend]\ntext = \"Polls\"\nreplicas = 1\n";
const SEVENTEEN: &str = "[database]\nextensions = [\"pg_trgm\", \"pg_stat_statements\"]\n";
const EIGHTEEN: &str = "[database]\nversion = 18\nextensions = [\"pg_trgm\", \"pg_stat_statements\", \"vector\"]\n";

/// The first configuration.
pub(crate) fn settings() -> String {
    format!("{FRONTEND}{SEVENTEEN}")
}

fn extensions(bench: &Bench) -> Vec<String> {
    bench.sql("SELECT extname FROM pg_extension ORDER BY extname").lines().map(|it| it.trim().to_owned()).collect()
}

pub(crate) fn major(bench: &Bench) -> String {
    bench.sql("SELECT current_setting('server_version_num')::int / 10000").trim().to_owned()
}

/// Names and restarts of the application's pods.
fn pods(bench: &Bench) -> String {
    let columns = "custom-columns=n:.metadata.uid,r:.status.containerStatuses[0].restartCount";
    bench.kubectl(&format!("-n polls get pods -l app.kubernetes.io/name=polls,app.kubernetes.io/component=frontend -o {columns}"))
}

/// Waits for something, and fails with the words after the limit.
fn until(what: &str, limit: Duration, is_so: &mut dyn FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < limit, "{what}");
        thread::sleep(Duration::from_millis(500));
    }
}

pub(crate) fn have_what_is_named(bench: &Bench) {
    bench.configure(&settings());
    bench.step("the database has the extensions that are named, and counts statements", || {
        bench.run(&["create", "--yes"]).ends_with(0);
        assert_eq!(extensions(bench), ["pg_stat_statements", "pg_trgm", "plpgsql"]);
        assert_ne!(bench.sql("SELECT count(*) FROM pg_stat_statements").trim(), "0");
        bench.run(&["validate"]).ends_with(0);
        assert!(bench.run(&["create", "--yes"]).ends_with(0).stderr.contains("nothing to do"), "a second run changed something");
    });
}

/// A volume of its own size: the node's volumes are folders of this machine's disk, which no test fills.
pub(crate) fn is_red_with_a_full_volume(bench: &Bench) {
    let node = |script: &str| bench.engine().exec(&bench.node(), &["sh", "-ec", script]).unwrap().ok("prepare the volume").unwrap();
    let hibernates = |value: &str| {
        bench.kubectl(&format!("-n polls annotate clusters.postgresql.cnpg.io polls-db --overwrite cnpg.io/hibernation={value}"));
    };
    let pods = || bench.kubectl("-n polls get pods -l cnpg.io/cluster=polls-db -o name");
    let until = |what: &str, is_so: &dyn Fn() -> bool| until(what, Duration::from_secs(180), &mut || is_so());
    bench.step("a volume that is nearly full is red, and green again with room", || {
        let volume = bench.kubectl("-n polls get pvc polls-db-1 -o jsonpath={.spec.volumeName}");
        let folder = bench.kubectl(&format!("get pv {} -o jsonpath={{.spec.hostPath.path}}{{.spec.local.path}}", volume.trim()));
        let folder = folder.trim();
        assert!(folder.starts_with("/var/"), "{folder}");
        hibernates("on");
        until("the database does not stop", &|| !pods().contains("pod/"));
        node(&format!("mv {folder} {folder}.kept; mkdir {folder}; mount -t tmpfs -o size=500m tmpfs {folder}; cp -a {folder}.kept/. {folder}/; chown --reference={folder}.kept {folder}; chmod --reference={folder}.kept {folder}"));
        hibernates("off");
        until("the database does not start", &|| bench.run(&["validate"]).code == 0);
        node(&format!("fallocate -l $(($(df --block-size=1 --output=avail {folder} | tail -1) - 20000000)) {folder}/filler"));
        let seen = bench.run(&["validate"]);
        seen.ends_with(5);
        assert!(seen.stdout.contains("MB left; PostgreSQL stops"), "{}", seen.stdout);
        let status = bench.run(&["status"]);
        assert!(status.stdout.contains("MB left"), "{} {}", status.code, status.stdout);
        node(&format!("rm {folder}/filler"));
        bench.run(&["validate"]).ends_with(0);
        hibernates("on");
        until("the database does not stop", &|| !pods().contains("pod/"));
        node(&format!("cp -a {folder}/. {folder}.kept/; umount {folder}; rmdir {folder}; mv {folder}.kept {folder}"));
        hibernates("off");
        until("the database does not start", &|| bench.run(&["validate"]).code == 0);
    });
}

pub(crate) fn move_on(bench: &Bench) {
    bench.sql("CREATE TABLE kept (word text); INSERT INTO kept SELECT 'word ' || n FROM generate_series(1, 1000) n");
    bench.sql("CREATE INDEX ON kept USING gin (word gin_trgm_ops); ALTER TABLE kept OWNER TO polls");
    let password = || bench.kubectl("-n polls get secret polls-db-app -o jsonpath={.data.password}");
    let before = (password(), pods(bench));
    bench.configure(&format!("{FRONTEND}{EIGHTEEN}"));

    bench.step("the plan names the upgrade", || {
        bench.run(&["plan"]).ends_with(0);
        let plan = bench.run(&["plan"]);
        assert!(plan.stdout.contains("PostgreSQL 17 becomes 18"), "{}", plan.stdout);
    });

    bench.step("an upgrade that would lose another database changes nothing", || {
        bench.sql("CREATE DATABASE precious");
        bench.run(&["update"]).ends_with(1).says("database precious");
        assert_eq!(major(bench), "17");
        assert_eq!(bench.sql("SELECT datconnlimit FROM pg_database WHERE datname = 'polls'").trim(), "-1");
        bench.sql("DROP DATABASE precious");
    });

    bench.step("an upgrade that is killed without its old database goes on", || {
        let mut child = bench.start(&["update"]);
        let began = Instant::now();
        while !bench.kubectl("-n polls get clusters.postgresql.cnpg.io -o name").trim().is_empty() {
            assert!(began.elapsed() < Duration::from_secs(600), "the old database is still there");
            assert!(child.try_wait().unwrap().is_none(), "the update ended before it could be killed");
            thread::sleep(Duration::from_millis(50));
        }
        // With a new database there, which is empty.
        while bench.kubectl("-n polls get clusters.postgresql.cnpg.io -o jsonpath={..status.readyInstances}").trim() != "1" {
            assert!(began.elapsed() < Duration::from_secs(600), "no new database");
            thread::sleep(Duration::from_millis(20));
        }
        kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
        child.wait().unwrap();
        if bench.sql("SELECT to_regclass('kept') IS NULL").trim() == "t" {
            assert_eq!(bench.sql("SELECT datconnlimit FROM pg_database WHERE datname = 'polls'").trim(), "0", "the empty database is open");
        }
        for command in [&["db", "snapshot"][..], &["delete", "--keep-database", "--yes"], &["clone", "other"]] {
            bench.run(command).ends_with(1).says("an upgrade from PostgreSQL 17 to 18 was interrupted");
        }
        assert!(bench.run(&["validate"]).ends_with(5).stdout.contains("was interrupted"));
        let began = Instant::now();
        bench.run(&["update"]).ends_with(0).says("the upgrade from PostgreSQL 17 goes on").says("the new server has the content");
        eprintln!("   from the kill to an answer: {:.1} s", began.elapsed().as_secs_f64());
    });

    bench.step("the new version has the content, the password and the new extension, and the pods are the same", || {
        assert_eq!(major(bench), "18");
        assert_eq!(bench.sql("SELECT count(*) FROM kept WHERE word LIKE '%word 99%'").trim(), "11");
        assert_eq!(extensions(bench), ["pg_stat_statements", "pg_trgm", "plpgsql", "vector"]);
        assert_eq!((password(), pods(bench)), before);
        assert_eq!(bench.sql("SELECT datconnlimit FROM pg_database WHERE datname = 'polls'").trim(), "-1");
        bench.run(&["validate"]).ends_with(0);
        bench.run(&["plan", "--detailed-exitcode"]).ends_with(0);
        let files: Vec<_> = fs::read_dir(bench.path("snapshots")).unwrap().map(|it| it.unwrap().file_name()).collect();
        let dumps: Vec<_> = files.iter().filter(|it| it.to_string_lossy().ends_with(".dump")).collect();
        assert!(!dumps.is_empty() && !dumps.iter().any(|it| it.to_string_lossy().contains("-kept")), "{dumps:?}");
    });

    bench.step("an extension that the image would lose stays in the list, or goes first", || {
        bench.configure(&format!("{FRONTEND}[database]\nversion = 18\nextensions = [\"pg_trgm\", \"pg_stat_statements\"]\n"));
        bench.run(&["update"]).ends_with(3).says("its image would lack them: vector");
        bench.configure(&format!("{FRONTEND}{EIGHTEEN}"));
        bench.run(&["validate"]).ends_with(0);
    });

    bench.step("restored content gets the extensions that it lacks", || {
        bench.sql("DROP EXTENSION vector");
        let file = bench.path("without.dump");
        bench.run(&["db", "snapshot", file.to_str().unwrap()]).ends_with(0);
        bench.run(&["db", "restore", "--yes", file.to_str().unwrap()]).ends_with(0);
        assert_eq!(extensions(bench), ["pg_stat_statements", "pg_trgm", "plpgsql", "vector"]);
        bench.run(&["validate"]).ends_with(0);
    });

    bench.step("there is no way back but by the snapshot, and the error says so", || {
        bench.configure(&settings());
        bench.run(&["update"]).ends_with(3).says("its files cannot go back").says("create --restore");
        bench.run(&["delete", "--yes"]).ends_with(0);
        // The snapshot of the closed database, into an open one of its version.
        let dump = fs::read_dir(bench.path("snapshots")).unwrap().map(|it| it.unwrap().path()).find(|it| {
            let name = it.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.ends_with("Z.dump")
        });
        let emulator = Emulator::start();
        let aws = |arguments: &[&str]| bench.ran(emulator.over(&mut Command::new("aws")).args(arguments)).ends_with(0).code;
        aws(&["s3", "mb", "s3://elsewhere"]);
        aws(&["s3", "cp", dump.unwrap().to_str().unwrap(), "s3://elsewhere/of/polls.dump"]);
        let create = ["create", "--yes", "--restore", "s3://elsewhere/of/polls.dump"];
        bench.ran(emulator.over(&mut bench.command(&create))).ends_with(0);
        assert_eq!(major(bench), "17");
        assert_eq!(bench.sql("SELECT count(*) FROM kept").trim(), "1000");
        bench.run(&["validate"]).ends_with(0);
    });

    bench.step("backups in intervals end with the instance", || {
        bench.configure(&format!("{}[database.backup]\nto = \"kept/here\"\n", settings()));
        let mut backups = bench.start(&["db", "backup", "--every", "1s"]);
        bench.run(&["delete", "--yes"]).ends_with(0);
        until("the backups go on", Duration::from_secs(120), &mut || backups.try_wait().unwrap().is_some());
        Ran::from(backups.wait_with_output().unwrap()).ends_with(5).says("backups end with it");
    });
}
