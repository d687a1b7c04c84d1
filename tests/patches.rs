//! Patch queues and sources in many forms, compared with the result of `git am` if possible.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use crate::support::{PATCH, Project, Ran, content};

pub(crate) const STAGED: &str = "target/pocdeploy/app";
pub(crate) const SOURCE: &str = "third_party/django-polls";

/// Runs git in a folder without this machine's settings.
pub(crate) fn git(folder: &Path, arguments: &[&str]) -> String {
    String::from_utf8_lossy(&git_bytes(folder, arguments)).into_owned()
}

fn git_bytes(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    #[expect(clippy::disallowed_methods, reason = "git is what the result is compared with")]
    let out = std::process::Command::new("git")
        .current_dir(folder)
        .args(["-c", "user.name=A", "-c", "user.email=a@example.invalid", "-c", "core.autocrlf=false"])
        .args(arguments)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", folder)
        .output()
        .unwrap();
    assert!(out.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

pub(crate) fn commit(folder: &Path, title: &str) {
    git(folder, &["add", "--all"]);
    git(folder, &["commit", "--quiet", "--allow-empty", "-m", title]);
}

/// Names and contents.
type Tree = Vec<(String, Vec<u8>)>;

/// Files with names relative to the folder, without git's own.
pub(crate) fn tree(folder: &Path) -> Tree {
    let prefix = format!("{}/", folder.display());
    let files = content(folder).into_iter().map(|(name, bytes)| (name.replace(&prefix, ""), bytes));
    files.filter(|(name, _)| !name.starts_with(".git/") && !name.starts_with(".gitconfig")).collect()
}

/// A project whose queue is the mails of a history that is made beside it, and the tree that the history ends with.
fn of_history(changes: impl FnOnce(&Path), options: &[&str]) -> (Project, Tree) {
    let project = Project::new();
    fs::remove_file(project.root.join("build/patches/0001-debug.patch")).unwrap();
    let work = project.root.join("history");
    fs::create_dir(&work).unwrap();
    git(&work, &["init", "--quiet"]);
    fs::copy(project.root.join(SOURCE).join("manage.py"), work.join("manage.py")).unwrap();
    commit(&work, "upstream");
    changes(&work);
    let mut arguments = vec!["format-patch", "--stdout"];
    arguments.extend(options);
    arguments.push("--root");
    arguments.push("HEAD");
    // Without the first commit, which is the source.
    arguments.push("^HEAD~7");
    arguments.retain(|it| *it != "--root");
    fs::write(project.root.join("build/patches/0001-all.patch"), git_bytes(&work, &arguments)).unwrap();
    let expected = tree(&work);
    (project, expected)
}

#[test]
fn a_mailbox_makes_the_tree_that_its_history_ends_with() {
    let changes = |work: &Path| {
        fs::write(work.join("extra.py"), "x = 1\n").unwrap();
        commit(work, "made");
        fs::write(work.join("extra.py"), "x = 2\n").unwrap();
        commit(work, "changed");
        fs::remove_file(work.join("extra.py")).unwrap();
        commit(work, "removed");
        git(work, &["mv", "manage.py", "run.py"]);
        commit(work, "renamed");
        fs::write(work.join("run.py"), "import django\nDEBUG = 5\nlast = 1\n").unwrap();
        fs::set_permissions(work.join("run.py"), fs::Permissions::from_mode(0o755)).unwrap();
        commit(work, "edited");
        fs::create_dir(work.join("ordner mit ä")).unwrap();
        fs::write(work.join("ordner mit ä/b c.py"), b"# \xe9\n").unwrap();
        commit(work, "a name with blanks, and Latin-1");
        fs::write(work.join("logo.png"), [0, 159, 146, 150, 10, 13, 10, 0]).unwrap();
        commit(work, "binary");
    };
    for options in [&[][..], &["--no-prefix"], &["--src-prefix=i/", "--dst-prefix=w/"], &["--attach"], &["--binary", "--full-index"]] {
        let (project, expected) = of_history(changes, options);
        project.run(&["patch"]).ends_with(0);
        assert_eq!(tree(&project.root.join(STAGED)), expected, "{options:?}");
        let mode = fs::metadata(project.root.join(STAGED).join("run.py")).unwrap().permissions().mode();
        assert_ne!(mode & 0o111, 0, "{options:?}");
        project.run(&["patch"]).ends_with(0).says("skipped");
    }
}

#[test]
fn a_mail_in_base64_or_quoted_printable_is_decoded() {
    let diff = PATCH.split("---\n").nth(1).unwrap().replace("DEBUG = False", "DEBUG = \"é\"");
    let base64 = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(format!("text\n---\n{diff}").replace('\n', "\r\n"))
    };
    let folded: Vec<&str> = base64.as_bytes().chunks(76).map(|it| std::str::from_utf8(it).unwrap()).collect();
    let quoted = format!("text\n---\n{}", diff.replace('=', "=3D").replace('é', "=C3=A9"));
    for (encoding, body) in [("base64", folded.join("\n")), ("quoted-printable", quoted)] {
        let project = Project::new();
        project.write(
            "build/patches/0001-debug.patch",
            &format!("From: A <a@example.invalid>\nSubject: [PATCH] x\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: {encoding}\n\n{body}\n"),
        );
        project.run(&["patch"]).ends_with(0);
        assert_eq!(project.read(&format!("{STAGED}/manage.py")), "import django\nDEBUG = \"é\"\nlast = 1\n", "{encoding}");
    }
}

/// `patch` and `git am` of the same mailbox on the same file; whether `git am` took it, and the trees of both.
fn beside_git_am(name: &str, mails: &[u8]) -> (Ran, bool, Tree, Tree) {
    let project = Project::new();
    fs::remove_file(project.root.join("build/patches/0001-debug.patch")).unwrap();
    let file = project.root.join("build/patches").join(name);
    fs::write(&file, mails).unwrap();
    let work = project.root.join("history");
    fs::create_dir(&work).unwrap();
    git(&work, &["init", "--quiet"]);
    fs::copy(project.root.join(SOURCE).join("manage.py"), work.join("manage.py")).unwrap();
    commit(&work, "upstream");
    let took = std::panic::catch_unwind(|| git(&work, &["am", "--quiet", file.to_str().unwrap()])).is_ok();
    let ran = project.run(&["patch"]);
    (ran, took, tree(&project.root.join(STAGED)), tree(&work))
}

/// The files of `tests/patches` are what StGit 0.19 (`stg mail --mbox`) and Mercurial 6.3.2 (`hg email --mbox`) wrote of the same two commits.
#[test]
fn mails_of_other_tools_make_what_git_am_makes_of_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("tests/patches");
    let mut names: Vec<String> = fs::read_dir(&folder).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names.len(), 6, "{names:?}");
    for name in names {
        let (ran, took, ours, theirs) = beside_git_am(&name, &fs::read(folder.join(&name)).unwrap());
        if name.contains("twice") {
            assert!(!took, "git am takes {name} by now");
            ran.ends_with(1).says("the mail holds the change twice, in its text and as an attachment");
        } else {
            ran.ends_with(0);
            assert!(took && ours == theirs && ours.len() == 2, "{name}: {ours:?}");
        }
    }
}

