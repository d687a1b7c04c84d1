//! The content of the file with the hashes: entries of equal length, sorted by device and inode, which are searched where they are. Only what
//! a run adds is in memory beside them.

use std::{collections::BTreeMap, io::Write as _, path::Path};

use super::Hash;
use crate::walk::Stamp;

/// What is known of files, and facts that follow from them.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The file that was read, and where its entries begin.
    old: Vec<u8>,
    began: usize,
    /// For each of its entries, whether this run needed it.
    is_used: Vec<bool>,
    /// The entry that was found last. A walk meets files in about the order of their inodes.
    last: usize,
    /// By device and inode: entries that replace an old one or are new, and `None` for those that no longer hold.
    new: BTreeMap<(u64, u64), Option<(Stamp, Hash)>>,
    /// What was computed from files, by the digest of all that it depends on; the last used one last.
    facts: Vec<(String, String)>,
}

/// As many facts are kept: those of twenty services, each before and after a change.
pub(super) const FACTS: usize = 128;
/// A branch that is checked out in turn with another one stays known for as many changes.
pub(super) const UNUSED: u8 = 20;

/// The first bytes of the file. The number is that of the format.
pub(super) const MAGIC: &[u8] = b"pocdeploy hashes 2\n";

/// Device, inode, size, mtime, ctime, mode, the number of saves since the entry was last needed, and the hash.
const ENTRY: usize = 8 * 3 + 12 * 2 + 4 + 1 + 32;
const UNUSED_AT: usize = 52;

impl Kept {
    /// The hash of a file in exactly this state.
    pub(super) fn hash(&mut self, stamp: &Stamp) -> Option<Hash> {
        let key = (stamp.device, stamp.inode);
        if let Some(found) = self.new.get(&key) {
            return found.filter(|(other, _)| other == stamp).map(|(_, hash)| hash);
        }
        let index = self.search(key)?;
        let (found, hash) = decoded(entry(self.old(), index)?)?;
        if found != *stamp {
            return None;
        }
        self.is_used[index] = true;
        Some(hash)
    }

    fn old(&self) -> &[u8] {
        self.old.get(self.began..).unwrap_or_default()
    }

    /// Whether earlier runs have left something.
    pub(super) fn has_old(&self) -> bool {
        !self.is_used.is_empty()
    }

