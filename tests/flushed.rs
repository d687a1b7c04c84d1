//! Files are on the disk before a name or a mark says that they are complete.

use crate::sources;

/// What may be renamed without a flush, and why.
const UNFLUSHED: [(&str, usize, &str); 5] = [
    ("tasks/patch.rs", 3, "the record has a digest of the staged files, which is compared with them"),
    ("report/record.rs", 1, "a link to the logs"),
    ("snapshot.rs", 2, "a snapshot, flushed as it is written, and another name of one"),
    ("commands/upstream.rs", 3, "the new source is flushed before the folder it came from is set aside"),
    ("artifacts.rs", 1, "a program inside a folder that is flushed as a whole"),
];

#[test]
fn what_is_renamed_into_its_place_is_on_the_disk_before() {
    let (mut found, mut excepted) = (0, 0);
    for (name, text) in sources() {
        // Tests stand at the end.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let renames: Vec<usize> =
            ["fs::rename(", ".persist(", ".persist_noclobber("].iter().flat_map(|it| code.match_indices(it)).map(|it| it.0).collect();
        if let Some((_, count, why)) = UNFLUSHED.iter().find(|it| it.0 == name) {
            assert_eq!(renames.len(), *count, "{name}: {why}");
            excepted += 1;
            continue;
        }
        for at in renames {
            let line = code[..at].lines().count();
            // Of two renames that exchange folders, the first one sets the old folder aside.
            let before: Vec<&str> = code[..at].lines().rev().take(24).collect();
            let is_flushed = before.iter().any(|it| it.contains("settle(") || it.contains("sync_all()"));
            assert!(is_flushed, "{name}:{line} renames what may not be on the disk yet");
            found += 1;
        }
    }
    assert!(found >= 10, "{found}");
    assert_eq!(excepted, UNFLUSHED.len());
}
