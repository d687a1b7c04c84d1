"""Which distributions an application's own Python files need; prints one JSON object.

usage: python -I scan.py APP PYTHON PACKAGES-TABLE PIPREQS-TABLE CONFIRMED

APP             the staged application
PYTHON          the image's Python, as 3.13
PACKAGES-TABLE  our table of imports and their distributions
PIPREQS-TABLE   pipreqs' own, used after ours; may be missing
CONFIRMED       a JSON object of the user's own words: import -> requirement ("" for none)

Result: {"known": {requirement: where}, "guessed": [{"module", "requirement", "source", "where"}], "notes": [text]}.
Nothing of the application is run, and no index is asked. Runs on the host's Python, 3.10 or newer.
"""

import ast
import json
import os
import re
import sys
import tokenize
import warnings

IGNORED = {"node_modules", "__pycache__", "site-packages", "bower_components", "venv", "virtualenv"}

# Rows of pipreqs' table that name a stranger's package for what is nearly always a file of the application's own.
LOCAL_WORDS = {
    "admin", "api", "app", "apps", "base", "common", "conf", "config", "constants", "core", "data", "db", "forms", "helper",
    "helpers", "lib", "local", "local_settings", "main", "model", "models", "plugins", "schema", "schemas", "scripts", "server",
    "settings", "src", "tasks", "test", "tests", "tools", "urls", "util", "utils", "version", "views",
}

# What Django's own settings need that no import shows. Source: django/db/backends, core/cache/backends, template/backends, hashers.
DJANGO_TEXT = {
    "django.db.backends.postgresql": ("psycopg", "psycopg2"),
    "django.contrib.gis.db.backends.postgis": ("psycopg", "psycopg2"),
    "django.db.backends.mysql": ("MySQLdb", "pymysql"),
    "django.contrib.gis.db.backends.mysql": ("MySQLdb", "pymysql"),
    "django.db.backends.oracle": ("oracledb",),
    "django.core.cache.backends.redis.RedisCache": ("redis",),
    "django.core.cache.backends.memcached.PyMemcacheCache": ("pymemcache",),
    "django.core.cache.backends.memcached.PyLibMCCache": ("pylibmc",),
    "django.template.backends.jinja2.Jinja2": ("jinja2",),
    "django.contrib.auth.hashers.Argon2PasswordHasher": ("argon2",),
    "django.contrib.auth.hashers.BCryptSHA256PasswordHasher": ("bcrypt",),
    "django.contrib.auth.hashers.BCryptPasswordHasher": ("bcrypt",),
}
# Backends of packages that need one more, which the package itself does not ask for. Source: django-storages' documentation.
BACKEND_NEEDS = {
    "storages.backends.s3": "boto3",
    "storages.backends.s3boto3": "boto3",
    "storages.backends.gcloud": "google.cloud.storage",
    "storages.backends.azure_storage": "azure.storage.blob",
    "storages.backends.sftpstorage": "paramiko",
}
SETTING = re.compile(r"(APPS|MIDDLEWARE|MIDDLEWARE_CLASSES|BACKENDS?|STORAGE|ENGINE|HASHERS|PROCESSORS|FINDERS|SERIALIZER|RUNNER)$")
STRUCTURES = {"DATABASES", "CACHES", "STORAGES", "TEMPLATES", "TASKS", "MAILERS", "CHANNEL_LAYERS", "REST_FRAMEWORK", "LOGGING"}
STRUCTURE_KEYS = {"ENGINE", "BACKEND", "class", "()", "backend", "builtins", "context_processors", "loaders"}
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")


def main():
    app, python, table, pipreqs, confirmed = sys.argv[1:6]
    target = tuple(int(it) for it in python.split(".")[:2])
    tree = Tree(app, target)
    found = tree.read()
    print(json.dumps(Names(target, table, pipreqs, json.loads(confirmed)).judge(tree, found)))