    /// The old entry of this device and inode, looked for from the last one onwards and backwards in growing steps.
    fn search(&mut self, wanted: (u64, u64)) -> Option<usize> {
        let count = self.is_used.len();
        let key = |index: usize| entry(self.old(), index).map(key_of);
        let (mut low, mut high, mut step) = (self.last, self.last, 1);
        if key(self.last)? <= wanted {
            while low + step < count && key(low + step)? <= wanted {
                low += step;
                step *= 2;
            }
            high = count.min(low + step);
        } else {
            while high >= step && key(high - step)? > wanted {
                high -= step;
                step *= 2;
            }
            low = high.saturating_sub(step);
        }
        while low < high {
            let middle = low + (high - low) / 2;
            match key(middle)?.cmp(&wanted) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    self.last = middle;
                    return Some(middle);
                }
            }
        }
        None
    }

    pub(super) fn put(&mut self, stamp: Stamp, hash: Hash) {
        self.new.insert((stamp.device, stamp.inode), Some((stamp, hash)));
    }

    /// Whether there was an entry.
    pub(super) fn remove(&mut self, device: u64, inode: u64) -> bool {
        let was_there = match self.new.get(&(device, inode)) {
            Some(known) => known.is_some(),
            None => self.search((device, inode)).is_some(),
        };
        self.new.insert((device, inode), None);
        was_there
    }

    pub(super) fn fact(&mut self, key: &str) -> Option<String> {
        let found = self.facts.remove(self.facts.iter().position(|(other, _)| other == key)?);
        self.facts.push(found.clone());
        Some(found.1)
    }

    pub(super) fn remember(&mut self, key: String, fact: &str) {
        self.facts.retain(|(other, _)| *other != key);
        self.facts.push((key, fact.to_owned()));
        let count = self.facts.len();
        self.facts.drain(..count.saturating_sub(FACTS));
    }

    /// Writes the file: its name, the time of its writing, facts as lines of two words, an empty line, the entries, and a checksum.
    pub(super) fn write(&self, file: &Path, now: i128) -> std::io::Result<()> {
        let mut out = Vec::with_capacity(MAGIC.len() + 4096 + self.old.len() + ENTRY * self.new.len());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&now.to_le_bytes());
        for (key, fact) in self.facts.iter().filter(|(_, fact)| !fact.contains('\n')) {
            out.extend_from_slice(format!("{key} {fact}\n").as_bytes());
        }
        out.push(b'\n');
        let mut new = self.new.iter().peekable();
        let add = |out: &mut Vec<u8>, it: &Option<(Stamp, Hash)>| it.iter().for_each(|(stamp, hash)| encode(out, stamp, hash));
        for (index, is_used) in self.is_used.iter().enumerate() {
            let Some(bytes) = entry(self.old(), index) else { break };
            let key = key_of(bytes);
            while let Some((_, it)) = new.next_if(|(other, _)| **other < key) {
                add(&mut out, it);
            }
            if let Some((_, it)) = new.next_if(|(other, _)| **other == key) {
                add(&mut out, it);
                continue;
            }
            let unused = if *is_used { 1 } else { bytes[UNUSED_AT].saturating_add(1) };
            if unused <= UNUSED {
                out.extend_from_slice(&bytes[..UNUSED_AT]);
                out.push(unused);
                out.extend_from_slice(&bytes[UNUSED_AT + 1..]);
            }
        }
        new.for_each(|(_, it)| add(&mut out, it));
        out.extend_from_slice(&checksum(&out).to_le_bytes());
        let folder = file.parent().unwrap_or(Path::new("."));
        let mut new = tempfile::NamedTempFile::new_in(folder)?;
        new.write_all(&out)?;
        new.persist(file)?;
        Ok(())
    }

    /// What the file holds; `None` if it is missing, torn, of another format, or from the future: then the clock was set back, and times that
    /// were clearly earlier may come again.
    pub(super) fn read(file: &Path, now: i128) -> Option<Kept> {
        let mut bytes = std::fs::read(file).ok()?;
        let (content, sum) = bytes.split_last_chunk::<8>()?;
        if u64::from_le_bytes(*sum) != checksum(content) {
            return None;
        }
        let (written, mut rest) = content.strip_prefix(MAGIC)?.split_first_chunk::<16>()?;
        if i128::from_le_bytes(*written) > now {
            return None;
        }
        let mut facts = Vec::new();
        loop {
            let (line, others) = rest.split_at(rest.iter().position(|it| *it == b'\n')?);
            rest = &others[1..];
            if line.is_empty() {
                break;
            }
            let (key, fact) = std::str::from_utf8(line).ok()?.split_once(' ')?;
            facts.push((key.to_owned(), fact.to_owned()));
        }
        let count = rest.len() / ENTRY;
        if rest.len() % ENTRY != 0 {
            return None;
        }
        let began = content.len() - rest.len();
        bytes.truncate(content.len());
        Some(Kept { old: bytes, began, is_used: vec![false; count], last: 0, new: BTreeMap::new(), facts })
    }

    /// All entries, as they would be written.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        let replaced = self.new.keys().filter(|it| (0..self.is_used.len()).any(|index| entry(self.old(), index).map(key_of) == Some(**it)));
        self.is_used.len() - replaced.count() + self.new.values().flatten().count()
    }

    #[cfg(test)]
    pub(super) fn number_of_facts(&self) -> usize {
        self.facts.len()
    }

    /// Replaces each hash.
    #[cfg(test)]
    pub(super) fn spoil(&mut self, hash: &Hash) {
        for index in 0..self.is_used.len() {
            self.old[self.began + (index + 1) * ENTRY - hash.len()..][..hash.len()].copy_from_slice(hash);
        }
    }
}

fn entry(old: &[u8], index: usize) -> Option<&[u8; ENTRY]> {
    old.as_chunks::<ENTRY>().0.get(index)
}

fn number<const N: usize>(entry: &[u8; ENTRY], at: usize) -> [u8; N] {
    std::array::from_fn(|it| entry[at + it])
}

fn key_of(entry: &[u8; ENTRY]) -> (u64, u64) {
    (u64::from_le_bytes(number(entry, 0)), u64::from_le_bytes(number(entry, 8)))
}

