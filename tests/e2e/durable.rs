//! `database.profile`, and what `drill failover` finds on a real cluster: no acknowledged vote is lost, unless a setting gives it away.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::bench::{Bench, Ran};

const FAST: &str = "[frontend]\ntext = \"Polls\"\nreplicas = 1\n";

fn drill(bench: &Bench, kill: &str, times: &str) -> Ran {
    bench.run(&["drill", "failover", "--yes", "--kill", kill, "--times", times, "--output", "json"])
}

fn result(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap()
}

/// Nothing of a drill is left.
fn clean(bench: &Bench) {
    assert_eq!(bench.kubectl("-n polls get pods --ignore-not-found pocdeploy-drill"), "");
    assert_eq!(bench.sql("SELECT count(*) FROM pg_database WHERE datname = 'pocdeploy-drill'").trim(), "0");
}

/// Each instance is on a node of its own.
pub(crate) fn loses_nothing(bench: &Bench, kills: &[&str], times: &str) {
    bench.configure(&format!("{FAST}[database]\nprofile = \"durable\"\n"));
    bench.step("durable has three instances, and a transaction waits for one of the replicas", || {
        bench.run(&["create", "--yes"]).ends_with(0);
        let seen = bench.run(&["validate"]);
        seen.ends_with(0);
        assert!(
            seen.stdout.contains("2 of 2 replicas in sync") && seen.stdout.contains("each transaction waits for one"),
            "{}",
            seen.stdout
        );
        assert!(seen.stdout.contains("3 on 3 nodes"), "{}", seen.stdout);
        bench.run(&["plan", "--detailed-exitcode"]).ends_with(0);
        let status = bench.run(&["status", "--output", "json"]);
        assert!(status.stdout.contains("\"sync\":\"quorum\""), "{}", status.stdout);
    });

    for kill in kills {
        bench.step(&format!("no acknowledged vote is lost when the primary is killed: {kill}"), || {
            let ran = drill(bench, kill, times);
            ran.ends_with(0);
            let found = result(&ran);
            let kills = found["kills"].as_array().unwrap();
            assert_eq!((kills.len().to_string(), &found["lost"]), (times.to_owned(), &serde_json::json!([])), "{found:#}");
            assert!(
                found["acknowledged"].as_u64().unwrap() >= 40 && kills.iter().all(|it| it["outage"].as_f64().unwrap() > 0.2),
                "{found:#}"
            );
            eprintln!("   {found}");
            clean(bench);
            bench.run(&["validate"]).ends_with(0);
        });
    }

    bench.step("Ctrl-C ends a drill, and leaves nothing of it", || {
        let child = bench.start(&["drill", "failover", "--yes", "--times", "50"]);
        let began = Instant::now();
        while !bench.kubectl("-n polls get pods --ignore-not-found pocdeploy-drill").contains("Running") {
            assert!(began.elapsed() < Duration::from_secs(60), "no vote was written");
        }
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
        clean(bench);
    });
}

/// A running instance changes its profile, in both directions.
pub(crate) fn changes(bench: &Bench) {
    bench.step("from durable to fast: one instance and one volume are left", || {
        bench.configure(FAST);
        bench.run(&["create", "--yes"]).ends_with(0);
        bench.run(&["validate"]).ends_with(0);
        assert_eq!(bench.kubectl("-n polls get pvc -o name").lines().count(), 1);
        assert_eq!(bench.sql("SHOW synchronous_standby_names").trim(), "");
    });

    bench.step("from fast to durable: every transaction that is written meanwhile ends", || {
        bench.configure(&format!("{FAST}[database]\nprofile = \"durable\"\n"));
        let child = bench.start(&["create", "--yes"]);
        let began = Instant::now();
        while bench.kubectl("-n polls get pods -l cnpg.io/podRole=instance -o name").lines().count() < 2 {
            assert!(began.elapsed() < Duration::from_secs(120), "no second instance");
            let written = Instant::now();
            bench.sql("CREATE TABLE IF NOT EXISTS meanwhile (); DROP TABLE meanwhile");
            assert!(written.elapsed() < Duration::from_secs(20), "a transaction waited {:?}", written.elapsed());
        }
        let created = child.wait_with_output().unwrap();
        assert_eq!(created.status.code(), Some(0), "{}", String::from_utf8_lossy(&created.stderr));
        assert!(bench.run(&["validate"]).ends_with(0).stdout.contains("each transaction waits for one"));
    });
}

pub(crate) fn is_found(bench: &Bench) {
    bench.step("a setting that acknowledges before the disk has it is found", || {
        bench.sql("ALTER ROLE polls SET synchronous_commit = off");
        // PostgreSQL writes such a vote after at most three times 200 ms (`wal_writer_delay`), so several kills meet one.
        let ran = drill(bench, "postgres", "5");
        bench.sql("ALTER ROLE polls RESET synchronous_commit");
        ran.ends_with(1).says("error[E0316]: lost: ");
        assert!(!result(&ran)["lost"].as_array().unwrap().is_empty());
    });
}

pub(crate) fn survives_crashes(bench: &Bench) {
    bench.configure(FAST);
    bench.run(&["create", "--yes"]).ends_with(0);
    bench.step("the only node cannot be lost", || {
        for kill in ["node", "partition"] {
            bench.run(&["drill", "failover", "--yes", "--kill", kill]).ends_with(4).says("which has to survive");
        }
        bench.run(&["validate"]).ends_with(0);
    });
    for kill in ["pod", "postgres"] {
        bench.step(&format!("one instance keeps what it acknowledged, twenty times: {kill}"), || {
            let ran = drill(bench, kill, "20");
            eprintln!("   {}", ran.stdout);
            ran.ends_with(0);
            assert_eq!(result(&ran)["lost"], serde_json::json!([]));
        });
    }
    is_found(bench);
}
