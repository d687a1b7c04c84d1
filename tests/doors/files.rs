//! The files that the tool writes: their modes under every umask, links planted in their places, and what they do not depend on.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use crate::{
    support::{Ran, content, tool},
    world::World,
};

/// Runs the tool under an umask.
fn under(world: &World, umask: &str, words: &[&str]) -> Ran {
    let mut command = world.command_of(Path::new("sh"), &["-c", &format!("umask {umask}; exec \"$@\""), "sh"]);
    command.arg(tool()).args(words);
    Ran::from(command.output().unwrap())
}

/// Every entry of the work folder and the cache, relative to the project, with its mode.
fn entries(world: &World) -> Vec<(PathBuf, u32)> {
    let root = &world.project.root;
    let all = ["target/pocdeploy", "cache"].map(|it| walkdir::WalkDir::new(root.join(it)).sort_by_file_name());
    let found = all.into_iter().flatten().map(|it| it.unwrap());
    let plain = found.filter(|it| !it.file_type().is_symlink());
    plain.map(|it| (it.path().strip_prefix(root).unwrap().to_owned(), it.metadata().unwrap().permissions().mode() & 0o7777)).collect()
}

#[test]
fn no_umask_opens_what_the_tool_writes() {
    let mut seen = 0;
    for umask in ["000", "022", "077"] {
        let world = World::new();
        // The doubles made the others.
        let before: BTreeSet<PathBuf> = entries(&world).into_iter().map(|it| it.0).collect();
        under(&world, umask, &["create", "--yes"]).ends_with(0);
        under(&world, umask, &["plan", "--out", "target/pocdeploy/plan.json"]).ends_with(0);
        under(&world, umask, &["support-bundle"]).ends_with(0);
        for (path, mode) in entries(&world).into_iter().filter(|it| !before.contains(&it.0)) {
            assert_eq!(mode & 0o6002, 0, "umask {umask}: {} has mode {mode:o}", path.display());
            let is_secret = path.ends_with("kubeconfig") || path.ends_with("support-bundle.tar.gz");
            assert!(!is_secret || mode == 0o600, "umask {umask}: {} has mode {mode:o}", path.display());
            seen += 1;
        }
    }
    eprintln!("{seen} files and folders under three umasks");
    assert!(seen >= 60, "{seen}");
}

#[test]
fn a_link_in_the_place_of_a_file_is_replaced_and_leads_nowhere() {
    let model = World::new();
    model.create();
    model.run(&["plan", "--out", "target/pocdeploy/plan.json"]).ends_with(0);
    model.run(&["report"]).ends_with(0);
    model.run(&["support-bundle"]).ends_with(0);
    let root = &model.project.root;
    // Names of runs are not known before; the wheels and the application come from the double.
    let is_fixed = |it: &&PathBuf| {
        !it.starts_with("target/pocdeploy/runs")
            && !it.starts_with("target/pocdeploy/app")
            && !it.ends_with("wheels.json")
            && !it.ends_with("lock")
    };
    let files: Vec<PathBuf> = entries(&model).into_iter().map(|it| it.0).filter(|it| root.join(it).is_file()).collect();
    let files: Vec<&PathBuf> = files.iter().filter(is_fixed).filter(|it| it.starts_with("target")).collect();
    let mut planted = 0;
    // A link to a file of another, and one to a file that does not exist yet.
    for dangling in [false, true] {
        let world = World::new();
        let foreign = tempfile::tempdir().unwrap();
        for (number, path) in files.iter().enumerate() {
            let (place, target) = (world.project.root.join(path), foreign.path().join(number.to_string()));
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::remove_file(&place).ok();
            if !dangling {
                fs::write(&target, "foreign").unwrap();
                fs::set_permissions(&target, fs::Permissions::from_mode(0o644)).unwrap();
            }
            symlink(&target, &place).unwrap();
            planted += 1;
        }
        let before = content(foreign.path());
        let mut ran = Vec::new();
        for words in [
            &["create", "--yes"][..],
            &["plan", "--out", "target/pocdeploy/plan.json"],
            &["report"],
            &["support-bundle"],
            &["delete", "--yes"],
        ] {
            ran.push(world.run(words));
        }
        let changed: Vec<String> = content(foreign.path()).into_iter().filter(|it| !before.contains(it)).map(|it| it.0).collect();
        let names: Vec<&PathBuf> = files
            .iter()
            .enumerate()
            .filter(|(number, _)| changed.iter().any(|it| it.ends_with(&format!("/{number}"))))
            .map(|it| *it.1)
            .collect();
        assert!(changed.is_empty(), "dangling: {dangling}: written through {names:?}");
        assert_eq!(content(foreign.path()).len(), before.len());
        for ran in ran {
            assert!([0, 1].contains(&ran.code), "{}", ran.stderr);
        }
    }
    // The lock is no file to replace: another process may hold it.
    let (lock, elsewhere) = (root.join("target/pocdeploy/lock"), root.join("elsewhere"));
    fs::remove_file(&lock).unwrap();
    symlink(&elsewhere, &lock).unwrap();
    model.run(&["create", "--yes"]).ends_with(1).says("error[E0116]").says("lock is a symbolic link").says("hint: remove the link: rm ");
    assert!(!elsewhere.exists());
    eprintln!("{planted} links in the places of {} files", files.len());
    assert!(files.len() >= 10, "{files:?}");
}

