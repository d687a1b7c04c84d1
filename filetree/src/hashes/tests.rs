//! What the remembered hashes are trusted for, and what not.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, SystemTime},
};

use super::{
    kept::{FACTS, MAGIC, UNUSED},
    reading::{STEP, is_settled},
    *,
};

/// A tree, and the file with its hashes beside it.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Tree {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("tree")).unwrap();
        Tree(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("tree").join(name)
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("hashes")
    }

    /// What a new process finds, and how many files it knows at its end.
    fn seen(&self) -> (Vec<(String, String)>, usize) {
        let root = self.0.path().join("tree");
        let hashes = Hashes::kept_in(self.file());
        let mut out = Fingerprint::new();
        hashes.add(&mut out, "app", &root, &Passed::default(), None, &mut |_, _| ()).unwrap();
        let count = hashes.known().kept.count();
        (owned(&out), count)
    }

    /// What a process finds that remembers nothing.
    fn read(&self) -> Vec<(String, String)> {
        let mut out = Fingerprint::new();
        out.add_tree("app", &self.0.path().join("tree")).unwrap();
        owned(&out)
    }

    /// Changes a remembered hash, to see whether it is used.
    fn spoil(&self) {
        let mut kept = Kept::read(&self.file(), now()).unwrap();
        kept.spoil(&[7; 32]);
        kept.write(&self.file(), now()).unwrap();
    }
}

fn owned(of: &Fingerprint) -> Vec<(String, String)> {
    of.parts().map(|(name, digest)| (name.to_owned(), digest.to_owned())).collect()
}

fn settle() {
    std::thread::sleep(Duration::from_millis(60));
}

fn spoilt() -> String {
    "07".repeat(32)
}

#[test]
fn an_unchanged_file_is_not_read_again_and_each_change_is_seen() {
    let tree = Tree::new();
    let path = tree.path("a.py");
    fs::write(&path, "one").unwrap();
    settle();
    assert_eq!(tree.seen(), (tree.read(), 1));
    tree.spoil();
    assert_eq!(tree.seen().0[0].1, spoilt(), "the remembered hash is used");
    // The same size, and the times that a program can set: the system's own time tells.
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, "two").unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(before).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
    settle();
    assert_eq!(tree.seen(), (tree.read(), 1));
    tree.spoil();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    settle();
    assert_eq!(tree.seen(), (tree.read(), 1));
    tree.spoil();
    // An editor writes another file and gives it the name.
    fs::write(tree.path("a.new"), "six").unwrap();
    fs::rename(tree.path("a.new"), &path).unwrap();
    settle();
    assert_eq!(tree.seen().0, tree.read());
    tree.spoil();
    // The folder has another name: the files are the same.
    fs::create_dir(tree.path("b")).unwrap();
    fs::write(tree.path("b/c"), "c").unwrap();
    settle();
    tree.seen();
    tree.spoil();
    fs::rename(tree.path("b"), tree.path("d")).unwrap();
    assert!(tree.seen().0.contains(&("app/d/c".to_owned(), spoilt())));
    fs::remove_file(&path).unwrap();
    assert_eq!(tree.seen().0.len(), 1);
}

#[test]
fn another_folder_under_the_same_name_a_link_and_a_second_name_are_what_they_are_now() {
    let tree = Tree::new();
    for (path, text) in [("b/x.py", "one"), ("c/x.py", "two"), ("a.py", "six")] {
        fs::create_dir_all(tree.path(path).parent().unwrap()).unwrap();
        fs::write(tree.path(path), text).unwrap();
    }
    settle();
    assert_eq!(tree.seen(), (tree.read(), 3));
    // The two folders change places: each name has the other's content, and no file was changed.
    for (from, to) in [("b", "d"), ("c", "b"), ("d", "c")] {
        fs::rename(tree.path(from), tree.path(to)).unwrap();
    }
    assert_eq!(tree.seen(), (tree.read(), 3));
    // A file of the same size and time in the place of another one, and then a link in its place that leads to one and to another.
    let time = fs::metadata(tree.path("a.py")).unwrap().modified().unwrap();
    fs::write(tree.path("new"), "ten").unwrap();
    fs::File::options().write(true).open(tree.path("new")).unwrap().set_modified(time).unwrap();
    fs::rename(tree.path("new"), tree.path("a.py")).unwrap();
    assert_eq!(tree.seen().0, tree.read());
    fs::remove_file(tree.path("a.py")).unwrap();
    for target in ["b/x.py", "c/x.py"] {
        std::os::unix::fs::symlink(target, tree.path("a.py")).unwrap();
        let seen = tree.seen().0;
        assert_eq!(seen, tree.read());
        fs::remove_file(tree.path("a.py")).unwrap();
        std::os::unix::fs::symlink("b", tree.path("a.py")).unwrap();
        assert_ne!(tree.seen().0, seen);
        fs::remove_file(tree.path("a.py")).unwrap();
    }
    // A second name of one file: a change through one of them is seen under both.
    fs::hard_link(tree.path("b/x.py"), tree.path("second.py")).unwrap();
    settle();
    let before = tree.seen().0;
    assert_eq!(before, tree.read());
    fs::write(tree.path("second.py"), "all").unwrap();
    let after = tree.seen().0;
    assert_eq!(after, tree.read());
    assert_eq!(before.iter().zip(&after).filter(|(one, other)| one != other).count(), 2);
}

