//! The patches against a source that was replaced: their state, and how they follow it.

use std::fs;

use crate::{
    patches::{SOURCE, STAGED, commit, git},
    queue::{EDIT, long, names, of_three, patch_of, patches},
    support::Project,
};

#[test]
fn the_state_of_each_patch_is_told() {
    let project = of_three();
    let ran = project.run(&["patch", "status"]);
    assert_eq!(ran.ends_with(0).stdout, "0001-top.patch     applies\n0002-middle.patch  applies\n0003-end.patch     applies\n");
    let both = patch_of(
        &project,
        "text.txt",
        &long(&[(2, "two"), (20, "twenty"), (38, "end")]),
        &long(&[(2, "two"), (8, "8"), (20, "twenty"), (30, "30"), (38, "end")]),
        "both",
    );
    project.write("build/patches/0004-both.patch", &both);
    // The source has the first one and a half of the last one, and contradicts the second one.
    project.write(&format!("{SOURCE}/text.txt"), &long(&[(2, "two"), (8, "8"), (20, "vingt")]));
    project.write("build/patches/notes.txt", "x");
    let ran = project.run(&["patch", "status"]);
    ran.ends_with(1)
        .says("3 of 5 patches do not apply: 0001-top.patch, 0002-middle.patch, 0004-both.patch")
        .says("cargo xtask patch rebase");
    for line in [
        "0001-top.patch     upstream\n",
        "0002-middle.patch  conflicts\n    patch 0002-middle.patch does not apply to text.txt, hunk 1 of 1 at line 17\n",
        "      - line 20\n",
        "      + vingt\n",
        "0003-end.patch     applies\n",
        "0004-both.patch    partly upstream: 1 of 2 changes\n",
        "notes.txt          unused\n",
    ] {
        assert!(ran.stdout.contains(line), "no {line:?} in\n{}", ran.stdout);
    }
    let ran = project.run(&["patch", "status", "--output", "json"]);
    let answer: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let states: Vec<&str> = answer["patches"].as_array().unwrap().iter().map(|it| it["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["upstream", "conflicts", "applies", "partly-upstream", "unused"]);
}

#[test]
fn an_unused_file_alone_is_an_error() {
    let project = of_three();
    project.write("build/patches/0004-x.patch.txt", "x");
    project.write("build/patches/0000-cover-letter.patch", "From: a <a@b.c>\nSubject: [PATCH 0/3] all\n\nBLURB\n");
    project.run(&["patch", "status"]).ends_with(1).says("files of build/patches are not applied: 0004-x.patch.txt");
}

/// Replaces the source after it was committed: moved, changed where `changed` says, and with the first patch's change in it.
fn replaced(project: &Project, changed: &[(usize, &str)]) {
    git(&project.root, &["init", "--quiet"]);
    commit(&project.root, "with the old source");
    let source = project.root.join(SOURCE);
    fs::remove_file(source.join("text.txt")).unwrap();
    project.write(&format!("{SOURCE}/moved/text.txt"), &long(changed));
}

#[test]
fn the_queue_follows_a_source_that_was_replaced_by_hand() {
    let project = of_three();
    project.run(&["patch", "rebase"]).ends_with(0).says("nothing to do: the patches apply to the source");
    replaced(&project, &[(2, "two"), (5, "five")]);
    let before = patches(&project);
    let ran = project.run(&["patch", "rebase", "--dry-run"]);
    assert!(ran.ends_with(0).stdout.starts_with("upstream   0001-top.patch: the new source has it, so it goes\n"), "{}", ran.stdout);
    assert_eq!(patches(&project), before);
    let ran = project.run(&["patch", "rebase"]);
    ran.ends_with(0).says("which applied to the source of commit ");
    for line in ["removed    0001-top.patch\n", "changed    0002-middle.patch\n", " !", " < -:"] {
        assert!(ran.stdout.contains(line), "no {line:?} in\n{}", ran.stdout);
    }
    assert!(project.read("build/patches/0003-end.patch").contains("+++ b/moved/text.txt"));
    project.run(&["patch"]).ends_with(0);
    assert_eq!(project.read(&format!("{STAGED}/moved/text.txt")), long(&[(2, "two"), (5, "five"), (20, "twenty"), (38, "end")]));
    project.run(&["patch", "rebase"]).ends_with(0).says("nothing to do");
}

#[test]
fn a_conflict_of_the_new_source_is_resolved_skipped_or_undone() {
    let project = of_three();
    replaced(&project, &[(2, "two"), (20, "vingt")]);
    let before = patches(&project);
    let stopped = |project: &Project| {
        let ran = project.run(&["patch", "rebase"]);
        ran.ends_with(1)
            .says("patch 0002-middle.patch conflicts with the new source:\n  moved/text.txt: both change the same lines (1 place)");
        ran.says(&format!("resolve the marked lines in {EDIT}, then: cargo xtask patch rebase --continue"));
    };
    stopped(&project);
    assert_eq!(patches(&project), before);
    for command in [
        &["patch", "rebase"][..],
        &["patch", "edit"],
        &["patch", "drop", "1"],
        &["patch", "refresh"],
        &["upstream", "update", "2", "--from", "folder:x"],
    ] {
        project.run(command).ends_with(1).says("a rebase of the patches waits");
    }
    project.run(&["patch", "rebase", "--continue"]).ends_with(1).says("are not resolved yet");
    project.run(&["patch", "rebase", "--abort"]).ends_with(0).says("the patches are as before");
    assert_eq!(patches(&project), before);
    project.run(&["patch", "rebase", "--abort"]).ends_with(2).says("nothing waits");
    stopped(&project);
    project.run(&["patch", "rebase", "--skip"]).ends_with(0);
    assert_eq!(names(&project), ["0003-end.patch"]);
    // Back, and resolved by a person.
    fs::remove_dir_all(project.root.join("build/patches")).unwrap();
    git(&project.root, &["checkout", "--quiet", "HEAD", "--", "build/patches"]);
    stopped(&project);
    fs::write(project.root.join(EDIT).join("moved/text.txt"), long(&[(2, "two"), (20, "both")])).unwrap();
    project.run(&["patch", "rebase", "--continue"]).ends_with(0);
    project.run(&["patch"]).ends_with(0);
    assert_eq!(project.read(&format!("{STAGED}/moved/text.txt")), long(&[(2, "two"), (20, "both"), (38, "end")]));
}

#[test]
fn without_a_known_old_source_nothing_is_guessed() {
    let project = of_three();
    project.write(&format!("{SOURCE}/text.txt"), &long(&[(20, "vingt")]));
    project.run(&["patch", "rebase"]).ends_with(1).says("no source is known to which all patches apply").says("cargo xtask patch status");
}
