"""What Python files say about the application that they are; nothing of them is run.

usage: python -I -S facts.py ROOT LIST OUT

ROOT  the application's folder
LIST  a file with the paths to read, one a line, relative to ROOT
OUT   where the answer goes: one JSON object {path: facts}

Facts: {"error": text} or {"imports": [[module, line]], "stars": [[module, level, line]], "names": {name: [value, line]},
"calls": [[target, callee, line, arguments, keywords, is_top]], "functions": [[name, line, callee that is returned, needed arguments]],
"classes": [[name, line, bases, {field: [value, line]}, prefix]], "routes": [[path, line]], "sets": [[variable, value, is_default, line]],
"env": [[variable, line, is_required]], "main": line or null, "doc": line after which an import may stand}.
A value: {"lit": x} {"list": [value]} {"dict": {key: value}} {"env": name, "default": value, "as": kind} {"call": callee, "args": [value],
"kw": {name: value}} {"split": separator, "of": value} {"mix": [value]} {"name": x} {}. Literals of a name also have "span": [line, column,
end line, end column], columns in bytes.
"""

import ast
import json
import os
import stat
import sys
import warnings

LIMIT = 1_000_000
READERS = {"os.getenv", "getenv"}
CASTS = {"str", "bool", "int", "float", "list", "tuple", "dict", "json", "url", "db", "db_url", "dj_db_url", "cache", "cache_url", "dj_cache_url", "path", "email_url"}


def main():
    root, names, out = sys.argv[1:4]
    warnings.simplefilter("ignore")
    sys.setrecursionlimit(3000)
    found = {}
    with open(names, encoding="utf-8", errors="surrogateescape") as file:
        paths = [it for it in file.read().split("\n") if it]
    for path in paths:
        try:
            found[path] = Reader(read(os.path.join(root, path))).facts
        except (OSError, ValueError, SyntaxError, RecursionError, MemoryError) as error:
            line = getattr(error, "lineno", None)
            found[path] = {"error": f"{type(error).__name__}: {getattr(error, 'msg', None) or error}", "line": line or 1}
    with open(out, "w", encoding="utf-8", errors="replace") as file:
        json.dump(found, file)


def read(path):
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError("it is no file")
        return file.read(LIMIT)


def dotted(node):
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""