#[test]
fn a_mail_with_its_patch_as_a_part_or_in_flowed_text_makes_what_git_am_makes_of_it() {
    let change = |work: &Path| {
        for step in 1..=8 {
            fs::write(work.join("manage.py"), format!("import django\nDEBUG = {step}  \nlast = \"\u{fc}\"\n")).unwrap();
            commit(work, "changed: \u{e9}");
        }
    };
    for option in ["--attach", "--inline"] {
        let (project, expected) = of_history(change, &[option]);
        // The history's first change is the source's.
        project.write(&format!("{SOURCE}/manage.py"), "import django\nDEBUG = 1  \nlast = \"\u{fc}\"\n");
        project.run(&["patch"]).ends_with(0);
        assert_eq!(tree(&project.root.join(STAGED)), expected, "{option}");
    }
    // RFC 3676, 4.4: a line that begins with a blank gets another one before it; 4.1: one that ends with a blank goes on in the next.
    let flowed = |line: &str| {
        let mail = format!(
            "From: A <a@example.invalid>\nSubject: [PATCH] x\nDate: Fri, 27 Nov 2026 20:00:00 +0000\nMIME-Version: 1.0\n\
             Content-Type: text/plain; charset=UTF-8;\n format=flowed\n\n---\ndiff --git a/manage.py b/manage.py\n--- a/manage.py\n\
             +++ b/manage.py\n@@ -1,3 +1,3 @@\n  import django\n-DEBUG = True\n+{line}\n  last = 1\n"
        );
        beside_git_am("0001-x.patch", mail.as_bytes())
    };
    let (ran, took, ours, theirs) = flowed("DEBUG = False");
    ran.ends_with(0);
    assert!(took && ours == theirs && ours[0].1.ends_with(b"False\nlast = 1\n"), "{ours:?}");
    let (ran, took, ..) = flowed("DEBUG = False ");
    assert!(!took);
    ran.ends_with(1).says("`format=flowed`").says("git send-email");
}

