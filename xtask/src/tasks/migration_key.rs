//! The inputs of the migration Job: all files of the image, except those that cannot affect Django's `migrate`.
//!
//! `migrate` applies missing migrations of the installed applications. These depend on migration files, settings, packages and their
//! imports. Files that settings and migrations do not import by any convention are omitted, but only if the application is known to be
//! Django and the Job runs its `manage.py`. Any other migration may read any file, so every file is an input.

use std::{fs, path::Path};

use anyhow::Result;
use serde_json::Value;

use crate::{
    config::ServiceName,
    env::Env,
    fingerprint::Fingerprint,
    tasks::{
        Task as _,
        image::{self, Image},
    },
};

/// The parts of the image that are inputs of this Job. `built` is the service with the image.
pub(super) fn inputs(env: &Env, built: Option<ServiceName>, job: &Value) -> Result<Fingerprint> {
    let image = Image(built);
    let mut out = Fingerprint::clone(&*image::inputs(env, built)?);
    let files = out.parts().filter_map(|(name, _)| name.strip_prefix("app/"));
    if runs_manage(job) && is_django(&env.scope(image.id()).stage(), files) {
        out.retain(|name| name.strip_prefix("app/").is_none_or(may_matter));
    }
    Ok(out)
}

/// Whether a container of the Job explicitly runs Django's script. The image's own command may be anything.
fn runs_manage(job: &Value) -> bool {
    let containers = job.pointer("/spec/template/spec/containers").and_then(Value::as_array);
    let words = |it: &Value| {
        let lists = [it.get("command"), it.get("args")].into_iter().flatten().filter_map(Value::as_array).flatten();
        lists.filter_map(Value::as_str).any(|it| it.contains("manage.py") || it.contains("django-admin"))
    };
    containers.is_some_and(|it| !it.is_empty() && it.iter().all(words))
}

/// Whether the application has a `manage.py` that names a settings module, and requires Django.
fn is_django<'a>(stage: &Path, mut files: impl Iterator<Item = &'a str>) -> bool {
    let read = |path: &str| fs::read_to_string(stage.join(path)).unwrap_or_default();
    let is_script = |path: &str| Path::new(path).file_name().is_some_and(|it| it == "manage.py");
    read("requirements.txt").lines().any(names_django) && files.any(|path| is_script(path) && read(path).contains("DJANGO_SETTINGS_MODULE"))
}

/// Whether a line of requirements is Django itself: `Django==5.2`, `django[argon2]>=5`.
fn names_django(line: &str) -> bool {
    let line = line.trim_start().to_ascii_lowercase();
    line.strip_prefix("django").is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || "-_.".contains(c)))
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
    use serde_json::json;

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
            "sql/schema.sql",
            "mysite/settings.py",
            "manage.py",
            "requirements.txt",
        ] {
            assert!(may_matter(path), "{path}");
        }
    }

    #[test]
    fn an_application_is_django_by_its_script_and_its_requirements_together() {
        let script = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')\n";
        for (path, text, requirements, expected) in [
            ("manage.py", script, "asgiref==3\ndjango==6.1.3 \\\n    --hash=sha256:00\n", true),
            ("src/manage.py", script, "Django\n", true),
            ("manage.py", script, "django[argon2]>=5\n", true),
            // Flask-Script uses the same file name.
            ("manage.py", "from flask_script import Manager\n", "django\n", false),
            ("manage.py", script, "djangorestframework==3\ndjango-environ\n# django\n", false),
            ("manage.py", script, "", false),
            ("app.py", script, "django\n", false),
        ] {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
            fs::write(dir.path().join(path), text).unwrap();
            fs::write(dir.path().join("requirements.txt"), requirements).unwrap();
            let files = [path, "requirements.txt"];
            assert_eq!(is_django(dir.path(), files.into_iter()), expected, "{path}: {text} {requirements}");
        }
    }

    #[test]
    fn a_job_of_another_command_may_read_any_file() {
        let job = |container: Value| json!({ "spec": { "template": { "spec": { "containers": [container] } } } });
        assert!(runs_manage(&job(json!({ "command": ["python3", "manage.py", "migrate", "--noinput"] }))));
        assert!(runs_manage(&job(json!({ "command": ["sh", "-c"], "args": ["./src/manage.py migrate"] }))));
        for container in [json!({ "command": ["node", "migrate.js"] }), json!({ "command": ["alembic", "upgrade", "head"] }), json!({})] {
            assert!(!runs_manage(&job(container.clone())), "{container}");
        }
    }
}
