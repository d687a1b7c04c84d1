//! Changes by hand in the staged tree, and the last patch, which is applied alone.

use std::fs;

use crate::{
    patches::{SOURCE, STAGED},
    queue::{long, of_three, staged},
    support::{Ran, content},
};

#[test]
fn changes_by_hand_in_the_staged_tree_are_kept_until_a_patch_has_them() {
    let project = of_three();
    project.run(&["patch"]).ends_with(0);
    let file = format!("{STAGED}/text.txt");
    project.write(&file, &long(&[(2, "two"), (20, "twenty"), (30, "by hand"), (38, "end")]));
    project.write(&format!("{STAGED}/more/new.txt"), "new\n");
    // Caches are nobody's work.
    project.write(&format!("{STAGED}/__pycache__/x.pyc"), "x");
    let changed = content(&project.root.join(STAGED));
    let refused = |ran: &Ran| {
        ran.ends_with(1).says("error[E0219]").says("more/new.txt is new\n  text.txt changed").says("cargo xtask patch new");
        assert!(!ran.stderr.contains("pycache/x.pyc is"), "{}", ran.stderr);
    };
    refused(&project.run(&["patch"]));
    // Also when the source has changed.
    project.write(&format!("{SOURCE}/manage.py"), "import django\n");
    refused(&project.run(&["patch"]));
    project.run(&["patch", "new", "x"]).ends_with(1).says("third_party/django-polls/manage.py changed");
    assert_eq!(content(&project.root.join(STAGED)), changed);
    project.write(&format!("{SOURCE}/manage.py"), "import django\nDEBUG = True\nlast = 1\n");
    let ran = project.run(&["patch", "new", "--dry-run"]);
    assert_eq!(ran.ends_with(0).stdout, "would make a patch of:\nmore/new.txt is new\ntext.txt changed\n");
    let ran = project.run(&["patch", "new", "Say it by hand"]);
    assert_eq!(ran.ends_with(0).stdout, "new        0004-Say-it-by-hand.patch\nunchanged  3 patches\n");
    project.run(&["patch"]).ends_with(0).says("skipped");
    assert_eq!(project.read(&file), long(&[(2, "two"), (20, "twenty"), (30, "by hand"), (38, "end")]));
    assert_eq!(project.read(&format!("{STAGED}/more/new.txt")), "new\n");
    project.run(&["patch", "new"]).ends_with(1).says("nothing was changed by hand in target/pocdeploy/app");
}

#[test]
fn changes_by_hand_are_discarded_on_request_only_and_a_killed_run_leaves_none() {
    let project = of_three();
    let whole = staged(&project);
    project.write(&format!("{STAGED}/text.txt"), "by hand");
    project.run(&["patch"]).ends_with(1);
    project.run(&["patch", "--discard"]).ends_with(0);
    assert_eq!(project.read(&format!("{STAGED}/text.txt")), whole);
    // A run that was killed after it replaced the tree, and before its record was complete.
    let record = project.root.join("target/pocdeploy/record/staged.json");
    let old = fs::read(&record).unwrap();
    fs::remove_file(project.root.join("build/patches/0003-end.patch")).unwrap();
    project.run(&["patch"]).ends_with(0);
    fs::rename(&record, record.with_file_name("staged.next.json")).unwrap();
    fs::write(&record, old).unwrap();
    fs::remove_file(project.root.join("build/patches/0002-middle.patch")).unwrap();
    assert_eq!(staged(&project), long(&[(2, "two")]));
}

#[test]
fn a_file_that_a_loss_of_power_emptied_is_nobodys_work() {
    let project = of_three();
    let whole = staged(&project);
    let file = format!("{STAGED}/text.txt");
    for left in ["", "\0\0\0"] {
        project.write(&file, left);
        project.run(&["patch"]).ends_with(0);
        assert_eq!(project.read(&file), whole);
    }
    project.write(&file, "");
    project.write(&format!("{STAGED}/manage.py"), "by hand\n");
    project.run(&["patch"]).ends_with(1).says("error[E0219]").says("manage.py changed\n  text.txt changed");
    assert_eq!(project.read(&format!("{STAGED}/manage.py")), "by hand\n");
}

#[test]
fn a_changed_last_patch_is_applied_alone() {
    let project = of_three();
    staged(&project);
    let applied = || -> Vec<String> {
        let log = fs::canonicalize(project.root.join("target/pocdeploy/log")).unwrap().join("patch.log");
        let text = fs::read_to_string(log).unwrap_or_default();
        text.lines().filter(|it| it.contains("git apply --whitespace")).map(str::to_owned).collect()
    };
    let last = "build/patches/0003-end.patch";
    let text = project.read(last);
    for (end, expected) in [("END", "END"), ("Z", "Z")] {
        project.write(last, &text.replace("+end", &format!("+{end}")));
        assert_eq!(staged(&project), long(&[(2, "two"), (20, "twenty"), (38, expected)]));
        assert_eq!(applied().len(), 1, "{:?}", applied());
        assert!(applied()[0].ends_with("/step"), "{:?}", applied());
    }
    // One more is applied alone, too; and a file that only the last patch made goes with it.
    let made = "--- /dev/null\n+++ b/deep/er/new.txt\n@@ -0,0 +1 @@\n+new\n";
    project.write("build/patches/0004-new.patch", made);
    staged(&project);
    assert_eq!(applied().len(), 1);
    project.write("build/patches/0004-new.patch", &made.replace("deep/er/new", "other"));
    staged(&project);
    assert!(!project.root.join(STAGED).join("deep").exists());
    assert_eq!(project.read(&format!("{STAGED}/other.txt")), "new\n");
    // An earlier one: all are applied, in one call.
    project.write("build/patches/0001-top.patch", &project.read("build/patches/0001-top.patch").replace("+two", "+zwei"));
    assert_eq!(staged(&project), long(&[(2, "zwei"), (20, "twenty"), (38, "Z")]));
    assert_eq!(applied().len(), 2, "{:?}", applied());
}