#[test]
fn a_file_that_was_changed_within_a_step_of_the_clock_is_read_again() {
    let tree = Tree::new();
    let path = tree.path("a.py");
    // As often as the file system gives two contents the same times: each one must be seen. A kernel since 6.13 gives them different ones,
    // so that only the refusal to remember tells.
    for round in 0..300 {
        let began = now();
        fs::write(&path, format!("{round:04}")).unwrap();
        let is_settled = reading::at(&path, &mut Vec::with_capacity(BUFFER)).unwrap().is_settled;
        // The file's time is that of the last step of the clock, at most 10 ms before the writing began.
        assert!(!is_settled || now() - began > STEP - 10_000_000, "remembered too early");
        assert_eq!(tree.seen().0, tree.read(), "round {round}");
    }
    // A time that is not over yet, by a clock that was wrong.
    let future = SystemTime::now() + Duration::from_secs(3600);
    fs::File::options().write(true).open(&path).unwrap().set_modified(future).unwrap();
    settle();
    assert_eq!(tree.seen(), (tree.read(), 0));
}

#[test]
fn the_times_must_be_clearly_earlier_than_the_reading() {
    const SECOND: i128 = 1_000_000_000;
    let of = |modified, changed| Stamp { device: 1, inode: 1, size: 1, mode: 0o644, modified, changed };
    let now = 1000 * SECOND;
    assert!(is_settled(&of(now - SECOND, now - SECOND + 1), now));
    for (modified, changed) in [(now, now - SECOND + 1), (1, now - STEP), (1, now), (1, now + SECOND), (now + 1, 1)] {
        assert!(!is_settled(&of(modified, changed), now), "{modified} {changed}");
    }
    // Times without fractions are those of a clock with whole seconds.
    assert!(!is_settled(&of(1, now - SECOND), now));
    assert!(is_settled(&of(1, now - 3 * SECOND), now));
}

#[test]
fn a_torn_foreign_or_later_file_is_none() {
    let tree = Tree::new();
    fs::write(tree.path("a.py"), "one").unwrap();
    settle();
    tree.seen();
    tree.spoil();
    let whole = fs::read(tree.file()).unwrap();
    let mut flipped = whole.clone();
    flipped[60] ^= 1;
    let other_format = [b"pocdeploy hashes 9\n".as_slice(), &whole[MAGIC.len()..]].concat();
    let cut = &whole[..whole.len() - 40];
    let zeros = vec![0; whole.len()];
    for bytes in [&[] as &[u8], cut, &flipped, &other_format, &zeros, b"{\"parts\":[]}", &[whole.clone(), whole.clone()].concat()] {
        fs::write(tree.file(), bytes).unwrap();
        assert_eq!(tree.seen(), (tree.read(), 1));
        tree.spoil();
    }
    // The clock was set back after the file was written.
    let kept = Kept::read(&tree.file(), now()).unwrap();
    kept.write(&tree.file(), now() + 3_600_000_000_000).unwrap();
    assert_eq!(tree.seen().0, tree.read());
    // A folder in its place, or none for it: the files are read.
    fs::remove_file(tree.file()).unwrap();
    fs::create_dir(tree.file()).unwrap();
    assert_eq!(tree.seen().0, tree.read());
    let nowhere = Hashes::kept_in(tree.0.path().join("absent/hashes"));
    nowhere.add(&mut Fingerprint::new(), "app", &tree.0.path().join("tree"), &Passed::default(), None, &mut |_, _| ()).unwrap();
    drop(nowhere);
    assert!(!tree.0.path().join("absent").exists());
}

#[test]
fn only_its_owner_reads_the_file_and_processes_that_write_at_once_leave_a_whole_one() {
    let tree = Tree::new();
    for number in 0..200 {
        fs::write(tree.path(&format!("{number}")), format!("{number}")).unwrap();
    }
    settle();
    let expected = tree.read();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    assert_eq!(tree.seen().0, expected);
                    fs::remove_file(tree.file()).ok();
                }
            });
        }
    });
    tree.seen();
    assert_eq!(fs::metadata(tree.file()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(Kept::read(&tree.file(), now()).unwrap().count(), 200);
    // Nothing else is left beside it.
    assert_eq!(fs::read_dir(tree.0.path()).unwrap().count(), 2);
}

#[test]
fn what_no_run_needs_any_more_is_forgotten() {
    let tree = Tree::new();
    fs::write(tree.path("gone"), "x").unwrap();
    settle();
    tree.seen();
    fs::remove_file(tree.path("gone")).unwrap();
    for number in 0..=UNUSED {
        fs::write(tree.path("kept"), format!("{number}")).unwrap();
        settle();
        tree.seen();
    }
    assert_eq!(Kept::read(&tree.file(), now()).unwrap().count(), 1);
}

#[test]
fn a_fact_is_known_for_all_that_it_depends_on() {
    let tree = Tree::new();
    let key = |text: &str| {
        let mut out = Fingerprint::new();
        out.add("a", text);
        out
    };
    let hashes = Hashes::kept_in(tree.file());
    assert_eq!(hashes.fact(&key("1")), None);
    hashes.remember(&key("1"), "one");
    hashes.remember(&key("2"), "two");
    drop(hashes);
    let hashes = Hashes::kept_in(tree.file());
    assert_eq!(hashes.fact(&key("2")).as_deref(), Some("two"));
    for number in 1..FACTS {
        hashes.remember(&key(&format!("more {number}")), "x");
        assert_eq!(hashes.fact(&key("1")).as_deref(), Some("one"), "what is used stays");
    }
    assert_eq!(hashes.fact(&key("2")), None);
    assert_eq!(hashes.known().kept.number_of_facts(), FACTS);
}
