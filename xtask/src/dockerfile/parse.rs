//! Dockerfiles as BuildKit's frontend reads them: directives, continued lines, heredocs, flags. Only what decisions need.

use regex::Regex;

/// A Dockerfile's instructions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dockerfile {
    /// The frontend that `# syntax=` names.
    pub syntax: Option<Syntax>,
    pub instructions: Vec<Instruction>,
}

/// A `# syntax=` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syntax {
    /// Its number in the file, from 1.
    pub line: usize,
    /// The frontend's image.
    pub image: String,
}

/// One instruction, with the lines that continue it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// The number of its first line in the file, from 1.
    pub line: usize,
    /// In capitals.
    pub name: String,
    /// `--name=value`, in their order; without a value it is empty.
    pub flags: Vec<(String, String)>,
    /// What follows name and flags, on one line.
    pub rest: String,
    /// The N of the first frontend, Dockerfile 1.N, that reads the lines below as its heredocs: 4, or 16 for one with a blank after `<<`.
    pub heredoc: Option<u32>,
    /// The lines of its heredocs, with those that end them.
    pub body: String,
}

impl Instruction {
    /// The words after the flags, without their quotes.
    pub fn words(&self) -> Vec<String> {
        words(&self.rest).into_iter().map(|it| it.replace(['"', '\''], "")).collect()
    }

    /// The values of a flag.
    pub fn flag<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.flags.iter().filter(move |(it, _)| it == name).map(|(_, value)| value.as_str())
    }
}

/// Reads a file. Nothing is refused: what makes no sense is the builder's to tell.
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
            // Comments and empty lines between the parts of an instruction are no part of it.
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
        // One without an end is a shift (`$(( 1 << 20 ))`) or a comment to builders that know no such heredoc; the others refuse it.
        if let Some(end) = end {
            instruction.heredoc = opened.iter().map(|it| it.since).max();
            instruction.body = lines[next..end].join("\n");
            next = end;
        }
        // A comment above continues nothing: the number is that of the instruction's own first line.
        let above = lines[line - 1..].iter().take_while(|it| it.trim().is_empty() || it.trim_start().starts_with('#')).count();
        instruction.line = line + above;
        out.instructions.push(instruction);
    }
    out
}

/// What the first comments say, and the character that continues a line.
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
    // What a later build runs is judged as if it ran in this one.
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

/// A word that opens a heredoc.
struct Heredoc {
    /// The line that ends it.
    name: String,
    strips_tabs: bool,
    /// See [`Instruction::heredoc`].
    since: u32,
}

fn heredocs(instruction: &Instruction) -> Vec<Heredoc> {
    if !["RUN", "COPY", "ADD"].contains(&instruction.name.as_str()) {
        return Vec::new();
    }
    let Ok(opening) = Regex::new(r"^\d*<<(-?)(\s*)([^<]+)$") else { return Vec::new() };
    let found = |word: String| {
        let parts = opening.captures(&word)?;
        let name = parts[3].replace(['"', '\'', '\\'], "");
        let since = if parts[2].is_empty() { 4 } else { 16 };
        (!name.is_empty()).then(|| Heredoc { name, strips_tabs: !parts[1].is_empty(), since })
    };
    words(&instruction.rest).into_iter().filter_map(found).collect()
}

/// Words between blanks that no quote holds together, with their quotes. Blanks right after `<<` belong to the word, as in BuildKit's
/// lexer (`processPossibleHeredoc` of its shell/lex.go); those after `<<-` do not.
fn words(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let (mut word, mut quote, mut is_escaped) = (String::new(), None, false);
    // How many `<` the word ends with.
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
        // What findings/a-shift-in-run-stops-a-build.sh sees, with the end that each line names.
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
