//! The appearance of text: colour, marks, widths, durations.

use std::{fmt, time::Duration};

/// The capabilities of the user's terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    pub colour: bool,
    /// Whether the locale is UTF-8; without it, output is ASCII.
    pub unicode: bool,
    /// Columns; unlimited without a terminal.
    pub width: usize,
}

/// Colours repeat the meaning of a mark or word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    Plain,
    Busy,
    Good,
    Bad,
    Faint,
}

/// The mark at the start of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Runs,
    Skipped,
    Done,
    Failed,
    NotRun,
    Detail,
}

impl Style {
    pub fn paint(&self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Plain => return text.to_owned(),
            _ if !self.colour || text.is_empty() => return text.to_owned(),
            Paint::Busy => "36",
            Paint::Good => "32",
            Paint::Bad => "31",
            Paint::Faint => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    pub fn mark(&self, mark: Mark) -> String {
        let (unicode, ascii, paint) = match mark {
            Mark::Runs => ("·", ".", Paint::Busy),
            Mark::Skipped => ("=", "=", Paint::Faint),
            Mark::Done => ("✓", "+", Paint::Good),
            Mark::Failed => ("✗", "x", Paint::Bad),
            Mark::NotRun => ("-", "-", Paint::Faint),
            Mark::Detail => (" ", " ", Paint::Plain),
        };
        self.paint(paint, if self.unicode { unicode } else { ascii })
    }

    /// The animated mark of a running task.
    pub fn spinner(&self, frame: usize) -> String {
        const UNICODE: [&str; 8] = ["⠋", "⠙", "⠸", "⢰", "⣠", "⣄", "⡆", "⠇"];
        const ASCII: [&str; 4] = ["|", "/", "-", "\\"];
        self.paint(Paint::Busy, if self.unicode { UNICODE[frame % UNICODE.len()] } else { ASCII[frame % ASCII.len()] })
    }

    /// The character of a bar.
    pub fn block(&self) -> &'static str {
        if self.unicode { "█" } else { "#" }
    }

    /// The text in ASCII, if the locale is not UTF-8.
    pub fn spell(&self, text: &str) -> String {
        if self.unicode || text.is_ascii() {
            return text.to_owned();
        }
        text.replace('…', "...").chars().map(|it| if it.is_ascii() { it } else { '?' }).collect()
    }

    /// Truncates to a number of columns and marks the truncation.
    pub fn clip(&self, text: &str, room: usize) -> String {
        if text.chars().count() <= room {
            return text.to_owned();
        }
        let sign = if self.unicode { "…" } else { "..." };
        let kept = room.saturating_sub(sign.chars().count());
        text.chars().take(kept).chain(sign.chars()).collect()
    }
}

/// The first line without control characters, since another program's output may move the cursor.
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.lines().next().unwrap_or_default().chars();
    while let Some(char) = chars.next() {
        match char {
            // An escape sequence ends with its first letter.
            '\x1b' => while chars.next().is_some_and(|it| !it.is_ascii_alphabetic()) {},
            '\t' => out.push(' '),
            other if other.is_control() => {}
            other => out.push(other),
        }
    }
    out
}

/// Breaks long lines between words; a longer word stays whole.
pub fn fold(text: &str, room: usize) -> Vec<String> {
    let room = room.max(18);
    let mut out = Vec::new();
    for line in text.lines() {
        let words = line.trim_start_matches(' ');
        let mut folded = " ".repeat(line.len() - words.len());
        let mut is_new = true;
        for word in words.split(' ') {
            if !is_new && folded.chars().count() + 1 + word.chars().count() > room {
                out.push(std::mem::take(&mut folded));
                is_new = true;
            }
            if !is_new {
                folded.push(' ');
            }
            folded.push_str(word);
            is_new = false;
        }
        out.push(folded);
    }
    out
}

/// Minutes and seconds for a narrow column: `0:42`.
pub struct Clock(pub Duration);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        f.pad(&format!("{}:{:02}", seconds / 60, seconds % 60))
    }
}

/// Whole seconds, for a value that changes on the screen: `7 s`, `2:05 min`.
pub struct Spent(pub Duration);

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        if seconds < 60 { write!(f, "{seconds} s") } else { write!(f, "{}:{:02} min", seconds / 60, seconds % 60) }
    }
}

/// A duration: `0.4 s`, `12.3 s`, `4 min 05 s`.
pub struct Took(pub Duration);

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        let text = if seconds < 60.0 {
            format!("{seconds:.1} s")
        } else {
            format!("{} min {:02} s", self.0.as_secs() / 60, self.0.as_secs() % 60)
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASCII: Style = Style { colour: false, unicode: false, width: 80 };

    #[test]
    fn long_lines_are_folded_between_words() {
        assert_eq!(fold("upstream's images are built from packages", 24), ["upstream's images are", "built from packages"]);
        assert_eq!(fold("a-word-that-is-longer-than-the-room x", 20), ["a-word-that-is-longer-than-the-room", "x"]);
        assert_eq!(fold("one\n  two", usize::MAX), ["one", "  two"]);
    }

    #[test]
    fn durations_are_said_as_people_say_them() {
        assert_eq!(Took(Duration::from_millis(1240)).to_string(), "1.2 s");
        assert_eq!(Took(Duration::from_secs(125)).to_string(), "2 min 05 s");
        assert_eq!(format!("{:>6}", Clock(Duration::from_secs(125))), "  2:05");
    }

    #[test]
    fn what_programs_print_cannot_move_the_cursor() {
        assert_eq!(clean("\x1b[2K\rpulling\tlayer \x07\x1b[1;31mred\x1b[0m\nnext"), "pulling layer red");
    }

    #[test]
    fn a_clipped_text_says_so_in_the_reader_s_alphabet() {
        assert_eq!(ASCII.clip("0123456789", 8), "01234...");
        assert_eq!(Style { unicode: true, ..ASCII }.clip("0123456789", 8), "0123456…");
        assert_eq!(ASCII.clip("01234567", 8), "01234567");
        assert_eq!(ASCII.spell("sha256:099e… ✓"), "sha256:099e... ?");
    }
}