#[test]
fn a_new_file_without_a_prefix_lands_where_it_names() {
    let project = Project::new();
    project.write(
        "build/patches/0002-extra.patch",
        "diff --git polls/extra.py polls/extra.py\nnew file mode 100644\n--- /dev/null\n+++ polls/extra.py\n@@ -0,0 +1 @@\n+x = 1\n",
    );
    project.run(&["patch"]).ends_with(0);
    assert_eq!(project.read(&format!("{STAGED}/polls/extra.py")), "x = 1\n");
    assert!(!project.root.join(STAGED).join("extra.py").exists());
}

#[test]
fn plain_diffs_one_behind_the_other_make_what_their_commits_made() {
    let edit = "diff --git a/manage.py b/manage.py\n--- a/manage.py\n+++ b/manage.py\n@@ -1,3 +1,3 @@\n import django\n-DEBUG = True\n+DEBUG = 4\n last = 1\n";
    let rename = "diff --git a/manage.py b/run.py\nsimilarity index 100%\nrename from manage.py\nrename to run.py\n";
    let project = Project::new();
    project.write("build/patches/0001-debug.patch", &format!("{edit}{rename}"));
    project.run(&["patch"]).ends_with(0);
    assert_eq!(project.read(&format!("{STAGED}/run.py")), "import django\nDEBUG = 4\nlast = 1\n");
    assert!(!project.root.join(STAGED).join("manage.py").exists());
}

#[test]
fn what_was_edited_or_named_so_that_something_would_be_lost_is_refused() {
    let surplus = format!("{PATCH}+LOST = 1\n");
    let prefix = "diff --git old-polls/n.py new-polls/n.py\nnew file mode 100644\n--- /dev/null\n+++ new-polls/n.py\n@@ -0,0 +1 @@\n+x\n";
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(PATCH.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    for (patch, code, said) in [
        (surplus.into_bytes(), 1, "is one more than its hunk's header counts: +LOST = 1"),
        (prefix.as_bytes().to_owned(), 1, "or a name under the prefix `new-polls/`"),
        (utf16, 3, "0001-debug.patch is UTF-16"),
    ] {
        let project = Project::new();
        fs::write(project.root.join("build/patches/0001-debug.patch"), patch).unwrap();
        project.run(&["patch"]).ends_with(code).says(said);
        assert!(!project.root.join(STAGED).exists());
    }
}

#[test]
fn no_setting_of_the_users_git_changes_the_staged_tree() {
    let plain = Project::new();
    plain.run(&["patch"]).ends_with(0);
    let expected = tree(&plain.root.join(STAGED));
    let settings = "[core]\n\tautocrlf = true\n\teol = crlf\n[apply]\n\twhitespace = error-all\n\tignorewhitespace = change\n[diff]\n\tnoprefix = true\n";
    for place in ["home/.gitconfig", "home/.config/git/config", "target/.gitconfig"] {
        let project = Project::new();
        project.write(place, settings);
        project.run(&["patch"]).ends_with(0);
        assert_eq!(tree(&project.root.join(STAGED)), expected, "{place}");
    }
    let project = Project::new();
    let mut command = project.command(&["patch"]);
    command.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "core.autocrlf").env("GIT_CONFIG_VALUE_0", "true");
    assert!(command.output().unwrap().status.success());
    assert_eq!(tree(&project.root.join(STAGED)), expected);
}