class Tree:
    """The application's files, and which names are its own."""

    def __init__(self, app, target):
        self.app, self.target = app, target
        self.notes, self.passed, self.by_lines = [], [], []
        self.files = sorted(self.walk())
        self.roots = self.search_path()

    def walk(self):
        for folder, folders, files in os.walk(self.app):
            inside = os.path.relpath(folder, self.app)
            folders[:] = [
                it for it in folders
                if it not in IGNORED and not it.startswith(".") and not os.path.isfile(os.path.join(folder, it, "pyvenv.cfg"))
                and not (inside == "." and it == "target" and os.path.isdir(os.path.join(folder, it, "pocdeploy")))
            ]
            for name in files:
                path = os.path.join(folder, name)
                if name.endswith(".py") and os.path.isfile(path):
                    yield os.path.normpath(os.path.join(inside, name))

    def search_path(self):
        """Folders that are on sys.path: the top, each one with a manage.py, and a top-level src that is no package."""
        roots = {""} | {os.path.dirname(it) for it in self.files if os.path.basename(it) == "manage.py"}
        if "src/__init__.py" not in self.files and any(it.startswith("src/") for it in self.files):
            roots.add("src")
        return roots

    def is_own(self, name, importer, is_known):
        paths = set(self.files)
        for root in self.roots:
            at = os.path.join(root, name)
            if at + ".py" in paths or os.path.join(at, "__init__.py") in paths:
                return True
            # A folder without __init__.py is a namespace package, and an installed package goes before it.
            if not is_known and any(it.startswith(at + "/") for it in self.files):
                return True
        beside = os.path.dirname(importer)
        if is_known or os.path.join(beside, "__init__.py") in paths:
            return False
        # A script finds what lies beside it.
        at = os.path.join(beside, name)
        return at + ".py" in paths and at + ".py" != importer or os.path.join(at, "__init__.py") in paths

    def read(self):
        """[(module, where, path, kind)]; kind: need, optional, test, text. A module may be a choice: see Names.flat."""
        out = []
        for path in self.files:
            text = self.text(path)
            if text is None:
                continue
            imports = self.imports(path, text)
            for module, line, kind in imports:
                if is_test(path) and kind != "text":
                    kind = "test"
                out.append((module, f"{path}:{line}", path, kind))
        return out

    def text(self, path):
        try:
            with tokenize.open(os.path.join(self.app, path)) as file:
                return file.read()
        except (SyntaxError, UnicodeDecodeError, LookupError) as error:
            self.pass_over(path, f"its encoding cannot be read: {error}")
        except OSError as error:
            self.pass_over(path, str(error))
        return None

    def pass_over(self, path, why):
        self.passed.append(f"{path} ({why})")

    def imports(self, path, text):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module = ast.parse(text, path)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            line = getattr(error, "lineno", None)
            if sys.version_info[:2] < self.target and not is_no_python3(text):
                self.by_lines.append(path)
                return by_lines(text)
            self.pass_over(path, f"line {line}: {getattr(error, 'msg', None) or error}")
            return []
        visitor = Visitor(self.target)
        try:
            visitor.body(module.body, "need")
            return visitor.out + settings(module)
        except RecursionError as error:
            self.pass_over(path, str(error))
            return []


def is_test(path):
    parts = path.split("/")
    name = parts[-1]
    return bool(
        {"tests", "test", "docs", "testing"} & set(parts[:-1])
        or name in {"tests.py", "conftest.py", "setup.py", "noxfile.py", "fabfile.py", "test.py"}
        or name.startswith("test_") or name.endswith("_test.py")
    )


def is_no_python3(text):
    """Whether a file that this Python cannot parse is not a newer Python's either: a template, or Python 2."""
    if "\0" in text:
        return True
    if re.search(r"\{\{.*\}\}|\{%.*%\}", text) and re.search(r"^\s*(\{[{%]|(class|def|from|import)\s+\{\{)", text, re.M):
        return True
    return bool(re.search(r"^\s*(print\s+[\"'\w%]|except\s+[\w.]+\s*,\s*\w+\s*:|raise\s+\w+\s*,|exec\s+[\"'\w])", text, re.M))


def by_lines(text):
    out = []
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.match(r"\s*from\s+([A-Za-z_][\w.]*)\s+import\s+(.*)", line):
            out.append((match[1], number, "need"))
        elif match := re.match(r"\s*import\s+([A-Za-z_][\w., ]*)$", line.split("#")[0].rstrip()):
            out += [(it.split()[0], number, "need") for it in match[1].split(",") if it.strip()]
    return out


