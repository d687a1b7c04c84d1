"""What an application's own files ask for; prints one JSON object.

usage: python -I read.py KIND FILE TARGET SHOWN

KIND    requirements (pip's format), pyproject, or pylock
FILE    the file
TARGET  a JSON object: {"python": "3.13", "arch": "x86_64", "platforms": [wheel tags' platforms], "app": folder}
SHOWN   the file's name in messages

Result: {"requirements": [{"text", "hashes", "where"}], "constraints": [text], "options": {name: text}, "hashed": bool,
"problems": [{"where", "text", "why"}], "notes": [text]}.
pip's own code reads pip's format, so that comments, continued lines, `-r`, `-c` and ${VARIABLES} are what pip takes them for.
"""

import json
import os
import re
import sys

from pip._internal.network.session import PipSession
from pip._internal.req import req_file
from pip._vendor.packaging.markers import Marker
from pip._vendor.packaging.requirements import InvalidRequirement, Requirement
from pip._vendor.packaging.specifiers import SpecifierSet
from pip._vendor.packaging.utils import canonicalize_name, parse_wheel_filename

try:
    import tomllib
except ImportError:
    from pip._vendor import tomli as tomllib

SOURCE_ONLY = "it is no wheel, and the image is built without a compiler and a network"


def main():
    kind, path, target, shown = sys.argv[1:5]
    target = json.loads(target)
    out = {"requirements": [], "constraints": [], "options": {}, "hashed": False, "problems": [], "notes": []}
    try:
        {"requirements": requirements, "pyproject": pyproject, "pylock": pylock}[kind](path, target, shown, out)
    except Exception as error:
        text = str(error) or type(error).__name__
        out["problems"].append({"where": shown, "text": "", "why": f"cannot be read: {text.splitlines()[0]}"})
    print(json.dumps(out))


def environment(target):
    python = target["python"]
    return {
        "python_version": python, "python_full_version": python + ".0", "implementation_version": python + ".0",
        "implementation_name": "cpython", "platform_python_implementation": "CPython", "os_name": "posix", "sys_platform": "linux",
        "platform_system": "Linux", "platform_machine": target["arch"], "platform_release": "", "platform_version": "", "extra": "",
    }


def requirements(path, target, shown, out):
    parser = req_file.RequirementsFileParser(PipSession(), req_file.get_line_parser(None))
    options, with_hash, without = {}, 0, []
    for line in parser.parse(path, False):
        name = shown if line.filename == path else os.path.relpath(line.filename, target["app"])
        where = f"{name}, line {line.lineno}"
        folder = os.path.dirname(line.filename)
        if line.requirement is None:
            settings(line.opts, folder, where, options, out)
            continue
        text = line.requirement.strip()
        if line.is_editable:
            inner = {"where": where, "text": f"-e {text}"}
            why = "it is a folder or a repository, not a wheel"
            if os.path.realpath(os.path.join(folder, text.split("[")[0])) == os.path.realpath(target["app"]):
                why = "it is the application itself, which the Dockerfile copies into the image"
            out["problems"].append({**inner, "why": why})
            continue
        if text.startswith("${") or re.search(r"\$\{[A-Z0-9_]+\}", text):
            variable = re.search(r"\$\{([A-Z0-9_]+)\}", text)[1]
            out["problems"].append({"where": where, "text": text, "why": f"the variable {variable} is not set"})
            continue
        read = requirement(text, folder, options)
        if isinstance(read, str):
            out["problems"].append({"where": where, "text": text, "why": read})
            continue
        if line.constraint:
            out["constraints"].append(str(read))
            continue
        if read.marker and not read.marker.evaluate(environment(target)):
            continue
        hashes = [f"{kind}:{it}" for kind, many in (getattr(line.opts, "hashes", None) or {}).items() for it in many]
        with_hash += bool(hashes)
        if not hashes:
            without.append(f"{text} ({where})")
        read.marker = None
        out["requirements"].append({"text": str(read), "hashes": hashes, "where": where})
    out["hashed"] = bool(with_hash) or "require-hashes" in options
    if out["hashed"] and without:
        # pip's rule: one hash, or --require-hashes, asks for all.
        out["problems"].append({"where": shown, "text": without[0], "why": "it has no hash, while others or --require-hashes ask for hashes of all"})
    options.pop("require-hashes", None)
    out["options"] = {name: "\n".join(it) if isinstance(it, list) else it for name, it in options.items()}