class Reader:
    def __init__(self, source):
        tree = ast.parse(source)
        self.assigned = {}
        # A bare `environ` is also the name of what WSGI hands over.
        froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "os"]
        self.environs = {"os.environ"} | {it.asname or it.name for node in froms for it in node.names if it.name == "environ"}
        # A name that is asked for with `in` is not needed.
        asked = [node for node in ast.walk(tree) if isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.In, ast.NotIn))]
        self.asked = {node.left.value for node in asked if isinstance(node.left, ast.Constant)}
        inside = [it for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Try, ast.If)) for it in ast.walk(node)]
        self.later = {id(it) for it in inside}
        self.readers = {it.name for it in ast.walk(tree) if isinstance(it, ast.FunctionDef) and self.reads_its_first(it)}
        self.facts = {
            "imports": [], "stars": [], "names": {}, "calls": [], "functions": [], "classes": [], "routes": [], "sets": [], "env": [],
            "main": None, "doc": self.doc(tree),
        }
        self.block(tree.body)
        for node in ast.walk(tree):
            self.anywhere(node)
        self.inner(tree)

    def reads_its_first(self, function):
        """Whether a function gives the value of the variable that its first argument names."""
        first = next((it.arg for it in function.args.args if it.arg not in ("self", "cls")), None)
        for node in ast.walk(function) if first else ():
            if isinstance(node, ast.Subscript) and dotted(node.value) in self.environs and dotted(node.slice) == first:
                return True
            if isinstance(node, ast.Call) and node.args and dotted(node.args[0]) == first:
                callee = dotted(node.func)
                if callee in READERS or callee.endswith(".get") and callee[: -len(".get")] in self.environs:
                    return True
        return False

    def doc(self, tree):
        line = 0
        for node in tree.body:
            is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
            if is_text or isinstance(node, ast.ImportFrom) and node.module == "__future__":
                line = node.end_lineno
            else:
                break
        return line

    def block(self, body):
        """Statements of the module itself, also below `if` and `try`."""
        for node in body:
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    self.assign(target, node.value)
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                self.assign(node.target, node.value)
            elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                before = self.facts["names"].get(node.target.id)
                more = self.value(node.value)
                if before and "list" in before[0] and "list" in more:
                    self.facts["names"][node.target.id] = [{"list": before[0]["list"] + more["list"]}, before[1]]
            elif isinstance(node, (ast.If, ast.Try, ast.With)):
                if isinstance(node, ast.If) and self.is_main(node.test):
                    self.facts["main"] = node.lineno
                    continue
                for name in ("body", "orelse", "handlers", "finalbody"):
                    for part in getattr(node, name, []):
                        self.block(part.body if isinstance(part, ast.ExceptHandler) else [part])
            elif isinstance(node, ast.ClassDef):
                self.klass(node)
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                self.call(None, node.value, True)

    def is_main(self, test):
        return isinstance(test, ast.Compare) and dotted(test.left) == "__name__"

    def assign(self, target, value):
        if isinstance(target, ast.Name):
            seen = self.value(value)
            if isinstance(value, (ast.Constant, ast.List, ast.Tuple, ast.Dict)):
                seen = dict(seen, span=[value.lineno, value.col_offset, value.end_lineno, value.end_col_offset])
            # What stands first is what most deployments get; a later one below `else` must not hide it.
            self.assigned[target.id] = value
            if target.id not in self.facts["names"] or "env" in json.dumps(seen) or not seen.get("call"):
                if not (target.id in self.facts["names"] and "env" in json.dumps(self.facts["names"][target.id][0])):
                    self.facts["names"][target.id] = [seen, target.lineno]
        elif isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
            name = f"{dotted(target.value)}[{target.slice.value}]"
            seen = self.value(value)
            if isinstance(value, ast.Constant):
                seen = dict(seen, span=[value.lineno, value.col_offset, value.end_lineno, value.end_col_offset])
            self.facts["names"].setdefault(name, [seen, target.lineno])
        elif isinstance(target, ast.Attribute):
            self.facts["names"].setdefault(dotted(target), [self.value(value), target.lineno])
        if isinstance(value, ast.Call):
            self.call(dotted(target) or None, value, True)

    def call(self, target, node, is_top):
        callee = dotted(node.func)
        if callee:
            arguments = [self.value(it) for it in node.args[:6]]
            keywords = {it.arg: self.value(it.value) for it in node.keywords if it.arg}
            self.facts["calls"].append([target, callee, node.lineno, arguments, keywords, is_top])

    def klass(self, node):
        fields, prefix = {}, ""
        for it in node.body:
            if isinstance(it, ast.AnnAssign) and isinstance(it.target, ast.Name):
                fields[it.target.id] = [self.spanned(it.value) if it.value else None, it.lineno]
            elif isinstance(it, ast.Assign) and isinstance(it.targets[0], ast.Name):
                fields[it.targets[0].id] = [self.spanned(it.value), it.lineno]
            inner = it.body if isinstance(it, ast.ClassDef) else [it]
            for part in inner:
                if isinstance(part, ast.Assign) and isinstance(part.value, ast.Call):
                    for keyword in part.value.keywords:
                        if keyword.arg == "env_prefix" and isinstance(keyword.value, ast.Constant):
                            prefix = str(keyword.value.value)
                if isinstance(part, ast.Assign) and dotted(part.targets[0]) == "env_prefix" and isinstance(part.value, ast.Constant):
                    prefix = str(part.value.value)
        self.facts["classes"].append([node.name, node.lineno, [dotted(it) for it in node.bases], fields, prefix])

    def spanned(self, value):
        seen = self.value(value)
        if isinstance(value, ast.Constant):
            seen = dict(seen, span=[value.lineno, value.col_offset, value.end_lineno, value.end_col_offset])
        return seen

    def anywhere(self, node):
        facts = self.facts
        if isinstance(node, ast.Import):
            facts["imports"].extend([it.name, node.lineno] for it in node.names)
        elif isinstance(node, ast.ImportFrom):
            if not node.level and node.module:
                facts["imports"].append([node.module, node.lineno])
            if any(it.name == "*" for it in node.names):
                facts["stars"].append([node.module or "", node.level, node.lineno])
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            self.function(node)
        elif isinstance(node, (ast.Call, ast.Subscript)):
            seen = self.value(node, 4)
            if "env" in seen:
                needed = bool(seen.get("required")) and id(node) not in self.later and seen["env"] not in self.asked
                facts["env"].append([seen["env"], node.lineno, needed])
        if isinstance(node, ast.Call) and dotted(node.func) in ("os.environ.setdefault", "environ.setdefault") and len(node.args) == 2:
            name, value = self.value(node.args[0]), self.value(node.args[1])
            facts["sets"].append([name.get("lit"), value, True, node.lineno])
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript) and dotted(node.targets[0].value) in ("os.environ", "environ"):
            name = self.value(node.targets[0].slice)
            facts["sets"].append([name.get("lit"), self.value(node.value), False, node.lineno])

    def function(self, node):
        made, returned = {}, None
        for it in self.own(node):
            if isinstance(it, ast.Assign) and isinstance(it.value, ast.Call) and isinstance(it.targets[0], ast.Name):
                made[it.targets[0].id] = dotted(it.value.func)
            if isinstance(it, ast.Return) and it.value is not None:
                if isinstance(it.value, ast.Call):
                    returned = dotted(it.value.func)
                elif isinstance(it.value, ast.Name):
                    returned = made.get(it.value.id, returned)
        plain = node.args.posonlyargs + node.args.args
        needed = len(plain) - len(node.args.defaults) + sum(it is None for it in node.args.kw_defaults)
        self.facts["functions"].append([node.name, node.lineno, returned, needed])
        for it in node.decorator_list:
            if isinstance(it, ast.Call) and it.args and isinstance(it.args[0], ast.Constant) and isinstance(it.args[0].value, str):
                if it.args[0].value.startswith("/") and dotted(it.func).rpartition(".")[2] in ("route", "get", "api_route"):
                    self.facts["routes"].append([it.args[0].value, it.lineno])

    def own(self, node):
        """A function's nodes without those of the functions and classes inside it."""
        for it in ast.iter_child_nodes(node):
            if not isinstance(it, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
                yield it
                yield from self.own(it)

    def inner(self, tree):
        """Calls and settings inside functions: an application factory's, mostly."""
        top = {id(it) for it in self.tops(tree.body)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and id(node) not in top and len(self.facts["calls"]) < 2000:
                target = node.targets[0]
                if isinstance(target, (ast.Subscript, ast.Attribute)):
                    self.assign(target, node.value)
                elif isinstance(node.value, ast.Call):
                    self.call(dotted(target) or None, node.value, False)
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and id(node) not in top and len(self.facts["calls"]) < 2000:
                self.call(None, node.value, False)

    def tops(self, body):
        for node in body:
            yield node
            if isinstance(node, (ast.If, ast.Try, ast.With)):
                for name in ("body", "orelse", "finalbody"):
                    yield from self.tops(getattr(node, name, []))
                for it in getattr(node, "handlers", []):
                    yield from self.tops(it.body)

    def value(self, node, depth=0):
        if depth > 8 or node is None:
            return {}
        deeper = depth + 1
        if isinstance(node, ast.Constant):
            return {"lit": node.value} if isinstance(node.value, (str, int, bool, float, type(None))) else {}
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            return {"list": [self.value(it, deeper) for it in node.elts[:200]]}
        if isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values)
            return {"dict": {str(key.value): self.keyed(it, deeper) for key, it in pairs if isinstance(key, ast.Constant)}}
        if isinstance(node, ast.Name):
            known = self.assigned.get(node.id)
            return self.value(known, deeper) if known is not None and depth < 5 else {"name": node.id}
        if isinstance(node, ast.Subscript):
            if dotted(node.value) in self.environs:
                name = self.value(node.slice, deeper).get("lit")
                is_read = isinstance(node.ctx, ast.Load) and isinstance(name, str)
                return {"env": name, "required": True} if is_read else {}
            return {"mix": [self.value(node.value, deeper)]}
        if isinstance(node, ast.Call):
            return self.called(node, deeper)
        if isinstance(node, ast.JoinedStr):
            return {"mix": [self.value(it.value if isinstance(it, ast.FormattedValue) else it, deeper) for it in node.values]}
        if isinstance(node, ast.BinOp):
            return {"mix": [self.value(node.left, deeper), self.value(node.right, deeper)]}
        if isinstance(node, ast.BoolOp):
            return {"mix": [self.value(it, deeper) for it in node.values]}
        if isinstance(node, ast.Compare):
            return {"mix": [self.value(node.left, deeper)]}
        if isinstance(node, ast.IfExp):
            return {"mix": [self.value(node.body, deeper), self.value(node.test, deeper), self.value(node.orelse, deeper)]}
        if isinstance(node, (ast.ListComp, ast.GeneratorExp, ast.SetComp)):
            return {"mix": [self.value(node.generators[0].iter, deeper)]}
        if isinstance(node, ast.Attribute):
            return {"name": dotted(node)}
        if isinstance(node, ast.Starred):
            return {"call": "*", "args": []}
        if isinstance(node, ast.UnaryOp):
            return {"mix": [self.value(node.operand, deeper)]}
        return {}

    def keyed(self, node, depth):
        return dict(self.value(node, depth), line=node.lineno)

    def called(self, node, depth):
        callee = dotted(node.func)
        arguments = [self.value(it, depth) for it in node.args[:6]]
        keywords = {it.arg: self.value(it.value, depth) for it in node.keywords if it.arg}
        first = arguments[0].get("lit") if arguments else None
        reader = callee[: -len(".get")] if callee.endswith(".get") else callee
        is_own = callee.rpartition(".")[2] in self.readers
        if (reader in self.environs or callee in READERS or is_own) and isinstance(first, str):
            return {"env": first, "default": arguments[1] if len(arguments) > 1 else keywords.get("default")}
        head, _, last = callee.rpartition(".")
        # decouple, django-environ and environs: all take the variable's name first.
        is_reader = callee in ("config", "env", "decouple.config") or head in ("env", "environ") and last in CASTS
        if is_reader and isinstance(first, str) and first.replace("_", "").isalnum():
            default = keywords.get("default") or (arguments[1] if len(arguments) > 1 else None)
            kind = last if head else (keywords.get("cast", {}).get("name") or keywords.get("cast", {}).get("call"))
            return {"env": first, "default": default, "as": kind, "required": default is None}
        if isinstance(node.func, ast.Attribute):
            if node.func.attr == "split":
                inner = self.value(node.func.value, depth)
                return {"split": first if isinstance(first, str) else " ", "of": inner}
            if not callee or head and node.func.attr in ("lower", "strip", "upper", "replace", "format"):
                return {"mix": [self.value(node.func.value, depth)] + arguments}
        return {"call": callee, "args": arguments, "kw": keywords}


if __name__ == "__main__":
    main()
