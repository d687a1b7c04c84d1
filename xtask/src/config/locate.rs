//! Places in the file: from an error or a key's path to file, line, column and a caret.

use toml::de::{DeTable, DeValue};

use crate::config::{FILE, check::Complaint, origin};

/// An error of the parser.
pub(crate) fn syntax(text: &str, error: &toml::de::Error) -> String {
    let message = error.message();
    match error.span() {
        Some(span) => point(text, span.start, &on_one_line(message)),
        None => format!("{FILE}:{}:1: {}", line_without_span(text), on_one_line(message)),
    }
}

/// The line of an error whose place the parser does not say, such as too deep a table: the first line up to which the text has it.
fn line_without_span(text: &str) -> usize {
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
    ends.partition_point(|end| !DeTable::parse(&text[..*end]).is_err_and(|it| it.span().is_none())) + 1
}

/// A value of the wrong type. It may be a secret, so it is not shown.
pub(crate) fn wrong_type(text: &str, error: &toml::de::Error, path: &str) -> String {
    let mut message = error.message().to_owned();
    if path.ends_with(".secret_key") || path == "database.password" {
        "must be a string".clone_into(&mut message);
    }
    match path.split_once(".secrets.").map(|(_, it)| it.split_once('.')) {
        None => {}
        Some(None) => "must name a source, such as { env = \"NAME\" }; a value has no place in this file".clone_into(&mut message),
        Some(Some((_, "generate"))) => "must be a number of characters".clone_into(&mut message),
        Some(Some(_)) => "must be a string".clone_into(&mut message),
    }
    if let Some((before, _)) = message.split_once("expected struct ") {
        message = format!("{before}expected a table");
    }
    if let Some(name) = nearest(&message) {
        message.push_str(&format!("; did you mean `{name}`?"));
    }
    point(text, error.span().unwrap_or_default().start, &on_one_line(&format!("{path}: {message}")))
}

/// An unknown key, with the closest known key.
pub(crate) fn unknown(text: &str, path: &str, at: usize) -> String {
    let meant = origin::nearest(path).map(|it| format!("; did you mean `{it}`?")).unwrap_or_default();
    point(text, at, &on_one_line(&format!("unknown key `{path}`{meant}")))
}

/// A wrong value, shown at its key; without a place if it came from the environment.
pub(crate) fn value(text: &str, complaint: &Complaint) -> String {
    let entry = complaint.entry.as_ref().map(|it| format!(".{}", it.escape_debug())).unwrap_or_default();
    let message = on_one_line(&format!("{}{entry}: {}", complaint.key, complaint.text));
    match offset(text, complaint) {
        Some(at) => point(text, at, &message),
        None => message,
    }
}

fn offset(text: &str, complaint: &Complaint) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let mut table: &DeTable<'_> = document.get_ref();
    let mut parts = complaint.key.split('.').chain(complaint.entry.as_deref()).peekable();
    while let Some(part) = parts.next() {
        let (name, value) = table.iter().find(|(name, _)| name.get_ref().as_ref() == part)?;
        if parts.peek().is_none() {
            return Some(name.span().start);
        }
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => return None,
        }
    }
    None
}

/// The keys of a removed table, and the new lines for them. Values of secrets are not shown.
pub(crate) fn former(text: &str, keys: &[(String, usize)]) -> Option<String> {
    let (_, at) = keys.first()?;
    let document = DeTable::parse(text).ok()?;
    let value = |key: &str| {
        let (_, table) = document.get_ref().iter().find(|(name, _)| name.get_ref().as_ref() == origin::FORMER)?;
        let DeValue::Table(table) = table.get_ref() else { return None };
        let (_, value) = table.iter().find(|(name, _)| name.get_ref().as_ref() == key)?;
        text.get(value.span()).filter(|it| !it.contains('\n')).map(str::to_owned)
    };
    let (mut top, mut inner) = (String::new(), String::new());
    for (key, _) in keys.iter().filter(|(key, _)| !key.is_empty()) {
        let shown = if key == "secret_key" { None } else { value(key) };
        let shown = shown.unwrap_or_else(|| "…".to_owned());
        match key.as_str() {
            "namespace" => top.push_str(&format!("\n  namespace = {shown}")),
            "path" => inner.push_str(&format!("\n  page = {shown}")),
            key => inner.push_str(&format!("\n  {key} = {shown}")),
        }
    }
    let mut out = point(text, *at, "the table [app] is gone: its keys belong to the first service. Write instead");
    if !top.is_empty() {
        out.push_str(&format!("\n  # above the first table{top}"));
    }
    if !inner.is_empty() {
        out.push_str(&format!("\n  [frontend]{inner}"));
    }
    Some(out)
}

/// A message shows parts of the file, whose line breaks and other control characters would look like lines of the tool's own.
fn on_one_line(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    for it in message.chars() {
        if it.is_control() { out.extend(it.escape_debug()) } else { out.push(it) }
    }
    out
}

/// A longer line is not shown.
const LONGEST: usize = 200;

fn point(text: &str, at: usize, message: &str) -> String {
    let at = (0..=at.min(text.len())).rev().find(|it| text.is_char_boundary(*it)).unwrap_or_default();
    let begin = text[..at].rfind('\n').map_or(0, |it| it + 1);
    let line = text[..at].matches('\n').count() + 1;
    let column = text[begin..at].chars().count() + 1;
    let end = text[begin..].find('\n').map_or(text.len(), |it| begin + it);
    let shown = on_one_line(&without_value(&text[begin..end]).replace('\t', " "));
    if is_within_text(&text[..begin]) || shown.len() > LONGEST {
        return format!("{FILE}:{line}:{column}: {message}");
    }
    format!("{FILE}:{line}:{column}: {message}\n  | {shown}\n  | {:>column$}", "^")
}

