//! Wrong texts for the tests of readers: mutations of valid ones. The sequence is the same in every run, so a failure repeats.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

/// How many inputs a test of every run has, and how many a long one has, which only the full run starts.
pub(crate) const SHORT: u32 = 2_000;
pub(crate) const LONG: u32 = 1_000_000;

/// No reader may take longer for one text. Generous, since the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// Texts that readers of any format may stumble over.
const HOSTILE: [&str; 30] = [
    "\0",
    "\r",
    "\n",
    "\t",
    "\u{feff}",
    "\u{202e}",
    "\u{2028}",
    "\u{85}",
    "e\u{301}",
    "\u{1f600}",
    "\u{fffd}",
    "\u{10ffff}",
    "\\",
    "\\u{",
    "\"",
    "'",
    "\"\"\"",
    "'''",
    "[",
    "]",
    "{",
    "}",
    "=",
    ":",
    ",",
    "#",
    "..",
    "/",
    "%00",
    " ",
];

const NUMBERS: [&str; 12] = [
    "-1",
    "0",
    "00",
    "65536",
    "4294967296",
    "18446744073709551616",
    "-9223372036854775809",
    "1e999",
    "-0.0",
    "nan",
    "0x",
    "999999999999999999999999999999",
];

/// Calls `check` with `count` mutations of `valid`; a panic is repeated with the text that led to it. `words` belong to the format.
#[track_caller]
pub(crate) fn each(valid: &[&str], words: &[&str], count: u32, check: impl Fn(&str)) {
    let mut source = Source { state: 0x706f_6364_6570_6c6f, valid, words };
    for number in 0..count {
        let text = source.text();
        let began = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| check(&text)));
        assert!(result.is_ok(), "input {number} of {count}: {:?}", short(&text));
        assert!(began.elapsed() < PATIENCE, "input {number} of {count} took {:?}: {:?}", began.elapsed(), short(&text));
    }
    eprintln!("{count} inputs");
}

fn short(text: &str) -> String {
    if text.len() < 4_000 { text.to_owned() } else { format!("{}… ({} bytes)", text.chars().take(1_000).collect::<String>(), text.len()) }
}

struct Source<'a> {
    state: u64,
    valid: &'a [&'a str],
    words: &'a [&'a str],
}

impl Source<'_> {
    /// splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.state;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        it ^ (it >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap_or_default()
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from.get(self.below(from.len())).copied().unwrap_or_default()
    }

    fn text(&mut self) -> String {
        let mut bytes = self.pick(self.valid).as_bytes().to_vec();
        for _ in 0..=self.below(4) {
            self.mutate(&mut bytes);
        }
        // Texts come from files that were checked for UTF-8 before.
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A range of at most `most` bytes.
    fn range(&mut self, bytes: &[u8], most: usize) -> std::ops::Range<usize> {
        let begin = self.below(bytes.len());
        begin..(begin + self.below(most)).min(bytes.len())
    }

    /// The range of a line, with its end.
    fn line(&mut self, bytes: &[u8]) -> std::ops::Range<usize> {
        let at = self.below(bytes.len());
        let begin = bytes[..at].iter().rposition(|it| *it == b'\n').map_or(0, |it| it + 1);
        let end = bytes[at..].iter().position(|it| *it == b'\n').map_or(bytes.len(), |it| at + it + 1);
        begin..end
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len() + 1);
        let insert = |bytes: &mut Vec<u8>, at: usize, text: &[u8]| drop(bytes.splice(at..at, text.iter().copied()));
        match self.below(13) {
            0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            1 => drop(bytes.drain(self.range(bytes, 12))),
            2 => {
                let piece = bytes[self.range(bytes, 40)].to_vec();
                insert(bytes, at, &piece);
            }
            3 => insert(bytes, at, self.pick(self.words).as_bytes()),
            4 => insert(bytes, at, self.pick(&HOSTILE).as_bytes()),
            5 => drop(bytes.splice(self.range(bytes, 20), self.pick(self.words).bytes())),
            6 => {
                let line = bytes[self.line(bytes)].to_vec();
                let to = self.line(bytes).start;
                insert(bytes, to, &line);
            }
            7 => drop(bytes.drain(self.line(bytes))),
            8 => {
                let other = self.pick(self.valid).as_bytes();
                let piece = &other[self.line(other)];
                let to = self.line(bytes).start;
                insert(bytes, to, piece);
            }
            9 => self.number(bytes),
            10 => {
                let times = [3, 30, 300][self.below(3)];
                let text = self.pick(&["[", "{", "- ", "{a=", "[[", "a.", "{a: ", "(", "&a [", "\"", "a: "]).repeat(times);
                insert(bytes, at, text.as_bytes());
            }
            11 => bytes.truncate(at),
            // Rare, since long texts take long.
            _ if self.below(200) == 0 => {
                let text = self.pick(&["[", "{", "- ", "{a=", "a.", "{a: ", "x", "\n", "{\"a\":"]).repeat(50_000);
                insert(bytes, at, text.as_bytes());
            }
            _ => drop(bytes.drain(self.range(bytes, 200))),
        }
    }

    /// Replaces digits by another number.
    fn number(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        let Some(begin) = bytes[at..].iter().position(u8::is_ascii_digit).map(|it| at + it) else { return };
        let end = bytes[begin..].iter().position(|it| !it.is_ascii_digit()).map_or(bytes.len(), |it| begin + it);
        drop(bytes.splice(begin..end, self.pick(&NUMBERS).bytes()));
    }
}

#[test]
fn the_sequence_repeats_and_has_few_valid_texts() {
    let collect = || {
        let out = std::cell::RefCell::new(Vec::new());
        each(&["a = 1\nb = 2\n", "c = [1, 2]\n"], &["a", "="], 500, |it| out.borrow_mut().push(it.to_owned()));
        out.into_inner()
    };
    let mut all = collect();
    assert_eq!(all, collect());
    all.sort();
    all.dedup();
    assert!(all.len() > 400, "{}", all.len());
}