#[test]
fn a_changed_file_keeps_its_line_ends_whatever_the_patch_has() {
    for (source, patch) in [("\r\n", "\n"), ("\n", "\r\n"), ("\r\n", "\r\n")] {
        let project = Project::new();
        project.write(&format!("{SOURCE}/manage.py"), &"import django\nDEBUG = True\nlast = 1\n".replace('\n', source));
        project.write("build/patches/0001-debug.patch", &PATCH.replace('\n', patch));
        project.run(&["patch"]).ends_with(0);
        let expected = "import django\nDEBUG = False\nlast = 1\n".replace('\n', source);
        assert_eq!(project.read(&format!("{STAGED}/manage.py")), expected, "{source:?} {patch:?}");
    }
    let project = Project::new();
    project.write(&format!("{SOURCE}/manage.py"), "import django\r\nDEBUG = True\nlast = 1\n");
    project.run(&["patch"]).ends_with(1).says("1 of the file's 3 lines end with CRLF, the others with LF");
}

#[test]
fn what_the_queue_holds_besides_patches_is_named() {
    let project = Project::new();
    project.write(
        "build/patches/0000-cover-letter.patch",
        "From 1 Mon Sep 17 00:00:00 2001\nFrom: A <a@example.invalid>\nSubject: [PATCH 0/1] all\n\nwords\n",
    );
    project.write(
        "build/patches/0002-more.diff",
        "--- manage.py\n+++ manage.py\n@@ -1,3 +1,3 @@\n import django\n-DEBUG = False\n+DEBUG = 2\n last = 1\n",
    );
    project.write("build/patches/later/0003-x.patch", PATCH);
    project.write("build/patches/0004-x.patch.gz", "x");
    project
        .run(&["patch"])
        .ends_with(0)
        .says("0000-cover-letter.patch is a cover letter")
        .says("later/ is a folder: its files are not applied")
        .says("0004-x.patch.gz is not applied");
    assert!(project.read(&format!("{STAGED}/manage.py")).contains("DEBUG = 2"));
}

#[test]
fn modes_and_names_are_refused_with_any_prefix() {
    let new = |mode: &str| format!("diff --git a/x b/x\nnew file mode {mode}\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+x\n");
    let hostile = [
        (new("104755"), "which git does not know"),
        (new("020000"), "which git does not know"),
        (new("160000"), "is a submodule"),
        (
            "diff --git i/.git/hooks/x w/.git/hooks/x\nold mode 100644\nnew mode 100755\n".to_owned(),
            "`.git/hooks/x` is in git's own folder",
        ),
        (
            "diff --git .git/x .git/x\nnew file mode 100644\n--- /dev/null\n+++ .git/x\n@@ -0,0 +1 @@\n+x\n".to_owned(),
            "is in git's own folder",
        ),
        (
            "diff --git a/../x b/../x\nnew file mode 100644\n--- /dev/null\n+++ b/../x\n@@ -0,0 +1 @@\n+x\n".to_owned(),
            "is outside the application",
        ),
    ];
    assert!(hostile.len() >= 6);
    for (patch, said) in hostile {
        let project = Project::new();
        project.write("build/patches/0002-x.patch", &patch);
        project.run(&["patch"]).ends_with(1).says("patch 0002-x.patch is refused").says(said);
        assert!(!project.root.join(STAGED).exists());
    }
}

