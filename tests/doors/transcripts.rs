//! The whole output of commands that inspect a running instance, see `support/transcript.rs`.

use expect_test::expect_file;

use crate::{transcript::Transcript, world::World};

#[test]
fn what_commands_show_of_an_instance_that_runs() {
    let world = World::new();
    world.create();
    let calls: [&[&str]; 10] = [
        &["url"],
        &["ls"],
        &["ls", "--output", "json"],
        &["history"],
        &["history", "--output", "json"],
        &["graph"],
        &["plan"],
        &["plan", "--detailed-exitcode"],
        &["rollback", "--dry-run"],
        &["delete", "--dry-run"],
    ];
    let mut out = Transcript::default();
    for call in calls {
        out.add(&world.project.root, call, &world.command(call).env("LC_ALL", "C.UTF-8").output().unwrap().into());
    }
    expect_file!["../transcripts/running.txt"].assert_eq(out.text());
}
