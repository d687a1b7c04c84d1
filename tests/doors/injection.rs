//! Texts that mean something to YAML, SQL, HCL, a shell, a Dockerfile, a template of Helm, a Compose file or TOML, in every setting of
//! `Pocdeploy.toml`: each is refused with its key, or is the same text in the objects of the cluster and in exported files.

mod outcome;
mod texts;

use texts::{SETTINGS, TEXTS};

/// A name of one kind or another: none of the languages reads anything else from it in quotes.
fn is_name(text: &str) -> bool {
    text.chars().all(|it| it.is_ascii_alphanumeric() || ".-_:".contains(it)) && !text.starts_with('-')
}

#[test]
fn a_setting_that_is_a_name_takes_no_other_text_and_a_refusal_names_the_key_on_a_line_of_its_own() {
    let (mut pairs, mut refused, mut wrong) = (0, 0, Vec::new());
    for setting in SETTINGS {
        for text in TEXTS {
            pairs += 1;
            let Some(said) = setting.refusal(text) else {
                // `outcome.rs` follows what is free.
                if (!setting.is_free && !is_name(text)) || text.contains('\0') {
                    wrong.push(format!("{:?} takes {text:?}", setting.toml));
                }
                continue;
            };
            refused += 1;
            if !said.contains(setting.key) || !said.contains("Pocdeploy.toml:") {
                wrong.push(format!("{:?}, {text:?}: {said:?}", setting.toml));
            }
            let is_raw = text.contains(char::is_control) && said.contains(text.trim_end());
            if is_raw || said.contains(|it: char| it.is_control() && it != '\n') {
                wrong.push(format!("{:?} is told with its control characters: {said:?}", setting.toml));
            }
        }
    }
    eprintln!("{} texts in {} settings: {refused} of {pairs} refused", TEXTS.len(), SETTINGS.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(TEXTS.len() >= 60 && SETTINGS.len() >= 70);
    assert!(pairs >= 4_000 && refused >= 3_000);
}
