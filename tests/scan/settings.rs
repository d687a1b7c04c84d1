//! The translation of pip's settings for uv and pip: the real script, with a replacement for pip's own code that reads files and variables.

use serde_json::{Value, json};

use super::{Stub, python};

/// Replaces pip's reader of its files: the given settings, in the format of pip 26.
const CONFIGURATION: &str = "import json, os\nclass Configuration:\n    def __init__(self, isolated, load_only): pass\n    \
    def load(self): pass\n    def items(self): return json.loads(os.environ['SETTINGS']).items()\n";

/// Translates settings by `section.name`, with the options of a requirements file.
fn translated(settings: &Value, options: &Value) -> Value {
    let stub = Stub::new(&[("pip/__init__.py", ""), ("pip/_internal/__init__.py", ""), ("pip/_internal/configuration.py", CONFIGURATION)]);
    let by_file = json!({ "/etc/pip.conf": settings }).to_string();
    python(&stub, "settings.py", &[], &[("SETTINGS", &by_file), ("POCDEPLOY_FILE_OPTIONS", &options.to_string()), ("TZ", "UTC")])
}

/// The value at a path of the result, for example `/uv/UV_INDEX`, for one setting of `[global]`.
#[track_caller]
fn check(name: &str, value: &str, place: &str, expected: &Value) {
    let found = translated(&json!({ format!("global.{name}"): value }), &json!({}));
    assert_eq!(found.pointer(place).unwrap_or(&Value::Null), expected, "{name} = {value}: {found}");
    assert_eq!(found["unheard"], json!([]), "{name} = {value}: {found}");
}

#[test]
fn every_setting_that_decides_what_may_be_installed_reaches_uv() {
    let text = |it: &str| json!(it);
    for (name, value, place, expected) in [
        ("index-url", "https://u:p@one/simple", "/uv/UV_DEFAULT_INDEX", text("https://u:p@one/simple")),
        ("extra-index-url", "https://two\nhttps://three", "/uv/UV_INDEX", text("https://two https://three")),
        ("extra-index-url", "https://two", "/uv/UV_INDEX_STRATEGY", text("unsafe-best-match")),
        ("find-links", "https://files/ wheelhouse", "/uv/UV_FIND_LINKS", text("https://files/,wheelhouse")),
        ("no-index", "true", "/arguments", json!(["--no-index"])),
        ("no-index", "false", "/arguments", json!([])),
        ("constraint", "a.txt b.txt", "/arguments", json!(["--constraints", "a.txt", "--constraints", "b.txt"])),
        ("uploaded-prior-to", "P7D", "/uv/UV_EXCLUDE_NEWER", text("P7D")),
        ("uploaded-prior-to", "2026-11-01", "/uv/UV_EXCLUDE_NEWER", text("2026-11-01T00:00:00+00:00")),
        ("uploaded-prior-to", "2026-11-01T08:00:00Z", "/uv/UV_EXCLUDE_NEWER", text("2026-11-01T08:00:00+00:00")),
        ("uploaded-prior-to", "P7D", "/policy", text("P7D")),
        ("trusted-host", "one two:8443", "/uv/UV_INSECURE_HOST", text("one two:8443")),
        ("cert", "/etc/company.pem", "/uv/SSL_CERT_FILE", text("/etc/company.pem")),
        ("client-cert", "/etc/me.pem", "/uv/SSL_CLIENT_CERT", text("/etc/me.pem")),
        ("proxy", "http://proxy:3128", "/uv/ALL_PROXY", text("http://proxy:3128")),
        ("proxy", "http://proxy:3128", "/uv/HTTPS_PROXY", text("http://proxy:3128")),
        ("pre", "yes", "/uv/UV_PRERELEASE", text("allow")),
        ("all-releases", ":all:", "/uv/UV_PRERELEASE", text("allow")),
        ("only-final", ":all:", "/uv/UV_PRERELEASE", text("disallow")),
        ("keyring-provider", "subprocess", "/uv/UV_KEYRING_PROVIDER", text("subprocess")),
        // Only wheels are accepted, whatever these settings say.
        ("only-binary", ":all:", "/arguments", json!([])),
        ("prefer-binary", "true", "/arguments", json!([])),
        ("no-binary", ":none:", "/arguments", json!([])),
    ] {
        check(name, value, place, &expected);
    }
}

#[test]
fn what_pip_downloads_with_is_what_pip_was_told() {
    for (name, value) in [
        ("index-url", "https://one"),
        ("extra-index-url", "https://two"),
        ("no-index", "1"),
        ("find-links", "wheelhouse"),
        ("uploaded-prior-to", "P7D"),
        ("trusted-host", "one"),
        ("cert", "/c"),
        ("client-cert", "/d"),
        ("proxy", "http://p"),
    ] {
        check(name, value, &format!("/pip/PIP_{}", name.to_uppercase().replace('-', "_")), &json!(value));
    }
}

#[test]
fn a_setting_that_neither_follows_is_named_and_what_decides_nothing_is_not() {
    let unheard = |settings: Value| translated(&settings, &json!({}))["unheard"].clone();
    for (name, value) in [
        ("no-binary", "lxml"),
        ("all-releases", "django"),
        ("only-final", "django"),
        ("ignore-requires-python", "true"),
        ("no-deps", "true"),
        ("platform", "win_amd64"),
        ("requirement", "more.txt"),
        ("a-word-of-tomorrow", "1"),
    ] {
        assert_eq!(unheard(json!({ format!("global.{name}"): value })), json!([name]));
    }
    assert_eq!(unheard(json!({ "global.keyring-provider": "import" })), json!(["keyring-provider = import"]));
    assert_eq!(
        unheard(json!({ "global.timeout": "60", "install.user": "true", "global.cache-dir": "/c", ":env:.verbose": "1" })),
        json!([])
    );
}

#[test]
fn the_environment_goes_before_the_files_and_the_requirements_file_before_both() {
    let settings = json!({
        "global.index-url": "https://file", "install.index-url": "https://section", ":env:.index-url": "https://variable",
        "global.find-links": "one", "wheel.index-url": "https://not-ours",
    });
    assert_eq!(translated(&settings, &json!({}))["uv"]["UV_DEFAULT_INDEX"], "https://variable");
    let found = translated(&settings, &json!({ "index-url": "https://own", "find-links": "two" }));
    assert_eq!(found["uv"]["UV_DEFAULT_INDEX"], "https://own");
    assert_eq!(found["uv"]["UV_FIND_LINKS"], "one,two");
    assert_eq!(found["pip"]["PIP_FIND_LINKS"], "one\ntwo");
}