#[test]
fn a_link_in_the_place_of_a_folder_is_refused_or_leads_nowhere() {
    let model = World::new();
    model.create();
    model.run(&["support-bundle"]).ends_with(0);
    let root = &model.project.root;
    let all = walkdir::WalkDir::new(root.join("target/pocdeploy")).max_depth(1).into_iter().map(|it| it.unwrap());
    let found = all.filter(|it| it.file_type().is_dir()).map(|it| it.path().strip_prefix(root).unwrap().to_owned());
    // Folders that other applications have.
    let others = ["wheels", "wheels.new", "artifacts", "context", "services", "instances", "evidence", "edit"];
    let folders: BTreeSet<PathBuf> = found.chain(others.map(|it| Path::new("target/pocdeploy").join(it))).collect();
    let world = World::new();
    let mut links = 0;
    for path in &folders {
        for dangling in [false, true] {
            let foreign = tempfile::tempdir().unwrap();
            let (place, target) = (world.project.root.join(path), foreign.path().join("folder"));
            let aside = world.project.root.join("aside");
            let was_there = place.exists();
            if was_there {
                fs::rename(&place, &aside).unwrap();
            }
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            if !dangling {
                fs::create_dir(&target).unwrap();
                fs::write(target.join("theirs"), "foreign").unwrap();
            }
            symlink(&target, &place).unwrap();
            let before = content(foreign.path());
            for words in [&["create", "--yes"][..], &["plan"], &["support-bundle"], &["delete", "--yes"]] {
                let ran = world.run(words);
                let about = format!("{}, dangling: {dangling}: {words:?}: {}", path.display(), ran.stderr);
                assert_eq!((content(foreign.path()), target.exists()), (before.clone(), !dangling), "{about}");
                if !dangling {
                    assert_eq!(ran.code, 1, "{about}");
                    ran.says("error[E0116]")
                        .says(" is a symbolic link, and the tool writes to no folder but its own")
                        .says("hint: remove the link: rm ");
                }
            }
            fs::remove_file(&place).ok();
            if was_there {
                fs::remove_dir_all(&place).ok();
                fs::rename(&aside, &place).unwrap();
            }
            links += 1;
        }
    }
    eprintln!("{links} links in the places of {} folders", folders.len());
    assert!(folders.len() >= 10, "{folders:?}");
    // A link of the whole folder is the user's way to another disk.
    let disk = tempfile::tempdir().unwrap();
    let moved = World::new();
    fs::rename(moved.project.root.join("target"), disk.path().join("target")).unwrap();
    symlink(disk.path().join("target"), moved.project.root.join("target")).unwrap();
    moved.create();
}

#[test]
fn the_image_and_the_objects_depend_on_no_umask_time_zone_language_or_user() {
    let mut all = BTreeSet::new();
    for (umask, zone, language) in
        [("022", "UTC", "C"), ("000", "Pacific/Auckland", "de_DE.UTF-8"), ("077", "America/St_Johns", "tr_TR.UTF-8")]
    {
        let world = World::new();
        fs::remove_dir_all(world.project.root.join("target")).unwrap();
        // The second project's files were created in another order.
        if umask == "000" {
            let text = world.project.read("third_party/django-polls/manage.py");
            fs::remove_dir_all(world.project.root.join("third_party/django-polls")).unwrap();
            world.project.write("third_party/django-polls/requirements.txt", "# nothing\n");
            world.project.write("third_party/django-polls/manage.py", &text);
        }
        let mut command = world.command_of(Path::new("sh"), &["-c", &format!("umask {umask}; exec \"$@\""), "sh"]);
        command.arg(tool()).arg("patch").envs([("TZ", zone), ("LC_ALL", language), ("USER", language), ("LOGNAME", language)]);
        Ran::from(command.output().unwrap()).ends_with(0);
        world.build();
        under(&world, umask, &["create", "--yes"]).ends_with(0);
        let plain = |kind: &str, name: &str| {
            let mut object = world.cluster.get(kind, "polls", name).unwrap();
            // The hashes in annotations are also of the address and of generated values.
            object["spec"]["template"]["metadata"]["annotations"] = serde_json::Value::Null;
            object["spec"].to_string().replace(&world.cluster.port.to_string(), "PORT")
        };
        let images = world.engine.images_below("polls:");
        all.insert([format!("{images:?}"), plain("Deployment", "polls-frontend"), plain("Cluster", "polls-db")].join("\n"));
    }
    assert_eq!(all.len(), 1, "{}", all.into_iter().collect::<Vec<_>>().join("\n\n"));
}
