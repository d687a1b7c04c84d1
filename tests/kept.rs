//! What a person wrote is kept, and what no patch can hold is refused before anything is written.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use crate::{
    patches::{SOURCE, STAGED, commit, git},
    queue::{EDIT, long, names, of_three, patches},
    support::{Project, content},
    upstream::with_versions,
};

/// The repository of `patch edit` of a project.
fn opened(project: &Project) -> PathBuf {
    project.run(&["patch", "edit"]).ends_with(0);
    project.root.join(EDIT)
}

#[test]
fn text_in_any_encoding_comes_back_byte_for_byte() {
    let project = of_three();
    fs::write(project.root.join(SOURCE).join("latin.txt"), b"caf\xe9\nx\n").unwrap();
    let work = opened(&project);
    fs::write(work.join("latin.txt"), b"caf\xe9\nx \xfc\n").unwrap();
    commit(&work, "Latin");
    project.run(&["patch", "refresh"]).ends_with(0);
    project.run(&["patch"]).ends_with(0);
    assert_eq!(fs::read(project.root.join(STAGED).join("latin.txt")).unwrap(), b"caf\xe9\nx \xfc\n");
    let mode = fs::metadata(project.root.join("build/patches/0004-Latin.patch")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    // Through an update and the mailbox, too.
    let project = with_versions(&[]);
    for folder in ["versions/1", "versions/2", SOURCE] {
        fs::write(project.root.join(folder).join("latin.txt"), b"caf\xe9\nx\n").unwrap();
    }
    let work = opened(&project);
    fs::write(work.join("latin.txt"), b"caf\xe9\ny\n").unwrap();
    commit(&work, "Latin");
    project.run(&["patch", "refresh"]).ends_with(0);
    project.run(&["upstream", "update", "2"]).ends_with(0);
    project.run(&["patch"]).ends_with(0);
    assert_eq!(fs::read(project.root.join(STAGED).join("latin.txt")).unwrap(), b"caf\xe9\ny\n");
    let out = project.command(&["patch", "export", "Latin"]).output().unwrap();
    assert!(out.stdout.windows(4).any(|it| it == b"caf\xe9"), "{}", String::from_utf8_lossy(&out.stdout));
}

/// What a person does in the repository.
type Change<'a> = &'a dyn Fn(&Path);

#[test]
fn a_commit_that_no_patch_can_hold_is_refused_and_nothing_is_written() {
    let quoted = "Quote a change\n\ndiff --git a/manage.py b/manage.py\n--- a/manage.py\n+++ b/manage.py\n@@ -1,3 +1,3 @@\n import django\n-DEBUG = True\n+DEBUG = 7\n last = 1\n";
    let changes: [(&str, Change<'_>); 3] = [
        ("a diff in the message", &|work| {
            fs::write(work.join("more.txt"), "more\n").unwrap();
            commit(work, quoted);
        }),
        ("line ends alone", &|work| {
            fs::write(work.join("text.txt"), fs::read_to_string(work.join("text.txt")).unwrap().replace('\n', "\r\n")).unwrap();
            commit(work, "Line ends");
        }),
        ("a new link", &|work| {
            symlink("text.txt", work.join("link.txt")).unwrap();
            commit(work, "Link");
        }),
    ];
    for (what, change) in changes {
        let project = of_three();
        let work = opened(&project);
        change(&work);
        let before = patches(&project);
        project.run(&["patch", "refresh"]).ends_with(1).says("the patch files would not make what the commits in");
        assert_eq!(patches(&project), before, "{what}");
        assert_eq!(git(&work, &["rev-list", "--count", "HEAD"]).trim(), "5", "{what}");
    }
}

#[test]
fn another_commit_than_the_queues_end_drops_nothing() {
    let project = of_three();
    let work = opened(&project);
    let before = patches(&project);
    git(&work, &["checkout", "--quiet", "HEAD~2"]);
    project.run(&["patch", "refresh"]).ends_with(1).says("is not on the branch `queue`");
    git(&work, &["checkout", "--quiet", "-b", "feature"]);
    fs::write(work.join("new.txt"), "new\n").unwrap();
    commit(&work, "Feature");
    project.run(&["patch", "refresh"]).ends_with(1).says("is not on the branch `queue`");
    assert_eq!(patches(&project), before);
    git(&work, &["checkout", "--quiet", "queue"]);
    // The branch is work, also when the project changes.
    project.write(&format!("{SOURCE}/more.txt"), "more\n");
    project.run(&["patch", "edit"]).ends_with(1).says("the branch `feature`, which is not in the patches");
    git(&work, &["branch", "--quiet", "-D", "feature"]);
    fs::write(work.join("text.txt"), "stashed\n").unwrap();
    git(&work, &["stash", "--quiet"]);
    project.run(&["patch", "edit"]).ends_with(1).says("has a stash");
    git(&work, &["stash", "drop", "--quiet"]);
    project.run(&["patch", "edit"]).ends_with(0);
    // What no check sees is there once more.
    assert!(project.root.join("target/pocdeploy/edit/frontend.before/.git").exists());
}

/// A project whose update waits for a person, with text in `file` of version 2.
fn waiting() -> Project {
    let project = with_versions(&[(20, "vingt")]);
    project.run(&["upstream", "update", "2"]).ends_with(1).says("both change the same lines");
    project
}

#[test]
fn an_update_goes_on_only_from_where_it_stopped() {
    let project = waiting();
    let kept = || [content(&project.root.join("third_party")), patches(&project)].concat();
    let before = kept();
    let work = project.root.join(EDIT);
    let resolved = long(&[(2, "two"), (20, "both")]);
    // Ended by hand.
    git(&work, &["rebase", "--abort"]);
    project.run(&["upstream", "update", "--continue"]).ends_with(1).says("are not moved: the rebase was ended by hand");
    assert_eq!(kept(), before);
    project.run(&["upstream", "update", "--abort"]).ends_with(0);
    // Left in the middle.
    project.run(&["upstream", "update", "2"]).ends_with(1);
    fs::write(work.join("moved/text.txt"), &resolved).unwrap();
    git(&work, &["add", "--all"]);
    git(&work, &["rebase", "--quit"]);
    git(&work, &["reset", "--quiet", "--hard"]);
    project.run(&["upstream", "update", "--continue"]).ends_with(1).says("are not moved");
    project.run(&["upstream", "update", "--abort"]).ends_with(0);
    // Added with the marks in it.
    project.run(&["upstream", "update", "2"]).ends_with(1);
    git(&work, &["add", "--all"]);
    project.run(&["upstream", "update", "--continue"]).ends_with(1).says("moved/text.txt: it has marks of the merge");
    // With one mark left.
    let text = fs::read_to_string(work.join("moved/text.txt")).unwrap();
    fs::write(
        work.join("moved/text.txt"),
        text.lines().filter(|it| !it.starts_with("<<<<<<< ")).map(|it| format!("{it}\n")).collect::<String>(),
    )
    .unwrap();
    project.run(&["upstream", "update", "--continue"]).ends_with(1).says("moved/text.txt: it has marks of the merge");
    // The project changed meanwhile: source, then a patch.
    fs::write(work.join("moved/text.txt"), &resolved).unwrap();
    let manage = project.read(&format!("{SOURCE}/manage.py"));
    project.write(&format!("{SOURCE}/manage.py"), "by hand\n");
    project.run(&["upstream", "update", "--continue"]).ends_with(1).says("third_party/django-polls has changed since the rebase began");
    project.write(&format!("{SOURCE}/manage.py"), &manage);
    let patch = project.read("build/patches/0003-end.patch");
    project.write("build/patches/0003-end.patch", &patch.replace("+end", "+END"));
    project.run(&["upstream", "update", "--continue"]).ends_with(1).says("0003-end.patch has changed since the rebase began");
    project.write("build/patches/0003-end.patch", &patch);
    assert_eq!(kept(), before);
    project.run(&["upstream", "update", "--continue"]).ends_with(0);
    project.run(&["patch"]).ends_with(0);
    assert_eq!(project.read(&format!("{STAGED}/moved/text.txt")), long(&[(2, "two"), (20, "both"), (38, "end")]));
}

#[test]
fn a_conflict_in_a_binary_file_is_a_persons_to_decide() {
    let project = with_versions(&[]);
    for folder in ["versions/1", "versions/2", SOURCE] {
        fs::write(project.root.join(folder).join("logo.png"), [0, 1, 2, 3]).unwrap();
    }
    let work = opened(&project);
    fs::write(work.join("logo.png"), [0, 9, 9, 9]).unwrap();
    commit(&work, "Logo");
    project.run(&["patch", "refresh"]).ends_with(0);
    fs::write(project.root.join("versions/2/logo.png"), [0, 7, 7]).unwrap();
    project.run(&["upstream", "update", "2"]).ends_with(1).says("logo.png: both change it, and it is no text");
    project.run(&["upstream", "update", "--continue"]).ends_with(1).says("logo.png: both change it");
    fs::write(work.join("logo.png"), [0, 9, 7]).unwrap();
    git(&work, &["add", "logo.png"]);
    project.run(&["upstream", "update", "--continue"]).ends_with(0);
    project.run(&["patch"]).ends_with(0);
    assert_eq!(fs::read(project.root.join(STAGED).join("logo.png")).unwrap(), [0, 9, 7]);
}

#[test]
fn a_persons_files_inside_the_source_stop_an_update() {
    for name in ["db.sqlite3", ".hg/store", "api.key"] {
        let project = with_versions(&[]);
        project.write(&format!("{SOURCE}/{name}"), "mine\n");
        fs::set_permissions(project.root.join(SOURCE).join(name), fs::Permissions::from_mode(0o600)).unwrap();
        project.write("Pocdeploy.toml", &format!("[frontend.secrets]\nAPI_KEY = {{ file = \"{SOURCE}/api.key\" }}\n"));
        project.write(&format!("{SOURCE}/node_modules/x/index.js"), "can be made again\n");
        let first = name.split('/').next().unwrap();
        for more in [&[][..], &["--dry-run"], &["--force"]] {
            let ran = project.run(&[&["upstream", "update", "2"], more].concat());
            ran.ends_with(3).says("files that are not upstream's, and an update would remove them:").says(first);
        }
        assert_eq!(project.read(&format!("{SOURCE}/{name}")), "mine\n");
    }
}

#[test]
fn changes_by_hand_become_a_patch_in_the_way_that_the_error_says() {
    let project = with_versions(&[]);
    project.write(&format!("{SOURCE}/manage.py"), "import django\nDEBUG = True\nlast = 1\nby = \"hand\"\n");
    project.run(&["upstream", "update", "2"]).ends_with(1).says("upstream diff > build/patches/0000-local.patch");
    let text = project.run(&["upstream", "diff"]).ends_with(0).stdout.clone();
    project.write("build/patches/0000-local.patch", &text);
    project.run(&["upstream", "update", "2", "--force"]).ends_with(0);
    assert!(names(&project).contains(&"0000-local.patch".to_owned()), "{:?}", names(&project));
    project.run(&["patch"]).ends_with(0);
    assert!(project.read(&format!("{STAGED}/manage.py")).ends_with("by = \"hand\"\n"));
}

#[test]
fn a_new_patch_takes_no_name_that_is_in_use() {
    let project = of_three();
    project.write("build/patches/series", "0001-top.patch\n0002-middle.patch\n0003-end.patch\n# 0004-Fix.patch\n");
    project.write("build/patches/0004-Fix.patch", "not in the queue\n");
    project.write("build/patches/18446744073709551615-x.patch", "not in the queue\n");
    let work = opened(&project);
    fs::write(work.join("new.txt"), "new\n").unwrap();
    commit(&work, "Fix");
    project.run(&["patch", "refresh"]).ends_with(0);
    assert_eq!(project.read("build/patches/0004-Fix.patch"), "not in the queue\n");
    assert!(project.read("build/patches/0005-Fix.patch").contains("+++ b/new.txt"));
}

#[test]
fn a_removed_file_is_a_change_that_a_patch_can_hold() {
    let project = of_three();
    project.run(&["patch"]).ends_with(0);
    fs::remove_file(project.root.join(STAGED).join("manage.py")).unwrap();
    project.run(&["patch", "new", "Without manage.py"]).ends_with(0);
    project.run(&["patch"]).ends_with(0);
    assert!(!project.root.join(STAGED).join("manage.py").exists());
}

#[test]
fn the_environments_repository_is_not_touched() {
    let project = with_versions(&[]);
    let repository = project.root.join("repository");
    fs::create_dir(&repository).unwrap();
    git(&repository, &["init", "--quiet"]);
    fs::write(repository.join("manage.py"), "v2\n").unwrap();
    commit(&repository, "two");
    git(&repository, &["tag", "v2"]);
    fs::remove_dir_all(project.root.join("build/patches")).unwrap();
    git(&project.root, &["init", "--quiet"]);
    git(&project.root, &["add", "Pocdeploy.toml"]);
    commit(&project.root, "mine");
    let head = git(&project.root, &["rev-parse", "HEAD"]);
    let mut command = project.command(&["upstream", "update", "v2", "--from", "git:repository", "--force"]);
    let out = command.env("GIT_DIR", project.root.join(".git")).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(git(&project.root, &["rev-parse", "HEAD"]), head);
    assert_ne!(git(&project.root, &["rev-parse", "--abbrev-ref", "HEAD"]).trim(), "HEAD");
    assert_eq!(project.read(&format!("{SOURCE}/manage.py")), "v2\n");
}

#[test]
fn a_source_that_is_a_link_to_a_folder_is_staged() {
    let project = of_three();
    fs::rename(project.root.join(SOURCE), project.root.join("elsewhere")).unwrap();
    symlink(project.root.join("elsewhere"), project.root.join(SOURCE)).unwrap();
    project.run(&["patch"]).ends_with(0);
    assert_eq!(project.read(&format!("{STAGED}/text.txt")), long(&[(2, "two"), (20, "twenty"), (38, "end")]));
}