fn encode(out: &mut Vec<u8>, stamp: &Stamp, hash: &Hash) {
    for number in [stamp.device, stamp.inode, stamp.size] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    for time in [stamp.modified, stamp.changed] {
        // Seconds in 64 bits times 10^9 need fewer than these twelve bytes.
        out.extend_from_slice(&time.to_le_bytes()[..12]);
    }
    out.extend_from_slice(&stamp.mode.to_le_bytes());
    out.push(1);
    out.extend_from_slice(hash);
}

fn decoded(entry: &[u8; ENTRY]) -> Option<(Stamp, Hash)> {
    let time = |at: usize| {
        let low: [u8; 12] = number(entry, at);
        let sign = if low[11] & 0x80 == 0 { 0 } else { 0xff };
        i128::from_le_bytes(std::array::from_fn(|it| low.get(it).copied().unwrap_or(sign)))
    };
    let stamp = Stamp {
        device: u64::from_le_bytes(number(entry, 0)),
        inode: u64::from_le_bytes(number(entry, 8)),
        size: u64::from_le_bytes(number(entry, 16)),
        modified: time(24),
        changed: time(36),
        mode: u32::from_le_bytes(number(entry, 48)),
    };
    Some((stamp, number(entry, UNUSED_AT + 1)))
}

/// Recognises a file that is truncated or was partly written.
fn checksum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mix = |state: u64, word: u64| (state.rotate_left(26) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let state = words.iter().fold(bytes.len() as u64, |state, it| mix(state, u64::from_le_bytes(*it)));
    rest.iter().fold(state, |state, it| mix(state, u64::from(*it)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(device: u64, inode: u64) -> Stamp {
        Stamp { device, inode, size: inode * 3, mode: 0o100_644, modified: -7, changed: i128::from(i64::MAX) * 1_000_000_000 + 5 }
    }

    fn again(kept: &Kept) -> Kept {
        let dir = tempfile::tempdir().unwrap();
        kept.write(&dir.path().join("hashes"), 1).unwrap();
        Kept::read(&dir.path().join("hashes"), 2).unwrap()
    }

    #[test]
    fn each_entry_is_found_in_whatever_order_and_no_other() {
        let mut kept = Kept::default();
        // A few inodes behind each other, gaps, and two devices.
        let all: Vec<(u64, u64)> =
            (0..400).map(|it| (1 + it / 300, it * it % 1009 * 5)).collect::<std::collections::BTreeSet<_>>().into_iter().collect();
        for (device, inode) in &all {
            kept.put(stamp(*device, *inode), [(inode % 251) as u8; 32]);
        }
        let mut kept = again(&kept);
        for step in [1, 7, 113, 399] {
            for at in 0..all.len() {
                let (device, inode) = all[at * step % all.len()];
                assert_eq!(kept.hash(&stamp(device, inode)), Some([(inode % 251) as u8; 32]), "{device} {inode}");
                assert_eq!(kept.hash(&stamp(device, inode + 1)), None);
                assert_eq!(kept.hash(&Stamp { mode: 0o100_755, ..stamp(device, inode) }), None);
            }
        }
        for wanted in [(0, 0), (1, 0), (1, 4_999_999), (2, 1), (9, 9)] {
            assert_eq!(kept.hash(&stamp(wanted.0, wanted.1)).is_some(), all.contains(&wanted));
        }
        assert_eq!(Kept::default().hash(&stamp(1, 1)), None);
    }

    #[test]
    fn what_a_run_adds_replaces_and_removes_is_what_the_next_one_reads() {
        let mut kept = Kept::default();
        for inode in [2, 4, 6] {
            kept.put(stamp(1, inode), [1; 32]);
        }
        let mut kept = again(&kept);
        for inode in [1, 4, 7] {
            kept.put(stamp(1, inode), [2; 32]);
        }
        assert!(kept.remove(1, 6) && !kept.remove(1, 6) && !kept.remove(1, 99));
        let mut kept = again(&kept);
        let found: Vec<Option<u8>> = (1..8).map(|inode| kept.hash(&stamp(1, inode)).map(|it| it[0])).collect();
        assert_eq!(found, [Some(2), Some(1), None, Some(2), None, None, Some(2)]);
        assert_eq!(kept.count(), 4);
    }
}