class Visitor:
    """Imports with what surrounds them: TYPE_CHECKING, versions, and fallbacks for an ImportError."""

    def __init__(self, target):
        self.target, self.out = target, []
        self.stdlib = None

    def body(self, statements, kind):
        for it in statements:
            self.statement(it, kind)

    def statement(self, it, kind):
        if isinstance(it, ast.Import):
            self.out += [(name.name, it.lineno, kind) for name in it.names]
        elif isinstance(it, ast.ImportFrom):
            if it.level == 0 and it.module:
                # `from google.cloud import storage`: what is named may be a module itself.
                self.out += [(f"{it.module}.{name.name}", it.lineno, kind) for name in it.names]
        elif isinstance(it, ast.If):
            holds = self.holds(it.test)
            if holds is not False:
                self.body(it.body, kind)
            if holds is not True:
                self.body(it.orelse, kind)
        elif isinstance(it, ast.Try) or type(it).__name__ == "TryStar":
            self.attempt(it, kind)
        else:
            for field in ("body", "orelse", "finalbody"):
                inner = getattr(it, field, None)
                if isinstance(inner, list):
                    self.body(inner, kind)
            for case in getattr(it, "cases", []):
                self.body(case.body, kind)
        self.calls(it, kind)

    def calls(self, it, kind):
        """importlib.import_module("a.b") and __import__("a") with a constant, in an expression of this statement."""
        stack = [child for child in ast.iter_child_nodes(it) if not isinstance(child, ast.stmt)]
        while stack:
            node = stack.pop()
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                value = node.args[0].value
                if name in ("import_module", "__import__") and isinstance(value, str) and DOTTED.match(value):
                    self.out.append((value, node.lineno, kind))
            stack += [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.stmt)]

    def attempt(self, it, kind):
        catchers = [handler for handler in it.handlers if catches_import(handler)]
        if not catchers:
            self.body(it.body, kind)
        elif any(isinstance(node, ast.Raise) for handler in catchers for node in ast.walk(handler)):
            self.body(it.body, kind)
        else:
            inner = Visitor(self.target)
            inner.body(it.body, kind)
            others = Visitor(self.target)
            for handler in catchers:
                others.body(handler.body, kind)
            # Judged later, when it is known which names are Python's or the application's own.
            self.out.append((("either", inner.out, others.out), it.lineno, kind))
        for handler in it.handlers:
            if handler not in catchers:
                self.body(handler.body, kind)
        self.body(it.orelse, kind)
        self.body(it.finalbody, kind)

    def holds(self, test):
        """True, False, or None where it is not known before the program runs."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            inner = self.holds(test.operand)
            return None if inner is None else not inner
        text = ast.unparse(test)
        if text.split(".")[-1] == "TYPE_CHECKING":
            return False
        if text in ("six.PY2", "PY2"):
            return False
        if text in ("six.PY3", "PY3"):
            return True
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            left, right = ast.unparse(test.left), test.comparators[0]
            try:
                value = ast.literal_eval(right)
            except (ValueError, SyntaxError):
                return None
            version = {"sys.version_info": self.target, "sys.version_info[:2]": self.target, "sys.version_info[0]": self.target[0],
                       "sys.version_info.major": self.target[0], "sys.version_info.minor": self.target[1],
                       "sys.platform": "linux", "os.name": "posix", "platform.system()": "Linux"}.get(left)
            if version is None or type(version) is not type(value):
                return None
            if isinstance(value, tuple):
                # (3, 13) stands for all of 3.13: only the first two numbers are known.
                value = value[:2]
            compare = {ast.Eq: lambda a, b: a == b, ast.NotEq: lambda a, b: a != b, ast.Lt: lambda a, b: a < b,
                       ast.LtE: lambda a, b: a <= b, ast.Gt: lambda a, b: a > b, ast.GtE: lambda a, b: a >= b}
            judge = compare.get(type(test.ops[0]))
            if judge is None:
                return None
            if isinstance(value, tuple) and len(value) == 1:
                return judge(version[:1], value) if not isinstance(test.ops[0], ast.Gt) else version[:2] > value
            return judge(version, value)
        return None


def catches_import(handler):
    if handler.type is None:
        return True
    names = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(ast.unparse(it).split(".")[-1] in ("ImportError", "ModuleNotFoundError", "Exception", "BaseException") for it in names)


def settings(module):
    """Modules that a Django settings file names as text."""
    names = {target.id for it in module.body for target in targets(it)}
    if not names & {"INSTALLED_APPS", "MIDDLEWARE", "DATABASES", "CACHES", "STORAGES", "TEMPLATES"}:
        return []
    out = []
    for it in ast.walk(module):
        if isinstance(it, (ast.Assign, ast.AnnAssign, ast.AugAssign)) and it.value is not None:
            for target in targets(it):
                out += of_setting(target.id, it.value)
                if target.id == "DATABASES" or target.id == "PASSWORD_HASHERS":
                    out += of_django(it.value, first_only=target.id == "PASSWORD_HASHERS")
                if target.id in ("CACHES", "TEMPLATES"):
                    out += of_django(it.value)
        elif isinstance(it, ast.Call) and isinstance(it.func, ast.Attribute) and it.func.attr in ("append", "insert", "extend"):
            if isinstance(it.func.value, ast.Name):
                for argument in it.args:
                    out += of_setting(it.func.value.id, argument)
    return out


def targets(statement):
    all_of = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
    names = []
    for it in all_of:
        while isinstance(it, ast.Subscript):
            it = it.value
        if isinstance(it, ast.Name) and isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            names.append(it)
    return names


def of_setting(name, value):
    if name in STRUCTURES:
        return [(text, line, "text") for text, line in of_structure(value)]
    if SETTING.search(name):
        return [(text, line, "text") for text, line in strings(value)]
    return []


def of_structure(value):
    for it in ast.walk(value):
        if isinstance(it, ast.Dict):
            for key, inner in zip(it.keys, it.values):
                if isinstance(key, ast.Constant) and isinstance(key.value, str) and (key.value in STRUCTURE_KEYS or key.value.endswith(("_CLASS", "_CLASSES", "_BACKEND", "_BACKENDS"))):
                    if not isinstance(inner, ast.Dict):
                        yield from strings(inner)
    if isinstance(value, ast.Constant):
        yield from strings(value)


def strings(value):
    for it in ast.walk(value):
        if isinstance(it, ast.Constant) and isinstance(it.value, str) and DOTTED.match(it.value):
            yield it.value, it.lineno
            for backend, module in BACKEND_NEEDS.items():
                if it.value.startswith(backend + "."):
                    yield module, it.lineno


def of_django(value, first_only=False):
    found = [(it.value, it.lineno) for it in ast.walk(value) if isinstance(it, ast.Constant) and isinstance(it.value, str)]
    if first_only:
        # Only the first hasher makes new hashes.
        found = found[:1]
    return [(("any",) + DJANGO_TEXT[text], line, "text") for text, line in found if text in DJANGO_TEXT]


class Names:
    """From modules to distributions."""

    def __init__(self, target, table, pipreqs, confirmed):
        self.target, self.confirmed = target, confirmed
        self.table = {}
        with open(table, encoding="utf-8") as file:
            for line in file:
                words = line.split()
                if words and not line.startswith("#"):
                    self.table[words[0]] = words[-1]
        self.pipreqs = {}
        if os.path.isfile(pipreqs):
            with open(pipreqs, encoding="utf-8") as file:
                for line in file:
                    module, _, name = line.strip().partition(":")
                    if name and module not in LOCAL_WORDS:
                        self.pipreqs.setdefault(module, name)
        self.stdlib, self.gone = standard_library(target)

    def row(self, module, table):
        parts = module.split(".")
        for length in range(len(parts), 0, -1):
            name = ".".join(parts[:length])
            if name in table:
                return table[name]
        return None

    def settles(self, module, path, tree):
        """Whether the module needs no distribution."""
        top = module.split(".")[0]
        return top in self.stdlib or tree.is_own(top, path, self.row(module, self.table) is not None)

    def flat(self, found, tree):
        """Fallbacks resolved: one list of (module, where, path, kind)."""
        out = []
        texts = []

        def take(module, where, path, kind):
            if isinstance(module, str):
                out.append((module, where, path, kind))
            elif module[0] == "any":
                texts.append((module[1:], where, path))
            else:
                _, first, others = module
                file = where.rsplit(":", 1)[0]
                def at(entries):
                    return [(it, f"{file}:{line}", path, inner if kind != "test" else "test") for it, line, inner in entries]
                plain = [it for it, _, _ in others if isinstance(it, str)]
                needs = [it for it in plain if not self.settles(it, path, tree)]
                # There is a fallback, or the program works without it.
                spare = not needs
                unknown = [it for it, _, _ in first if isinstance(it, str) and not self.settles(it, path, tree) and self.row(it, self.table) is None]
                if needs and unknown and all(self.row(it, self.table) for it in needs):
                    # The known one of the two is the better choice.
                    first = others
                for it in at(first):
                    take(it[0], it[1], it[2], "optional" if spare and it[3] == "need" else it[3])

        for entry in found:
            take(*entry)
        imported = {it[0].split(".")[0] for it in out if it[3] in ("need", "optional")}
        for choices, where, path in texts:
            if not imported & set(choices):
                out.append((choices[0], where, path, "text"))
        return out

    def judge(self, tree, found):
        known, guessed, optional, tests, gone = {}, {}, {}, {}, {}
        entries = self.flat(found, tree)
        needed = set()
        for module, where, path, kind in sorted(entries, key=lambda it: ("need", "text", "optional", "test").index(it[3])):
            top = module.split(".")[0]
            if self.settles(module, path, tree) or top in ("__main__", "__future__", "_typeshed"):
                continue
            if top in self.gone and self.row(module, self.table) is None and self.row(module, self.confirmed) is None:
                gone.setdefault(top, where)
                continue
            own = self.row(module, self.confirmed)
            requirement = own if own is not None else self.row(module, self.table)
            if requirement == "":
                continue
            if kind in ("optional", "test") and own is None:
                name = requirement or top
                if name not in needed:
                    (optional if kind == "optional" else tests).setdefault(name, where)
                continue
            if requirement is not None:
                needed.add(requirement)
                known.setdefault(requirement, where)
                continue
            # `google` and the like are shared by many: the part that follows tells which.
            name = self.row(module, self.pipreqs) if top not in ("google", "azure", "opentelemetry") else None
            source = "pipreqs' table" if name else "the import's own name"
            if name is None and top in LOCAL_WORDS:
                source = "no distribution is known for it"
            guessed.setdefault(top, {"module": top, "requirement": name or ("" if top in LOCAL_WORDS else top), "source": source, "where": where})
            needed.add(top)
        notes = list(tree.notes)
        def shown(what):
            return ", ".join(f"{name} ({where})" for name, where in sorted(what.items()))
        if tree.passed:
            notes.append("passed over, since no Python 3 reads it: " + ", ".join(tree.passed))
        if tree.by_lines:
            notes.append("read line by line, since this machine's Python is older than the image's: " + ", ".join(tree.by_lines))
        if gone:
            notes.append(f"not in Python {'.'.join(map(str, self.target))}, and in no package: {shown(gone)}")
        if optional:
            notes.append(f"not pinned, since the application does without on an ImportError: {shown(optional)}")
        if tests:
            notes.append(f"not pinned, since only tests and tools import it: {shown(tests)}")
        return {"known": known, "guessed": sorted(guessed.values(), key=lambda it: it["module"]), "notes": notes}


def standard_library(target):
    """(modules of the target's standard library, modules that only other versions have)."""
    try:
        from stdlib_list import long_versions, short_versions, stdlib_list
        del long_versions
        wanted = ".".join(map(str, target))
        version = wanted if wanted in short_versions else short_versions[-1]
        here = {it.split(".")[0] for it in stdlib_list(version)}
        every = {it.split(".")[0] for version in short_versions for it in stdlib_list(version)}
    except ImportError:
        here, every = set(), set()
    if not here or target == sys.version_info[:2]:
        here = here | set(getattr(sys, "stdlib_module_names", ()))
    return here, every - here


if __name__ == "__main__":
    main()