/// Every form in which a patch names a file, with this name.
fn forms(name: &str) -> Vec<(&'static str, String)> {
    let git = |rest: &str| format!("diff --git a/{name} b/{name}\n{rest}");
    let both = |from: &str, to: &str, word: &str| {
        format!("diff --git a/{from} b/{to}\nsimilarity index 100%\n{word} from {from}\n{word} to {to}\n")
    };
    let new = format!("--- /dev/null\n+++ b/{name}\n@@ -0,0 +1 @@\n+y\n");
    let changed = format!("--- a/{name}\n+++ b/{name}\n@@ -1 +1 @@\n-x\n+y\n");
    let good = "diff --git a/manage.py b/manage.py\n--- a/manage.py\n+++ b/manage.py\n@@ -1 +1 @@\n-import django\n+import django as it\n";
    // As git quotes a name: each byte in octal digits.
    let quoted: String = name.bytes().map(|it| format!("\\{it:03o}")).collect();
    vec![
        ("new", git(&format!("new file mode 100644\n{new}"))),
        ("new and empty", git("new file mode 100644\nindex 0000000..e69de29\n")),
        ("changed", git(&changed)),
        ("removed", git(&format!("deleted file mode 100644\n--- a/{name}\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"))),
        ("mode alone", git("old mode 100644\nnew mode 100755\n")),
        ("renamed to", both("manage.py", name, "rename")),
        ("renamed from", both(name, "y", "rename")),
        ("copied to", both("manage.py", name, "copy")),
        ("copied from", both(name, "y", "copy")),
        (
            "binary",
            git("new file mode 100644\nindex 0000000..e69de29\nGIT binary patch\nliteral 0\nHcmV?d00001\n\nliteral 0\nHcmV?d00001\n\n"),
        ),
        ("new, by diff", new.clone()),
        ("changed, by diff", changed.clone()),
        ("quoted", format!("diff --git \"a/{quoted}\" \"b/{quoted}\"\n--- \"a/{quoted}\"\n+++ \"b/{quoted}\"\n@@ -1 +1 @@\n-x\n+y\n")),
        ("after a good one", format!("{good}{}", git(&changed))),
        ("in a mail", format!("From: A <a@example.com>\nSubject: [PATCH] b\n\nc\n---\n{}-- \n2.39.5\n", git(&changed))),
    ]
}

#[test]
fn no_form_of_a_patch_leads_outside_the_application() {
    let project = Project::new();
    project.write("outside/x", "x\n");
    let outside = project.root.join("outside");
    symlink(&outside, project.root.join(SOURCE).join("link")).unwrap();
    let before = fs::read(project.root.join(SOURCE).join("manage.py")).unwrap();
    let absolute = outside.join("x").display().to_string();
    let (mut tried, mut wrong) = (0, Vec::new());
    for (name, why) in [
        ("../../outside/x", "is outside the application"),
        ("polls/../../../outside/x", "is outside the application"),
        (absolute.as_str(), "is an absolute path"),
        (".git/hooks/x", "is in git's own folder"),
        ("link/x", "goes through a symbolic link"),
    ] {
        for (form, patch) in forms(name) {
            tried += 1;
            project.write("build/patches/0002-x.patch", &patch);
            let ran = project.run(&["patch"]);
            let is_refused = ran.code == 1 && ran.stderr.contains("patch 0002-x.patch is refused") && ran.stderr.contains(why);
            let has_changed = fs::read(outside.join("x")).unwrap() != b"x\n" || fs::read_dir(&outside).unwrap().count() != 1;
            if !is_refused || has_changed || project.root.join(STAGED).exists() {
                wrong.push(format!("{form}, {name}: {}\n{}", ran.code, ran.stderr));
            }
        }
    }
    assert!(tried >= 75, "{tried}");
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n\n"));
    assert_eq!(fs::read(project.root.join(SOURCE).join("manage.py")).unwrap(), before);
}

#[test]
fn a_link_that_a_patch_replaces_by_a_file_gives_way() {
    let project = Project::new();
    symlink("/etc/hostname", project.root.join(SOURCE).join("settings.py")).unwrap();
    project.write(
        "build/patches/0002-file.patch",
        "diff --git a/settings.py b/settings.py\ndeleted file mode 120000\n--- a/settings.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-/etc/hostname\n\\ No newline at end of file\ndiff --git a/settings.py b/settings.py\nnew file mode 100644\n--- /dev/null\n+++ b/settings.py\n@@ -0,0 +1 @@\n+x = 1\n",
    );
    project.run(&["patch"]).ends_with(0);
    let staged = project.root.join(STAGED).join("settings.py");
    assert!(!staged.is_symlink());
    assert_eq!(fs::read_to_string(staged).unwrap(), "x = 1\n");
}