def requirement(text, folder, options):
    """A Requirement, or why there is none. A wheel beside the file becomes its name and version, and its folder a find-links."""
    bare, _, marker = text.partition(" ;") if "://" in text else text.partition(";")
    bare = bare.strip()
    file = bare[len("file://"):] if bare.startswith("file://") else bare
    if file.endswith(".whl") and "://" not in file and " @ " not in file:
        file = os.path.join(folder, file)
        if not os.path.isfile(file):
            return "there is no such file"
        name, version, _, _ = parse_wheel_filename(os.path.basename(file))
        options.setdefault("find-links", []).append(os.path.dirname(os.path.abspath(file)))
        return Requirement(f"{name}=={version}" + (f" ; {marker}" if marker.strip() else ""))
    if re.match(r"(git|hg|svn|bzr)\+", bare) or re.search(r"@\s*(git|hg|svn|bzr)\+", bare):
        return "it is a repository, not a wheel"
    if "://" in bare.split("#")[0]:
        return "it is an address; " + ("its wheel can be kept in the application" if ".whl" in bare else SOURCE_ONLY)
    if re.match(r"[./~]", bare) or os.path.isdir(os.path.join(folder, bare)) and os.sep in bare:
        return "it is a folder or an archive, not a wheel"
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        return str(error).splitlines()[0]


def settings(opts, folder, where, options, out):
    def lists(name, values):
        options.setdefault(name, []).extend(values)

    if opts.index_url:
        options["index-url"] = opts.index_url
    if opts.extra_index_urls:
        lists("extra-index-url", opts.extra_index_urls)
    if opts.no_index:
        options["no-index"] = "1"
    for it in opts.find_links or []:
        beside = os.path.join(folder, it)
        lists("find-links", [os.path.abspath(beside) if os.path.exists(beside) else it])
    if opts.trusted_hosts:
        lists("trusted-host", opts.trusted_hosts)
    if opts.pre:
        options["pre"] = "1"
    if getattr(opts, "require_hashes", False):
        options["require-hashes"] = "1"
    if opts.format_control and opts.format_control.no_binary:
        names = ", ".join(sorted(opts.format_control.no_binary))
        out["notes"].append(f"{where}: --no-binary {names} is not followed, since only wheels go into the image")


def pyproject(path, target, shown, out):
    with open(path, "rb") as file:
        document = tomllib.load(file)
    project = document.get("project", {})
    needs = project.get("requires-python")
    if needs and not SpecifierSet(needs).contains(target["python"] + ".99"):
        why = f"the project asks for Python {needs}, and the image has {target['python']}"
        out["problems"].append({"where": shown, "text": f'requires-python = "{needs}"', "why": why})
    if "dependencies" in project.get("dynamic", []):
        why = "the dependencies are computed when the project is built; write them as a list, or write a requirements.txt"
        out["problems"].append({"where": shown, "text": 'dynamic = ["dependencies"]', "why": why})
    take(project.get("dependencies", []), f"{shown}, project.dependencies", target, out)
    groups = document.get("dependency-groups", {})
    wanted = target.get("groups", [])
    extras = project.get("optional-dependencies", {})
    for name in wanted:
        found = [it for it in groups if canonicalize_name(it) == canonicalize_name(name)]
        more = [it for it in extras if canonicalize_name(it) == canonicalize_name(name)]
        if found:
            from pip._vendor.packaging.dependency_groups import resolve_dependency_groups
            texts = [str(it) for it in resolve_dependency_groups(groups, found[0])]
            take(texts, f"{shown}, dependency-groups.{found[0]}", target, out)
        elif more:
            take(extras[more[0]], f"{shown}, project.optional-dependencies.{more[0]}", target, out)
        else:
            there = ", ".join(sorted([*groups, *extras])) or "none"
            out["problems"].append({"where": shown, "text": name, "why": f"there is no such dependency group or extra; there are: {there}"})
    rest = sorted(set(groups) - set(wanted))
    if rest:
        out["notes"].append(f"dependency groups that are not pinned: {', '.join(rest)}; `frontend.groups` names those to pin")


def take(texts, where, target, out):
    for text in texts:
        read = requirement(text, target["app"], out["options"])
        if isinstance(read, str):
            out["problems"].append({"where": where, "text": text, "why": read})
        elif not read.marker or read.marker.evaluate(environment(target)):
            read.marker = None
            out["requirements"].append({"text": str(read), "hashes": [], "where": where})
    out["options"] = {name: "\n".join(it) if isinstance(it, list) else it for name, it in out["options"].items()}


def pylock(path, target, shown, out):
    from pip._internal.utils.compatibility_tags import get_supported
    from pip._vendor.packaging.pylock import Pylock, PackageWheel

    with open(path, "rb") as file:
        lock = Pylock.from_dict(tomllib.load(file))
    tags = get_supported(version=target["python"].replace(".", ""), platforms=target["platforms"], impl="cp")
    groups = target.get("groups") or None
    chosen = lock.select(environment=environment(target), tags=tags, dependency_groups=groups)
    for package, file in chosen:
        if not isinstance(file, PackageWheel):
            out["problems"].append({"where": shown, "text": package.name, "why": SOURCE_ONLY})
            continue
        hashes = [f"{kind}:{it}" for wheel in package.wheels for kind, it in wheel.hashes.items()]
        out["requirements"].append({"text": f"{package.name}=={package.version}", "hashes": sorted(hashes), "where": shown})
    out["hashed"] = True


if __name__ == "__main__":
    main()
