//! The tool's Python scripts, run by the machine's Python: the scan of imports in many trees, the translation of
//! pip's settings, and the supervisor of `dev`.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

/// Replaces stdlib-list for the scan: one image's Python version, and an older one.
const STDLIB: &str = "short_versions = ['2.7', '3.13']\nlong_versions = []\ndef stdlib_list(version):\n    \
    both = ['importlib', 'os', 'sys', 'json', 'typing', 'urllib.parse', 'asyncio']\n    \
    return both + (['urlparse', 'urllib2', 'imp'] if version == '2.7' else ['tomllib'])\n";

const PIPREQS: &str = "google:protobuf\nversion:chartio\nfrobnicate:strange-frobnicate\n";

#[path = "support/certificates.rs"]
mod certificates;
#[path = "scan/index.rs"]
mod index;
#[path = "scan/settings.rs"]
mod settings;
#[path = "scan/supervise.rs"]
mod supervise;

/// Modules that replace the real ones.
pub(crate) struct Stub(tempfile::TempDir);

impl Stub {
    pub(crate) fn new(files: &[(&str, &str)]) -> Stub {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            write(&dir.path().join(name), text.as_bytes());
        }
        Stub(dir)
    }
}

fn write(path: &Path, text: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Runs a script with the machine's Python; returns its output.
pub(crate) fn python(stub: &Stub, script: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Value {
    let run =
        "import runpy, sys; sys.path.insert(0, sys.argv[1]); sys.argv = sys.argv[2:]; runpy.run_path(sys.argv[0], run_name='__main__')";
    #[expect(clippy::disallowed_methods, reason = "the script itself is what is tested")]
    let out = Command::new("python3")
        .args(["-I", "-c", run])
        .arg(stub.0.path())
        .arg(scripts().join(script))
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/requirements/python")
}

/// Scans the files for Python 3.13.
fn scan(files: &[(&str, &[u8])], confirmed: &Value) -> Value {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        write(&dir.path().join("app").join(name), text);
    }
    let (app, mapping, packages) = (dir.path().join("app"), dir.path().join("mapping"), scripts().join("packages.txt"));
    write(&mapping, PIPREQS.as_bytes());
    let words = [app.to_str().unwrap(), "3.13", packages.to_str().unwrap(), mapping.to_str().unwrap(), &confirmed.to_string()];
    python(&Stub::new(&[("stdlib_list.py", STDLIB)]), "scan.py", &words, &[])
}

fn text_files<'a>(files: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a [u8])> {
    files.iter().map(|(name, text)| (*name, text.as_bytes())).collect()
}

/// Known packages, guesses and notes for one file beside a package `polls`.
#[track_caller]
fn check(code: &str, known: &[&str], guessed: &[&str]) -> String {
    let found = scan(&text_files(&[("polls/__init__.py", ""), ("polls/views.py", code)]), &json!({}));
    compare(&found, known, guessed)
}

