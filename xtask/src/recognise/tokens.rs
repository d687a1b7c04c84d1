//! Words of JavaScript, Go and Rust without comments: enough to see a call by its name, and no more than that.

/// A word, a sign, or a text between quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

/// The language whose quotes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    JavaScript,
    Go,
    Rust,
}

/// How deep texts and code are read within one another; what nests deeper was written against a reader.
const DEEPEST: usize = 20;

/// The tokens with the numbers of their lines, from 1.
pub(super) fn tokens(text: &str, language: Language) -> Vec<(Token, usize)> {
    tokens_within(text, language, 0)
}

fn tokens_within(text: &str, language: Language, depth: usize) -> Vec<(Token, usize)> {
    let signs: Vec<char> = text.chars().collect();
    let mut out: Vec<(Token, usize)> = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < signs.len() {
        let sign = signs[at];
        let next = signs.get(at + 1).copied();
        match sign {
            '\n' => {
                line += 1;
                at += 1;
            }
            '/' if next == Some('/') => at = until(&signs, at, '\n'),
            '#' if at == 0 && next == Some('!') => at = until(&signs, at, '\n'),
            '/' if next == Some('*') => {
                at += 2;
                while at < signs.len() && !(signs[at] == '*' && signs.get(at + 1) == Some(&'/')) {
                    line += usize::from(signs[at] == '\n');
                    at += 1;
                }
                at += 2;
            }
            '/' if language == Language::JavaScript && begins_regex(&out) => {
                let mut in_class = false;
                at += 1;
                while at < signs.len() && signs[at] != '\n' && (signs[at] != '/' || in_class) {
                    in_class = (in_class || signs[at] == '[') && signs[at] != ']';
                    at += if signs[at] == '\\' { 2 } else { 1 };
                }
                at += 1;
                out.push((Token::Text(String::new()), line));
            }
            '"' | '`' | '\'' if is_quote(sign, &signs[at..], language) => {
                let begin = line;
                let mut inner = String::new();
                let mut code = Vec::new();
                let escapes = !(sign == '`' && language == Language::Go);
                at += 1;
                while at < signs.len() && signs[at] != sign {
                    if sign == '`'
                        && language == Language::JavaScript
                        && depth < DEEPEST
                        && signs[at] == '$'
                        && signs.get(at + 1) == Some(&'{')
                    {
                        // What stands between the braces is code, with texts of its own.
                        let end = braces_end(&signs, at + 1, depth);
                        let inside: String = signs[at + 2..end].iter().collect();
                        code.extend(tokens_within(&inside, language, depth + 1).into_iter().map(|(token, at)| (token, line + at - 1)));
                        line += inside.matches('\n').count();
                        inner.extend(&signs[at..(end + 1).min(signs.len())]);
                        at = end + 1;
                        continue;
                    }
                    if signs[at] == '\\' && escapes {
                        at += 1;
                    }
                    if let Some(inside) = signs.get(at) {
                        line += usize::from(*inside == '\n');
                        inner.push(*inside);
                    }
                    at += 1;
                }
                at += 1;
                out.push((Token::Text(inner), begin));
                out.append(&mut code);
            }
            _ if sign.is_alphanumeric() || sign == '_' || sign == '$' => {
                let begin = at;
                while at < signs.len() && (signs[at].is_alphanumeric() || signs[at] == '_' || signs[at] == '$') {
                    at += 1;
                }
                out.push((Token::Word(signs[begin..at].iter().collect()), line));
            }
            _ => {
                if !sign.is_whitespace() {
                    out.push((Token::Sign(sign), line));
                }
                at += 1;
            }
        }
    }
    out
}

fn until(signs: &[char], from: usize, end: char) -> usize {
    signs[from..].iter().position(|it| *it == end).map_or(signs.len(), |it| from + it)
}

