//! The user's invocation of this program: `cargo xtask` in a checkout, `pocdeploy` if it is installed, with `--name` if it was given. Hints
//! use it, so that users can copy commands unchanged.

use std::{path::Path, sync::OnceLock};

use crate::embedded;

/// The name in a checkout, which all texts in the code use.
const IN_CHECKOUT: &str = "cargo xtask";
/// Commands that concern no instance, or all.
const OF_NO_INSTANCE: [&str; 7] = ["doctor", "eject", "explain", "help", "init", "install", "ls"];

/// The value of `--name`.
static INSTANCE: OnceLock<String> = OnceLock::new();

/// Sets the instance for all hints. Call it once, with the value of `--name`.
pub fn for_instance(name: &str) {
    INSTANCE.set(name.to_owned()).ok();
}

/// The text with the user's invocation. A converted text stays unchanged.
pub fn reworded(text: &str) -> String {
    reword(text, program(), INSTANCE.get().map(String::as_str))
}

/// The invocation for a command about an instance.
pub fn name() -> String {
    with(INSTANCE.get().map(String::as_str))
}

/// The program's name, and `--name` if the instance is given.
pub fn with(instance: Option<&str>) -> String {
    instance.map_or_else(|| program().to_owned(), |it| format!("{} --name {it}", program()))
}

/// The program's name.
pub fn program() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        if !embedded::is_installed() {
            return IN_CHECKOUT.to_owned();
        }
        let called = std::env::args().next().unwrap_or_default();
        Path::new(&called).file_name().map_or_else(|| "pocdeploy".to_owned(), |it| it.to_string_lossy().into_owned())
    })
}

fn reword(text: &str, program: &str, instance: Option<&str>) -> String {
    let mut parts = text.split(IN_CHECKOUT);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(program);
        let command = part.strip_prefix(' ').unwrap_or_default();
        let command = command.split(|it: char| !it.is_ascii_lowercase() && it != '-').next().unwrap_or_default();
        let is_command = command.starts_with(|it: char| it.is_ascii_lowercase());
        if let Some(instance) = instance.filter(|_| is_command && !OF_NO_INSTANCE.contains(&command)) {
            out.push_str(&format!(" --name {instance}"));
        }
        out.push_str(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_names_the_program_and_the_instance_as_the_user_does() {
        for (text, plain, named) in [
            ("run `cargo xtask update`", "run `p update`", "run `p --name x update`"),
            ("cargo xtask db restore a.dump", "p db restore a.dump", "p --name x db restore a.dump"),
            ("cargo xtask delete, then cargo xtask create", "p delete, then p create", "p --name x delete, then p --name x create"),
            ("cargo xtask explain E0107, cargo xtask ls", "p explain E0107, p ls", "p explain E0107, p ls"),
            ("cargo xtask --name y kubectl", "p --name y kubectl", "p --name y kubectl"),
            ("cargo xtask: cargo xtask", "p: p", "p: p"),
            ("nothing", "nothing", "nothing"),
        ] {
            assert_eq!(reword(text, "p", None), plain);
            assert_eq!(reword(text, "p", Some("x")), named);
        }
        let once = reword("cargo xtask update", IN_CHECKOUT, Some("x"));
        assert_eq!(reword(&once, IN_CHECKOUT, Some("x")), once);
    }
}