/// The part of a line that is no value, since a value may be a secret: a key up to its `=`, or else the first word up to a quote.
fn without_value(line: &str) -> &str {
    let name = line.split('=').next().unwrap_or_default().trim_end();
    let is_key =
        name.len() < line.len() && !name.trim_start().contains(char::is_whitespace) && name.matches(['"', '\'']).count().is_multiple_of(2);
    if is_key || (name.starts_with('[') && name.ends_with(']')) {
        return name;
    }
    let unquoted = line.split(['"', '\'']).next().unwrap_or_default();
    let indent = unquoted.len() - unquoted.trim_start().len();
    let word = unquoted.split_whitespace().next().unwrap_or_default();
    &unquoted[..indent + word.len()]
}

/// Whether the position is inside a multi-line string, whose lines may all belong to a secret.
fn is_within_text(before: &str) -> bool {
    ["\"\"\"", "'''"].iter().any(|it| before.matches(it).count() % 2 == 1)
}

fn nearest(message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown variant ")?;
    let mut names = rest.split('`').skip(1).step_by(2);
    let wrong = names.next()?;
    names
        .map(|name| (strsim::damerau_levenshtein(wrong, name), name))
        .filter(|(distance, _)| *distance <= 3)
        .min()
        .map(|(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use crate::{
        config::Config,
        errors::{Exit, exit_code, render},
    };

    fn check(text: &str, expected: &str) {
        let error = Config::parse(text).unwrap_err();
        assert_eq!(exit_code(&error), Exit::Config);
        assert_eq!(render(&error), expected);
    }

    #[test]
    fn an_unknown_key_gets_its_line_and_the_nearest_name() {
        check(
            "[frontend]\npatchdir = \"x\"\n",
            "error[E0201]: Pocdeploy.toml:2:1: unknown key `frontend.patchdir`; did you mean `frontend.patch_dir`?\n    \
             | patchdir\n    | ^\n\nhint: correct the configuration; nothing was changed\nmore: cargo xtask explain E0201\n",
        );
    }

    #[test]
    fn a_wrong_value_is_shown_at_its_key_without_the_value() {
        check(
            "[frontend]\nsecret_key = \"short\"\n",
            "error[E0201]: Pocdeploy.toml:2:1: frontend.secret_key: must have at least 50 characters; leave the key out to have one generated\n    \
             | secret_key\n    | ^\n\nhint: correct the configuration; nothing was changed\nmore: cargo xtask explain E0201\n",
        );
    }

    #[test]
    fn a_secret_of_several_lines_is_not_shown_where_it_breaks_off() {
        let error = Config::parse("[frontend]\nsecret_key = \"\"\"canary\ncanary-4711\\q\"\"\"\n").unwrap_err();
        assert_eq!(exit_code(&error), Exit::Config);
        let said = render(&error);
        assert!(said.contains("Pocdeploy.toml:3:") && !said.contains("canary") && !said.contains("4711"), "{said}");
    }

    #[test]
    fn a_secret_without_a_sign_before_it_is_not_shown() {
        for text in [
            "secret_key \"canary\"",
            "secret_key canary",
            "secret_key: canary",
            "[\"canary\"",
            "  secret_key 'canary'",
            "secret_key \"x=canary\"",
            "secret_key canary=1",
        ] {
            let said = render(&Config::parse(&format!("[frontend]\n{text}\n")).unwrap_err());
            assert!(said.contains("Pocdeploy.toml:2:") && !said.contains("canary"), "{said}");
        }
    }

    #[test]
    fn a_table_that_is_too_deep_has_its_line() {
        let error = Config::parse(&format!("name = \"x\"\n\n[{}b]\nc = 1\n", "a.".repeat(300))).unwrap_err().to_string();
        assert_eq!(error, "Pocdeploy.toml:3:1: recursion limit");
    }

    #[test]
    fn a_mirror_is_pointed_at_by_its_own_name() {
        let error = Config::parse("[images.mirrors]\n\"docker.io\" = \"http://m\"\n\"ghcr.io\" = \"m\"\n").unwrap_err().to_string();
        assert!(error.starts_with("Pocdeploy.toml:3:1: images.mirrors.ghcr.io: `m` must read"), "{error}");
    }

    #[test]
    fn an_unknown_cluster_type_names_the_known_ones() {
        check(
            "[cluster]\ntype = \"kid\"\n",
            "error[E0201]: Pocdeploy.toml:2:8: cluster.type: unknown variant `kid`, expected one of `kind`, `existing`, `eks`, `aks`, `gke`; did you mean `kind`?\n    \
             | type\n    |        ^\n\nhint: correct the configuration; nothing was changed\nmore: cargo xtask explain E0201\n",
        );
    }

    #[test]
    fn a_file_of_before_gets_one_error_with_the_lines_of_today() {
        check(
            "[app]\nnamespace = \"shop\"\nreplicas = 3\npath = \"/polls/\"\nsecret_key = \"canary\"\n",
            "error[E0201]: Pocdeploy.toml:2:1: the table [app] is gone: its keys belong to the first service. Write instead\n    | namespace\n    | \
             ^\n    # above the first table\n    namespace = \"shop\"\n    [frontend]\n    replicas = 3\n    page = \"/polls/\"\n    secret_key = …\n\n\
             hint: correct the configuration; nothing was changed\nmore: cargo xtask explain E0201\n",
        );
    }
}