/// Where the brace that opens at `at` is closed: braces in texts do not count, and a text between backticks has such braces itself.
fn braces_end(signs: &[char], mut at: usize, level: usize) -> usize {
    let mut depth = 0_usize;
    while at < signs.len() {
        match signs[at] {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            quote @ ('"' | '\'' | '`') => {
                at += 1;
                while at < signs.len() && signs[at] != quote {
                    at = match signs[at] {
                        '\\' => at + 1,
                        '$' if quote == '`' && level < DEEPEST && signs.get(at + 1) == Some(&'{') => braces_end(signs, at + 1, level + 1),
                        _ => at,
                    } + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    signs.len()
}

/// In Rust a single quote also begins a lifetime.
fn is_quote(sign: char, rest: &[char], language: Language) -> bool {
    match (language, sign) {
        (Language::Rust, '`') => false,
        (Language::Rust, '\'') => rest.get(2) == Some(&'\'') || rest.get(1) == Some(&'\\'),
        _ => true,
    }
}

/// Whether a slash after these tokens begins a regular expression: not after a value.
fn begins_regex(before: &[(Token, usize)]) -> bool {
    match before.last().map(|it| &it.0) {
        Some(Token::Word(word)) => ["return", "typeof", "case", "in", "of", "do", "else"].contains(&word.as_str()),
        Some(Token::Text(_)) | Some(Token::Sign(')' | ']' | '}')) => false,
        _ => true,
    }
}

/// Where a pattern of words and signs begins: `_` stands for any text or word.
pub(super) fn find<'a>(tokens: &'a [(Token, usize)], pattern: &'a [&'a str]) -> impl Iterator<Item = (Option<&'a str>, usize)> + 'a {
    tokens.windows(pattern.len()).filter_map(move |window| {
        let mut any = None;
        for ((token, _), wanted) in window.iter().zip(pattern) {
            match (token, *wanted) {
                (Token::Text(text), "_") => any = Some(text.as_str()),
                (Token::Word(word), "_word") => any = Some(word.as_str()),
                (Token::Word(word), wanted) if word == wanted => {}
                (Token::Sign(sign), wanted) if wanted.chars().eq([*sign]) => {}
                _ => return None,
            }
        }
        Some((any, window[0].1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_texts_and_regular_expressions_are_no_code() {
        let text =
            "#!/usr/bin/env node\n// process.env.A\n/* process.env.B\n*/ const r = /\"[/]/g; x = `process.env.C`\ny = process.env.D / 2\n";
        let tokens = tokens(text, Language::JavaScript);
        let found: Vec<_> = find(&tokens, &["process", ".", "env", ".", "_word"]).collect();
        assert_eq!(found, [(Some("D"), 5)]);
    }

    #[test]
    fn a_text_with_code_in_it_ends_where_it_ends() {
        let text =
            "a = `<ul>${rows.map((row) => `<li>${row[`a}`]}</li>`).join(\"}\")}</ul>\n${process.env.A}`;\nb = process.env.B;\nc = `${";
        let tokens = tokens(text, Language::JavaScript);
        let found: Vec<_> = find(&tokens, &["process", ".", "env", ".", "_word"]).collect();
        assert_eq!(found, [(Some("A"), 2), (Some("B"), 3)]);
        // Against a reader: it ends, and soon.
        assert!(!super::tokens(&"`${".repeat(100_000), Language::JavaScript).is_empty());
    }

    #[test]
    fn gos_raw_texts_and_rusts_lifetimes_are_read() {
        let go = tokens("x := `a\\`\nos.Getenv(\"PORT\")", Language::Go);
        assert_eq!(find(&go, &["os", ".", "Getenv", "(", "_"]).collect::<Vec<_>>(), [(Some("PORT"), 2)]);
        let rust = tokens("fn f<'a>(x: &'a str) { let c = '\"'; env::var(\"PORT\") }", Language::Rust);
        assert_eq!(find(&rust, &["env", ":", ":", "var", "(", "_"]).collect::<Vec<_>>(), [(Some("PORT"), 1)]);
    }
}
