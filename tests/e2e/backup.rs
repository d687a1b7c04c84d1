//! `db backup`: to a folder and to an S3-compatible store, and back.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{bench::Bench, emulator::Emulator};

/// `settings` are those of the instance without `[database.backup]`.
pub(crate) fn are_kept(bench: &Bench, settings: &str) {
    bench.sql("CREATE TABLE backed (n int); INSERT INTO backed VALUES (7); ALTER TABLE backed OWNER TO polls");
    bench.step("a folder keeps the newest backups of the instance, and every other file", || {
        bench.configure(&format!("{settings}[database.backup]\nto = \"kept/here\"\nkeep = 2\n"));
        let folder = bench.path("kept/here");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("mine.dump"), "mine").unwrap();
        let places: Vec<String> = (0..3).map(|_| bench.run(&["db", "backup"]).ends_with(0).stdout.trim_end().to_owned()).collect();
        let mut names: Vec<String> = fs::read_dir(&folder).unwrap().map(|it| it.unwrap().path().display().to_string()).collect();
        names.sort();
        let mut expected = vec![places[1].clone(), places[2].clone(), folder.join("mine.dump").display().to_string()];
        expected.sort();
        assert_eq!(names, expected);
        assert!(bench.run(&["db", "ls"]).ends_with(0).stdout.contains(&places[2]));
        bench.sql("DELETE FROM backed");
        bench.run(&["db", "restore", "--yes", &places[2]]).ends_with(0);
        assert_eq!(bench.sql("SELECT n FROM backed").trim(), "7");
    });

    bench.step("backups in intervals let other commands of the instance run, and end on Ctrl-C", || {
        let child = bench.start(&["db", "backup", "--every", "2s"]);
        let began = Instant::now();
        let newest =
            || bench.run(&["db", "ls"]).stdout.lines().rfind(|it| it.contains("kept/here") && it.ends_with("Z.dump")).map(str::to_owned);
        let first = newest();
        while newest() == first {
            assert!(began.elapsed() < Duration::from_secs(60), "no backup was made");
        }
        bench.run(&["create", "--yes"]).ends_with(0);
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    });

    bench.step("an S3-compatible store keeps them too, and gives them back", || {
        let emulator = Emulator::start();
        let run = |arguments: &[&str]| bench.ran(emulator.over(&mut bench.command(arguments)));
        bench.configure(&format!("{settings}[database.backup]\nto = \"s3://backups/polls\"\nkeep = 1\n"));
        run(&["db", "backup"]).ends_with(4).says("bucket backups does not exist");
        let made = emulator.over(&mut Command::new("aws")).args(["s3", "mb", "s3://backups"]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let first = run(&["db", "backup"]).ends_with(0).stdout.trim_end().to_owned();
        let second = run(&["db", "backup"]).ends_with(0).stdout.trim_end().to_owned();
        assert!(second.starts_with("s3://backups/polls/"), "{second}");
        let listed = run(&["db", "ls"]).stdout.clone();
        assert!(listed.contains(&second) && !listed.contains(&first), "{listed}");
        bench.sql("DELETE FROM backed");
        run(&["db", "restore", "--yes", &second]).ends_with(0);
        assert_eq!(bench.sql("SELECT n FROM backed").trim(), "7");
        assert!(bench.run(&["status"]).ends_with(0).stdout.contains("last snapshot"));
        run(&["drill", "restore", &second]).ends_with(0).says("rows came back");
        for command in [&["db", "restore", "--dry-run"][..], &["drill", "restore", "--dry-run"]] {
            let would = run(&[command, &[&second]].concat()).ends_with(0).stdout.clone();
            assert!(would.contains(&second), "{would}");
            run(&[command, &[&first]].concat()).ends_with(2).says("does not exist");
        }
        run(&["create", "--yes", "--restore", &second]).ends_with(2).says("--restore needs a new instance");
    });
    bench.configure(settings);
}
