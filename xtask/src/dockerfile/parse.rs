//! Parses Dockerfiles like BuildKit's frontend: directives, continued lines, heredocs, flags; only as far as the tool needs.

use regex::Regex;

/// A Dockerfile's instructions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dockerfile {
    /// The frontend in `# syntax=`.
    pub syntax: Option<Syntax>,
    pub instructions: Vec<Instruction>,
}

/// A `# syntax=` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syntax {
    /// Its line number, counted from 1.
    pub line: usize,
    /// The frontend's image.
    pub image: String,
}

/// An instruction with its continuation lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// The line number of its first line, counted from 1.
    pub line: usize,
    /// In upper case.
    pub name: String,
    /// `--name=value`, in order; the value may be empty.
    pub flags: Vec<(String, String)>,
    /// The text after name and flags, as one line.
    pub rest: String,
    /// N, if a frontend for Dockerfile 1.N or newer reads the following lines as heredocs of this instruction: 4, or 16 for a heredoc with
    /// a blank after `<<`.
    pub heredoc: Option<u32>,
    /// The lines of its heredocs, including the end markers.
    pub body: String,
}

impl Instruction {
    /// The words after the flags, without quotes.
    pub fn words(&self) -> Vec<String> {
        words(&self.rest).into_iter().map(|it| it.replace(['"', '\''], "")).collect()
    }

    /// The values of a flag.
    pub fn flag<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.flags.iter().filter(move |(it, _)| it == name).map(|(_, value)| value.as_str())
    }
}

/// Parses a file. Rejects nothing; the builder reports mistakes.
pub fn parse(text: &str) -> Dockerfile {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines: Vec<&str> = text.lines().collect();
    let (syntax, escape) = directives(&lines);
    let mut out = Dockerfile { syntax, instructions: Vec::new() };
    let mut next = 0;
    while next < lines.len() {
        let line = next + 1;
        let mut whole = String::new();
        let mut continues = true;
        while continues && next < lines.len() {
            let text = lines[next];
            next += 1;
            let is_comment = text.trim_start().starts_with('#');
            // Comments and empty lines inside an instruction do not belong to it.
            if is_comment || text.trim().is_empty() {
                continues = !whole.is_empty();
                continue;
            }
            let part = if whole.is_empty() { text.trim_start() } else { text };
            match part.trim_end_matches([' ', '\t']).strip_suffix(escape) {
                Some(part) => whole.push_str(part),
                None => {
                    whole.push_str(part);
                    continues = false;
                }
            }
        }
        if whole.trim().is_empty() {
            continue;
        }
        let mut instruction = instruction(line, &whole);
        let opened = heredocs(&instruction);
        let end = opened.iter().try_fold(next, |from, heredoc| {
            let ends = |text: &&str| heredoc.name == if heredoc.strips_tabs { text.trim_start_matches('\t') } else { text };
            lines[from..].iter().position(ends).map(|at| from + at + 1)
        });
        // Without an end marker it is a shift (`$(( 1 << 20 ))`) or a comment for builders without heredocs; other builders reject it.
        if let Some(end) = end {
            instruction.heredoc = opened.iter().map(|it| it.since).max();
            instruction.body = lines[next..end].join("\n");
            next = end;
        }
        // Skips comments above, so that the number is that of the instruction's first line.
        let above = lines[line - 1..].iter().take_while(|it| it.trim().is_empty() || it.trim_start().starts_with('#')).count();
        instruction.line = line + above;
        out.instructions.push(instruction);
    }
    out
}

