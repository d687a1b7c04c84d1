//! Which module may use which: layers from top to bottom, and door modules with their libraries.

use crate::sources;

/// A module uses only modules of lower rows, so there are no cycles.
const LAYERS: [&[&str]; 21] = [
    &["main"],
    &["checkout"],
    &["lib"],
    &["commands"],
    &["flags"],
    &["runner", "doctor"],
    &["tasks"],
    &["artifacts", "export", "sbom", "scaffold"],
    &["provider", "recognise"],
    &["authority", "images", "requirements", "snapshot"],
    &["cluster", "deploy", "engines", "record"],
    &["npm", "patch", "secrets", "setup", "upstream"],
    &["env", "host_quirks", "port"],
    &["engine"],
    &["lock", "tool"],
    &["files", "report", "progress"],
    &["fingerprint", "graph"],
    &["config", "dockerfile", "interrupt"],
    &["errors", "exposure"],
    &["invocation"],
    &["embedded", "layout", "mutation", "probe", "redact", "regular", "terminal"],
];

fn row(module: &str) -> usize {
    LAYERS.iter().position(|it| it.contains(&module)).unwrap_or_else(|| panic!("{module} is in no row of tests/layers.rs"))
}

/// The top-level module of a file.
fn module(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap_or_default()
}

#[test]
fn every_module_stands_in_a_row_and_every_row_holds_modules_that_are_there() {
    let sources = sources();
    for (name, _) in &sources {
        row(module(name));
    }
    for listed in LAYERS.concat() {
        assert!(sources.iter().any(|(name, _)| module(name) == listed), "there is no module {listed}");
    }
}

#[test]
fn modules_use_only_what_stands_in_the_rows_below() {
    for (name, text) in sources() {
        let here = module(&name);
        for used in used_modules(&text) {
            let allowed = used == here || row(&used) > row(here);
            assert!(allowed, "{name} uses {used}, which does not stand below {here}");
        }
    }
}

/// The modules of this crate in the code, by path or in a grouped import. Unit tests may use any module.
fn used_modules(text: &str) -> Vec<String> {
    let code: String =
        text.split("#[cfg(test)]").next().unwrap_or_default().lines().map(|it| it.split("//").next().unwrap_or("")).collect();
    let mut out = Vec::new();
    for rest in code.split("crate::").skip(1).chain(code.split("pocdeploy::").skip(1)) {
        match rest.strip_prefix('{') {
            Some(group) => out.extend(members(group).into_iter().map(|it| word(it.trim()))),
            None => out.push(word(rest)),
        }
    }
    let modules = LAYERS.concat();
    out.retain(|it| modules.contains(&it.as_str()));
    out
}

/// The members of a group up to its closing brace, with nested groups inside members.
fn members(group: &str) -> Vec<&str> {
    let (mut depth, mut begin, mut out) = (0, 0, Vec::new());
    for (at, sign) in group.char_indices() {
        match sign {
            '{' => depth += 1,
            '}' if depth == 0 => {
                out.push(&group[begin..at]);
                return out;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                out.push(&group[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    out
}

fn word(text: &str) -> String {
    text.chars().take_while(|it| it.is_alphanumeric() || *it == '_').collect()
}

#[test]
fn imports_are_read_in_every_form() {
    let code = "use crate::{\n    a::{self, b},\n    env::Env,\n    graph, // tool\n};\npub use crate::lock::Lock;\nlet x = crate::port::choose();";
    assert_eq!(used_modules(code), ["env", "graph", "lock", "port"]);
    assert_eq!(used_modules("fn f() {}\n#[cfg(test)]\nmod tests { use crate::env::Env; }"), Vec::<String>::new());
}

#[test]
fn each_door_is_the_only_one_to_name_its_library() {
    const DOORS: [(&str, &[&str]); 5] = [
        ("bollard::", &["engine"]),
        ("kube::", &["cluster"]),
        ("k8s_openapi::", &["cluster"]),
        ("procfs::", &["port", "tool"]),
        ("clap::", &["flags", "checkout", "main"]),
    ];
    for (name, text) in sources() {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (library, doors) in DOORS {
            let allowed = doors.contains(&module(&name)) || (library == "k8s_openapi::" && name == "deploy/secrets.rs");
            assert!(allowed || !code.contains(library), "{name} names {library}");
        }
    }
}