#[track_caller]
fn compare(found: &Value, known: &[&str], guessed: &[&str]) -> String {
    let mut names: Vec<&String> = found["known"].as_object().unwrap().keys().collect();
    names.sort_unstable();
    let mut known = known.to_vec();
    known.sort_unstable();
    assert_eq!(names, known, "{found}");
    let guesses: Vec<String> = found["guessed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| format!("{}:{}", it["module"].as_str().unwrap(), it["requirement"].as_str().unwrap()))
        .collect();
    assert_eq!(guesses, guessed, "{found}");
    found["notes"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

#[test]
fn only_files_and_packages_at_the_top_hide_a_name() {
    let found = scan(
        &text_files(&[
            ("manage.py", "import django\nimport tools\nimport helpers_of_mine\n"),
            ("mysite/__init__.py", ""),
            ("mysite/celery.py", "from celery import Celery\n"),
            ("mysite/tasks.py", "import redis\nimport mysite.celery\n"),
            ("logs/redis/dump.log", ""),
            ("polls/templates/django/forms/field.html", ""),
            ("tools/__init__.py", ""),
            ("helpers_of_mine.py", ""),
            ("scripts/run.py", "import beside\n"),
            ("scripts/beside.py", ""),
            (".venv/lib/site.py", "import stranger\n"),
            ("env/pyvenv.cfg", ""),
            ("env/lib/x.py", "import stranger\n"),
            ("node_modules/gyp/gyp.py", "import stranger\n"),
        ]),
        &json!({}),
    );
    assert_eq!(compare(&found, &["Django", "celery", "redis"], &[]), "");
}

#[test]
fn an_application_in_a_folder_of_the_repository_is_its_own() {
    let files = [
        ("web/manage.py", "import shop.models\n"),
        ("web/shop/__init__.py", ""),
        ("src/lib_of_mine/__init__.py", "import lib_of_mine.x\n"),
    ];
    compare(&scan(&text_files(&files), &json!({})), &[], &[]);
}

#[test]
fn relative_imports_are_the_applications_own() {
    check(
        "try:\n    from .version import version\nexcept ImportError:\n    version = '0'\nfrom . import models\nfrom ..x import y\n",
        &[],
        &[],
    );
}

#[test]
fn our_own_table_goes_before_names_that_strangers_have() {
    check(
        "import environ, corsheaders, cv2, psycopg\nfrom google.cloud import storage\nimport google.auth.transport\n",
        &["django-environ", "django-cors-headers", "opencv-python-headless", "psycopg[binary]", "google-cloud-storage", "google-auth"],
        &[],
    );
}

#[test]
fn a_name_without_a_row_is_a_guess_and_one_of_an_everyday_word_not_even_that() {
    check(
        "import frobnicate, mystery, version, google.cloud.unheard_of\n",
        &[],
        &["frobnicate:strange-frobnicate", "google:google", "mystery:mystery", "version:"],
    );
    let files = text_files(&[("a.py", "import mystery, ours\n")]);
    compare(&scan(&files, &json!({ "mystery": "the-right-one", "ours": "" })), &["the-right-one"], &[]);
}

#[test]
fn the_images_own_standard_library_counts() {
    let notes = check("import tomllib, asyncio\nimport imp\n", &[], &[]);
    assert!(notes.contains("not in Python 3.13, and in no package: imp (polls/views.py:2)"), "{notes}");
}

#[test]
fn type_checking_versions_and_platforms_are_understood() {
    let code = "from typing import TYPE_CHECKING\nimport sys, typing\nif TYPE_CHECKING:\n    from _typeshed import X\n    import stubs\n\
        if typing.TYPE_CHECKING:\n    import stubs\nelse:\n    import redis\nif sys.version_info < (3, 11):\n    import tomli\n\
        if sys.version_info >= (3, 11):\n    pass\nelse:\n    import tomli\nif sys.platform == 'win32':\n    import winthing\n\
        if not TYPE_CHECKING:\n    import rich\nif sys.version_info[0] == 2:\n    import urllib2\n";
    assert_eq!(check(code, &["redis", "rich"], &[]), "");
}

#[test]
fn fallbacks_for_an_import_error_are_understood() {
    check("try:\n    from urllib.parse import urlparse\nexcept ImportError:\n    from urlparse import urlparse\n", &[], &[]);
    let notes = check("try:\n    import ujson as json\nexcept ImportError:\n    import json\n", &[], &[]);
    assert!(notes.contains("does without on an ImportError: ujson (polls/views.py:2)"), "{notes}");
    check("try:\n    import psycopg\nexcept ImportError:\n    import psycopg2 as psycopg\n", &["psycopg[binary]"], &[]);
    check("try:\n    import strange_thing\nexcept (ImportError, OSError):\n    import redis\n", &["redis"], &[]);
    check("try:\n    import local_settings_of_mine\nexcept ModuleNotFoundError:\n    pass\n", &[], &[]);
    check("try:\n    import django\nexcept ImportError as error:\n    raise RuntimeError('no') from error\n", &["Django"], &[]);
    check("try:\n    import redis\nexcept ValueError:\n    pass\n", &["redis"], &[]);
    // It is required elsewhere without a fallback.
    check("import ujson\ntry:\n    import ujson\nexcept ImportError:\n    ujson = None\n", &["ujson"], &[]);
}

#[test]
fn files_are_read_as_python_reads_them_and_what_no_python_reads_is_named() {
    let found = scan(
        &[
            ("latin.py", b"# -*- coding: latin-1 -*-\nimport httpx\nx = '\xe9'\n"),
            ("bom.py", b"\xef\xbb\xbfimport rich\n"),
            ("old.py", b"import django\nprint 'hello'\n"),
            ("template.py", b"from {{ project }} import x\nimport foo\n"),
            ("bytes.py", b"import click\nx = '\xe9'\n"),
            ("coding.py", b"# coding: no-such-thing\nimport click\n"),
            ("null.py", b"import click\0\n"),
        ],
        &json!({}),
    );
    let notes = compare(&found, &["httpx", "rich"], &[]);
    assert!(notes.starts_with("passed over, since no Python 3 reads it: "), "{notes}");
    for name in ["old.py (line 2: ", "template.py (line 1: ", "bytes.py (its encoding cannot be read", "coding.py (", "null.py ("] {
        assert!(notes.contains(name), "{name}: {notes}");
    }
}

#[test]
fn names_that_settings_hold_as_text_are_required() {
    let settings = "\
INSTALLED_APPS = ['django.contrib.admin', 'polls.apps.PollsConfig', 'rest_framework', 'mystery_app']
INSTALLED_APPS += ['debug_toolbar']
THIRD_PARTY_APPS = ('crispy_forms',)
MIDDLEWARE = ['whitenoise.middleware.WhiteNoiseMiddleware']
MIDDLEWARE.insert(0, 'corsheaders.middleware.CorsMiddleware')
DATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql', 'NAME': 'redis'}}
STORAGES = {'default': {'BACKEND': 'storages.backends.s3.S3Storage'}}
CACHES = {'default': {'BACKEND': 'django.core.cache.backends.redis.RedisCache', 'LOCATION': 'celery'}}
EMAIL_BACKEND = 'anymail.backends.mailgun.EmailBackend'
TEMPLATES = [{'BACKEND': 'django.template.backends.jinja2.Jinja2', 'DIRS': ['flask']}]
LANGUAGE_CODE = 'httpx'
";
    let files = text_files(&[("polls/__init__.py", ""), ("mysite/__init__.py", ""), ("mysite/settings.py", settings)]);
    compare(
        &scan(&files, &json!({})),
        &[
            "Django",
            "djangorestframework",
            "django-debug-toolbar",
            "django-crispy-forms",
            "whitenoise",
            "django-cors-headers",
            "psycopg[binary]",
            "django-storages",
            "boto3",
            "redis",
            "django-anymail",
            "Jinja2",
        ],
        &["mystery_app:mystery_app"],
    );
    // An imported driver is the intended one.
    let files = text_files(&[("settings.py", "import psycopg2\nDATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql'}}\n")]);
    compare(&scan(&files, &json!({})), &["Django", "psycopg2-binary"], &[]);
}

#[test]
fn what_only_tests_import_is_not_for_the_image() {
    let files =
        text_files(&[("polls/tests.py", "import pytest\n"), ("tests/test_x.py", "import faker, redis\n"), ("app.py", "import redis\n")]);
    let notes = compare(&scan(&files, &json!({})), &["redis"], &[]);
    assert!(notes.contains("only tests and tools import it: Faker (tests/test_x.py:1), pytest (polls/tests.py:1)"), "{notes}");
}

#[test]
fn a_module_that_is_imported_by_name_in_a_call_counts() {
    check("import importlib\nx = importlib.import_module('celery.app')\n", &["celery"], &[]);
}