/// The directives at the start of the file, and the line continuation character.
fn directives(lines: &[&str]) -> (Option<Syntax>, char) {
    let (mut syntax, mut escape) = (None, '\\');
    let first = usize::from(lines.first().is_some_and(|it| it.starts_with("#!")));
    for (index, line) in lines.iter().enumerate().skip(first) {
        let Some((name, value)) = line.trim().strip_prefix('#').and_then(|it| it.split_once('=')) else { break };
        let name = name.trim().to_lowercase();
        if name.is_empty() || !name.chars().all(char::is_alphanumeric) {
            break;
        }
        match name.as_str() {
            "syntax" => {
                let image = value.split_whitespace().next().unwrap_or_default().to_owned();
                syntax = (!image.is_empty()).then_some(Syntax { line: index + 1, image });
            }
            "escape" if value.trim() == "`" => escape = '`',
            _ => {}
        }
    }
    (syntax, escape)
}

fn instruction(line: usize, whole: &str) -> Instruction {
    let (name, mut rest) = whole.trim().split_once(char::is_whitespace).unwrap_or((whole.trim(), ""));
    let mut name = name.to_uppercase();
    rest = rest.trim_start();
    // An instruction in ONBUILD is judged as if this build ran it.
    if name == "ONBUILD" {
        let (inner, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        name = inner.to_uppercase();
        rest = after.trim_start();
    }
    let mut flags = Vec::new();
    while let Some(flag) = rest.strip_prefix("--") {
        let (flag, after) = flag.split_once(char::is_whitespace).unwrap_or((flag, ""));
        rest = after.trim_start();
        if flag.is_empty() {
            break;
        }
        let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
        flags.push((name.to_owned(), value.replace(['"', '\''], "")));
    }
    Instruction { line, name, flags, rest: rest.trim_end().to_owned(), heredoc: None, body: String::new() }
}

/// A word that starts a heredoc.
struct Heredoc {
    /// The end marker.
    name: String,
    strips_tabs: bool,
    /// See [`Instruction::heredoc`].
    since: u32,
}

fn heredocs(instruction: &Instruction) -> Vec<Heredoc> {
    if !["RUN", "COPY", "ADD"].contains(&instruction.name.as_str()) || !instruction.rest.contains("<<") {
        return Vec::new();
    }
    // Every command reads a Dockerfile, few have a heredoc, and an expression takes milliseconds to compile.
    let Ok(opening) = Regex::new(r"^\d*<<(-?)(\s*)([^<]+)$") else { return Vec::new() };
    let found = |word: String| {
        let parts = opening.captures(&word)?;
        let name = parts[3].replace(['"', '\'', '\\'], "");
        let since = if parts[2].is_empty() { 4 } else { 16 };
        (!name.is_empty()).then(|| Heredoc { name, strips_tabs: !parts[1].is_empty(), since })
    };
    words(&instruction.rest).into_iter().filter_map(found).collect()
}

/// Splits at unquoted blanks and keeps the quotes. Blanks right after `<<` belong to the word, as in BuildKit's lexer
/// (`processPossibleHeredoc` in shell/lex.go); blanks after `<<-` do not.
fn words(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let (mut word, mut quote, mut is_escaped) = (String::new(), None, false);
    // The number of `<` at the end of the word.
    let mut arrows = 0;
    for char in text.chars() {
        let is_plain = quote.is_none() && !is_escaped;
        if is_plain && char.is_whitespace() {
            if arrows > 0 && arrows % 2 == 0 {
                word.push(char);
            } else if !word.is_empty() {
                out.push(std::mem::take(&mut word));
                arrows = 0;
            }
            continue;
        }
        arrows = if is_plain && char == '<' { arrows + 1 } else { 0 };
        word.push(char);
        if is_escaped {
            is_escaped = false;
        } else if char == '\\' && quote != Some('\'') {
            is_escaped = true;
        } else if quote == Some(char) {
            quote = None;
        } else if quote.is_none() && (char == '"' || char == '\'') {
            quote = Some(char);
        }
    }
    if !word.is_empty() {
        out.push(word);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<(usize, String)> {
        parse(text).instructions.into_iter().map(|it| (it.line, it.name)).collect()
    }

    #[test]
    fn instructions_have_the_number_of_their_first_line() {
        let text = "# syntax=docker/dockerfile:1\n\n# a comment\nFROM x AS y\nrun a && \\\n  # said in between\n\n  b\nCOPY a b\n";
        assert_eq!(names(text), [(4, "FROM".to_owned()), (5, "RUN".to_owned()), (9, "COPY".to_owned())]);
        assert_eq!(parse(text).instructions[1].rest, "a &&   b");
    }

    #[test]
    fn the_text_of_a_heredoc_is_no_instruction() {
        let text = "FROM x\nRUN <<EOF cat >a <<-'END'\nFROM nothing\nEOF\nRUN no\n\tEND\nCOPY <<\"A\" /a\nRUN b\nA\nRUN cat <<<x $((1<<2)) '<<EOF'\nUSER 1\n";
        let lines: Vec<usize> = parse(text).instructions.iter().map(|it| it.line).collect();
        assert_eq!(lines, [1, 2, 7, 10, 11]);
        let heredocs: Vec<Option<u32>> = parse(text).instructions.iter().map(|it| it.heredoc).collect();
        assert_eq!(heredocs, [None, Some(4), Some(4), None, None]);
    }

    #[test]
    fn a_heredoc_may_have_blanks_before_its_name_and_one_without_an_end_is_a_shift_or_a_comment() {
        let of = |text: &str| {
            let file = parse(&format!("FROM x\n{text}\nUSER 1\n"));
            file.instructions[1..].iter().map(|it| format!("{} {:?}", it.name, it.heredoc)).collect::<Vec<_>>().join(", ")
        };
        // The cases of findings/a-shift-in-run-stops-a-build.sh, and the end marker in each line.
        for (text, seen) in [
            ("RUN cat << EOF > /f\nFROM y\nEOF", "RUN Some(16), USER None"),
            ("RUN cat <<  'E F' > /f\nFROM y\nE F", "RUN Some(16), USER None"),
            ("RUN cat <<a << b\nFROM y\na\nFROM z\nb", "RUN Some(16), USER None"),
            ("RUN ulimit -v $(( 1 << 20 ))", "RUN None, USER None"),
            ("RUN ulimit -v $(( 1 <<20 ))", "RUN None, USER None"),
            ("RUN ulimit -v $(( 1 << 20 ))\nCOPY a b\n20", "RUN Some(16), USER None"),
            ("RUN a # see <<EOF", "RUN None, USER None"),
            ("RUN cat <<<  EOF\nEOF", "RUN None, EOF None, USER None"),
            ("RUN cat <<- EOF\nEOF", "RUN None, EOF None, USER None"),
            ("RUN cat \\<< EOF\nEOF", "RUN None, EOF None, USER None"),
            ("RUN cat <<\\EOF\nFROM y\nEOF", "RUN Some(4), USER None"),
            ("RUN cat <<A\\ B\nFROM y\nA B", "RUN Some(4), USER None"),
        ] {
            assert_eq!(of(text), seen, "{text}");
        }
    }

    #[test]
    fn only_the_first_comments_are_directives() {
        let of = |text: &str| parse(text).syntax.map(|it| (it.line, it.image));
        assert_eq!(of("\u{feff}# escape=`\n#syntax = docker/dockerfile:1 more\nFROM x"), Some((2, "docker/dockerfile:1".to_owned())));
        assert_eq!(of("# words\n# syntax=docker/dockerfile:1\nFROM x"), None);
        assert_eq!(of("\n# syntax=docker/dockerfile:1\nFROM x"), None);
        assert_eq!(names("# escape=`\nFROM x\nRUN a `\nUSER b\nRUN c\\\nUSER d").len(), 4);
    }

    #[test]
    fn flags_stand_before_everything_else() {
        let copy = &parse("FROM x\nONBUILD COPY --chmod=0755 --link --from=\"y\" a --z b").instructions[1];
        assert_eq!(copy.name, "COPY");
        assert_eq!(copy.flags, [("chmod", "0755"), ("link", ""), ("from", "y")].map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!(copy.words(), ["a", "--z", "b"]);
    }
}
