//! How the user called this program: `cargo xtask` in a checkout, `pocdeploy` once it is installed. Hints say it the same way.

use std::{path::Path, sync::OnceLock};

use crate::carried;

/// The name in a checkout, which hints in the code are written with.
const IN_CHECKOUT: &str = "cargo xtask";

/// A hint in the words of this call.
pub fn reworded(text: &str) -> String {
    text.replace(IN_CHECKOUT, name())
}

/// What to write before a command's name.
pub fn name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        if !carried::is_installed() {
            return IN_CHECKOUT.to_owned();
        }
        let called = std::env::args().next().unwrap_or_default();
        Path::new(&called).file_name().map_or_else(|| "pocdeploy".to_owned(), |it| it.to_string_lossy().into_owned())
    })
}
