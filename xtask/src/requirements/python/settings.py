"""pip's settings that decide what may be installed, for uv and for pip itself; prints one JSON object.

usage: POCDEPLOY_FILE_OPTIONS=JSON python -I settings.py

The variable holds a JSON object of options that a requirements file holds; they go before pip's settings
Result: {"uv": {variable: value}, "arguments": [of `uv pip compile`], "pip": {variable: value}, "unheard": [name], "policy": text, "folders": [find-links folder]}.

pip's files are read by pip's own code, so that their places, sections and order are pip's. Values may carry credentials: the
caller hands them to a child's environment and prints none. What shapes an environment (user, target, prefix, python ...) is
left out: these calls have an environment of their own.
Source of the names: pip 26.3, pip/_internal/cli/cmdoptions.py; of uv's variables: uv 0.13.9, `uv pip compile --help`.
"""

import json
import os
import re
from datetime import datetime

from pip._internal.configuration import Configuration

# Where an installation goes, how it is shown, how long a try lasts: none of these decides which file is taken.
HARMLESS = {
    "user", "target", "prefix", "root", "require-virtualenv", "require-venv", "python", "src", "log", "log-file", "local-log", "report", "quiet",
    "verbose", "no-color", "color", "progress-bar", "no-input", "disable-pip-version-check", "no-python-version-warning",
    "root-user-action", "break-system-packages", "no-warn-script-location", "no-warn-conflicts", "compile", "no-compile",
    "upgrade", "upgrade-strategy", "force-reinstall", "ignore-installed", "exists-action", "debug", "isolated", "dry-run", "dest",
    "no-clean", "build-isolation", "no-build-isolation", "use-pep517", "no-use-pep517", "config-settings", "build-constraint",
    "check-build-dependencies", "prefer-binary", "require-hashes", "no-require-hashes", "cache-dir", "no-cache-dir", "format",
    "timeout", "default-timeout", "retries", "resume-retries", "use-feature", "use-deprecated", "no-proxy-env", "config-file",
}
# pip gets these as they are; uv has its own words for them, or none.
FOR_PIP = ["index-url", "extra-index-url", "no-index", "find-links", "uploaded-prior-to", "trusted-host", "cert", "client-cert",
           "proxy", "keyring-provider", "timeout", "default-timeout", "retries", "resume-retries", "use-feature", "use-deprecated",
           "cache-dir", "no-cache-dir", "no-proxy-env"]
ALIASES = {"pypi-url": "index-url", "i": "index-url", "f": "find-links", "c": "constraint"}


def main():
    file_options = json.loads(os.environ.get("POCDEPLOY_FILE_OPTIONS") or "{}")
    raw = configured()
    for name, value in file_options.items():
        # A file's --index-url replaces; what is a list there adds to the settings.
        adds = name in ("extra-index-url", "find-links", "trusted-host") and name in raw
        raw[name] = f"{raw[name]}\n{value}" if adds else value
    print(json.dumps(translated(raw)))


def configured():
    configuration = Configuration(isolated=False, load_only=None)
    configuration.load()
    items = {}
    for key, value in configuration.items():
        # pip 26 gives {file: {key: value}} by kind of source, older ones one flat mapping.
        if isinstance(value, dict):
            items.update(value)
        else:
            items[key] = value
    out = {}
    # pip's documentation, "Precedence within": the environment, then the command's section, then [global].
    for section in ("global", "install", "download", ":env:"):
        for key, value in items.items():
            kind, _, name = key.partition(".")
            name = name.replace("_", "-")
            if kind == section and str(value).strip():
                out[ALIASES.get(name, name)] = str(value).strip()
    return out


def is_true(text):
    return text.strip().lower() in ("1", "true", "yes", "on", "y", "t")


def translated(raw):
    uv, unheard = {}, []
    flags = [name for name in ("no-index", "pre") if is_true(raw.get(name, "0"))]
    words = {name: raw.get(name, "").split() for name in ("extra-index-url", "find-links", "trusted-host", "constraint")}
    if "index-url" in raw:
        uv["UV_DEFAULT_INDEX"] = raw["index-url"]
    if words["extra-index-url"]:
        uv["UV_INDEX"] = " ".join(words["extra-index-url"])
    # pip takes the best of all indexes, uv by default the first that knows the name.
    uv["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    if words["find-links"]:
        uv["UV_FIND_LINKS"] = ",".join(words["find-links"])
    # No variable of uv's says this, and UV_CONSTRAINT counts only without any --constraints, which our call has.
    arguments = ["--no-index"] if "no-index" in flags else []
    for path in words["constraint"]:
        arguments += ["--constraints", path]
    if words["trusted-host"]:
        uv["UV_INSECURE_HOST"] = " ".join(words["trusted-host"])
    for name, variable in (("cert", "SSL_CERT_FILE"), ("client-cert", "SSL_CLIENT_CERT"), ("proxy", "ALL_PROXY")):
        if name in raw:
            uv[variable] = raw[name]
    if "proxy" in raw:
        uv["HTTPS_PROXY"] = uv["HTTP_PROXY"] = raw["proxy"]
    if "pre" in flags or raw.get("all-releases") == ":all:":
        uv["UV_PRERELEASE"] = "allow"
    elif "all-releases" in raw:
        unheard.append("all-releases")
    if raw.get("only-final") == ":all:":
        uv["UV_PRERELEASE"] = "disallow"
    elif "only-final" in raw:
        unheard.append("only-final")
    policy = raw.get("uploaded-prior-to", "")
    if policy:
        uv["UV_EXCLUDE_NEWER"] = moment(policy)
    keyring = raw.get("keyring-provider", "auto")
    if keyring == "subprocess":
        uv["UV_KEYRING_PROVIDER"] = "subprocess"
    elif keyring == "import":
        unheard.append("keyring-provider = import")
    # Only wheels are taken, from every package.
    if raw.get("no-binary", ":none:") != ":none:":
        unheard.append("no-binary")
    heard = set(FOR_PIP) | {"constraint", "pre", "all-releases", "only-final", "only-binary", "no-binary"}
    unheard += sorted(name for name in raw if name not in heard and name not in HARMLESS)
    pip = {"PIP_" + name.upper().replace("-", "_"): raw[name] for name in FOR_PIP if name in raw}
    folders = [it[len("file://"):] if it.startswith("file://") else it for it in words["find-links"]]
    folders = [os.path.abspath(it) for it in folders if os.path.isdir(it)]
    return {"uv": uv, "arguments": arguments, "pip": pip, "unheard": unheard, "policy": policy, "folders": folders}


def moment(text):
    """uv's words for pip's date, which counts from its beginning in local time; a duration reads the same in both."""
    if re.match(r"^P\d+D$", text):
        return text
    try:
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return text
    return (at if at.tzinfo else at.astimezone()).isoformat()


if __name__ == "__main__":
    main()
