//! What decides whether the database's tables must be looked at: everything of the image but files that cannot matter.
//!
//! `migrate` does what the migrations of the installed applications say that were not applied yet. Which these are follows
//! from migration files, settings, packages and whatever those import. Only files that no settings and no migration
//! import by any convention are left out; a file of an unknown kind counts.

use std::path::Path;

use anyhow::Result;

use crate::{
    env::Env,
    fingerprint::Fingerprint,
    tasks::{Task as _, image::Image},
};

/// The parts of the image that may bring a migration.
pub(super) fn inputs(env: &Env) -> Result<Fingerprint> {
    let mut out = Image.inputs(env)?;
    out.parts.retain(|(name, _)| name.strip_prefix("app/").is_none_or(may_matter));
    Ok(out)
}

fn may_matter(path: &str) -> bool {
    let path = Path::new(path);
    let is_in = |folder: &str| path.parent().is_some_and(|it| it.components().any(|part| part.as_os_str() == folder));
    let text = |part: Option<&std::ffi::OsStr>| part.map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
    if is_in("migrations") || is_in("management") || is_in("fixtures") {
        return true;
    }
    let stem = text(path.file_stem());
    match text(path.extension()).as_str() {
        "html" | "css" | "js" | "svg" | "png" | "jpg" | "jpeg" | "gif" | "ico" | "webp" | "woff" | "woff2" | "md" | "po" | "mo" => false,
        "py" => {
            let of_pages = ["views", "urls", "forms", "admin", "serializers", "context_processors", "middleware"].contains(&stem.as_str());
            let of_tests = stem == "tests" || stem.starts_with("test_") || is_in("tests");
            !(of_pages || of_tests || is_in("templatetags"))
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_cannot_bring_a_migration_are_left_out() {
        for path in
            ["polls/views.py", "polls/templates/polls/index.html", "polls/static/style.css", "polls/test_vote.py", "mysite/tests/runner.py"]
        {
            assert!(!may_matter(path), "{path}");
        }
        for path in [
            "polls/migrations/0003_more.py",
            "polls/migrations/views.py",
            "polls/models.py",
            "polls/apps.py",
            "polls/helpers.py",
            "polls/fixtures/first.html",
            "mysite/settings.py",
            "manage.py",
            "requirements.txt",
        ] {
            assert!(may_matter(path), "{path}");
        }
    }
}
