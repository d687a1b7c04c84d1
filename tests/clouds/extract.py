#!/usr/bin/env python3
"""Extracts the schema of named resources from a package of prebuilt bindings, as `tofu providers schema -json` prints it.

    extract.py WHEEL PROVIDER NAME...        data sources as data.NAME

The wheels cdktn-provider-aws, -google and -azurerm are generated from each provider's own schema. Their JavaScript names every argument with
its type, whether it is a block, and whether it is computed, optional or required. Facts that the bindings do not carry, and that a check
against this extract therefore cannot see: validators, defaults, sensitive marks, and exact numbers of blocks above one.
"""

import hashlib
import io
import json
import pathlib
import re
import sys
import tarfile
import zipfile

OWNER = re.compile(r"class (\w+) extends cdktn\.(\w+)|function (\w+)ToHclTerraform\(|    (synthesizeHclAttributes)\(\)")
FIELD = re.compile(r"    // (\w+) - computed: (true|false), optional: (true|false), required: (true|false)\n")
ENTRY = re.compile(
    r'^\s+"?(\w+)"?: \{\n\s+value: (.*),\n\s+isBlock: (true|false),\n\s+type: "(\w+)",\n\s+storageClassType: "(\w+)",\n', re.M
)
MEMBER = re.compile(r'    _\w+ = new (?:\w+\.)?(\w+)\(this, "(\w+)"')
GETTER = re.compile(r"get(String|Number|Boolean|List|NumberList|StringMap|NumberMap|BooleanMap|AnyMap)Attribute\(")
SIMPLE = {"String": "string", "Number": "number", "Boolean": "bool"}


def type_of(word):
    """`stringList` of an argument, or `StringMap` of a getter, as a type."""
    word = word[:1].upper() + word[1:]
    if word in SIMPLE:
        return SIMPLE[word]
    for end, kind in (("List", "list"), ("Map", "map")):
        if word.endswith(end):
            return [kind, SIMPLE.get(word[: -len(end)], "string")]
    return "dynamic"


class Bindings:
    """The classes and the serialising functions of a resource's files."""

    def __init__(self, text):
        self.bases, self.fields, self.members, self.entries = {}, {}, {}, {}
        owners = list(OWNER.finditer(text))
        current = None
        for found, following in zip(owners, owners[1:] + [None]):
            part = text[found.start() : following.start() if following else len(text)]
            name, base, function, own = found.groups()
            if name:
                current = name
                self.bases[name] = base
                self.describe(name, part)
            elif function:
                self.entries[function] = self.arguments(part)
            if own:
                # The resource's own arguments stand after the fields of its class, which go on behind them.
                self.entries[current] = self.arguments(part)
                self.describe(current, part)

    def describe(self, name, part):
        fields = self.fields.setdefault(name, {})
        marks = list(FIELD.finditer(part))
        for mark, following in zip(marks, marks[1:] + [None]):
            code = part[mark.end() : following.start() if following else mark.end() + 600]
            getter = GETTER.search(code)
            word = getter.group(1) if getter else "String"
            if "Fn.tolist(" in code:
                kind = ["set", "string"]
            else:
                kind = ["list", "string"] if word == "List" else type_of(word)
            fields[mark.group(1)] = {"computed": mark.group(2), "optional": mark.group(3), "required": mark.group(4), "type": kind}
        self.members.setdefault(name, {}).update({member: kind for kind, member in MEMBER.findall(part)})

    @staticmethod
    def arguments(part):
        return {name: (value, block == "true", kind, storage) for name, value, block, kind, storage in ENTRY.findall(part)}

    def value(self, name):
        """The type of a value that a nested class describes."""
        base = self.bases.get(name)
        if base == "ComplexList":
            return ["list", self.value(name.removesuffix("List") + "OutputReference")]
        if base == "ComplexMap":
            return ["map", self.value(name.removesuffix("Map") + "OutputReference")]
        members = self.members.get(name, {})
        return ["object", {key: self.value(members[key]) if key in members else it["type"] for key, it in self.fields.get(name, {}).items()}]

    def block(self, name, arguments):
        attributes, blocks = {}, {}
        fields, members = self.fields.get(name, {}), self.members.get(name, {})
        for key in sorted(fields.keys() | arguments.keys()):
            marks = fields.get(key, {"computed": "false", "optional": "true", "required": "false", "type": "string"})
            value, is_block, kind, storage = arguments.get(key, ("", False, "", ""))
            if is_block:
                blocks[key] = self.nested(key, value, kind, storage, marks)
                continue
            if key in members:
                shape = self.value(members[key])
            elif storage:
                shape = type_of(storage)
                if kind == "set" and isinstance(shape, list):
                    shape = ["set", shape[1]]
            else:
                shape = marks["type"]
            attribute = {"type": shape}
            attribute.update({mark: True for mark in ("computed", "optional", "required") if marks[mark] == "true"})
            if len(attribute) == 1:
                attribute["computed"] = True
            attributes[key] = attribute
        return {"attributes": attributes, "block_types": blocks}

    def nested(self, key, value, kind, storage, marks):
        # The function that serialises it knows its arguments, and whether there are several.
        function = re.search(r"(\w+)ToHclTerraform", value)
        stem = function.group(1) if function else storage.removesuffix("List")
        inner = self.block(stem[:1].upper() + stem[1:] + "OutputReference", self.entries.get(stem, {}))
        if kind == "struct":
            return {"nesting_mode": "single", "block": inner}
        out = {"nesting_mode": kind, "block": inner}
        if "listMapper" not in value:
            out["max_items"] = 1
        if marks["required"] == "true":
            out["min_items"] = 1
        return out


def files(wheel, folders):
    """The text of each folder's files, the large resources' parts first."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(it for it in archive.namelist() if it.endswith(".jsii.tgz"))
        packed = archive.read(name)
    texts = {}
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        for member in archive:
            parts = member.name.split("/")
            if parts[1:2] == ["lib"] and len(parts) > 3 and parts[2] in folders and member.name.endswith(".js"):
                texts.setdefault(parts[2], {})[member.name] = archive.extractfile(member).read().decode()
    return {folder: "\n".join(text for _, text in sorted(of.items(), key=lambda it: (-it[0].count("/"), it[0]))) for folder, of in texts.items()}


def main(wheel, provider, *wanted):
    folders = {"provider": ("provider", "")}
    for name in wanted:
        is_data, bare = name.startswith("data."), name.removeprefix("data.").removeprefix(f"{provider}_")
        folder = bare.replace("_", "-")
        folders[f"data-{provider}-{folder}" if is_data else folder] = ("data" if is_data else "resource", f"{provider}_{bare}")
    texts = files(wheel, folders)
    missing = sorted(folders.keys() - texts.keys())
    if missing:
        sys.exit(f"{wheel} does not have {', '.join(missing)}")
    found = {"resource": {}, "data": {}, "provider": {}}
    version = None
    for folder, (kind, name) in folders.items():
        text = texts[folder]
        version = version or re.search(r"providerVersion: '([^']+)'", text).group(1)
        bindings = Bindings(text)
        of = next(name for name, base in bindings.bases.items() if base in ("TerraformResource", "TerraformDataSource", "TerraformProvider"))
        found[kind][name] = {"version": 0, "block": bindings.block(of, bindings.entries.get(of, {}))}
    path = pathlib.Path(wheel)
    out = {
        "package": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "provider": provider,
        "version": version,
        "schema": {
            "provider": found["provider"][""],
            "resource_schemas": dict(sorted(found["resource"].items())),
            "data_source_schemas": dict(sorted(found["data"].items())),
        },
    }
    # A line for each resource, so that a new version is a readable difference.
    def lines(of):
        return "{\n" + ",\n".join(f"{json.dumps(key)}:{compact(value)}" for key, value in sorted(of.items())) + "\n}"

    schema = out.pop("schema")
    parts = [f"{compact(key)}:{compact(value)}" for key, value in sorted(out.items())]
    inner = f'"provider":{compact(schema["provider"])},\n"resource_schemas":{lines(schema["resource_schemas"])}'
    parts.append(f'"schema":{{\n{inner},\n"data_source_schemas":{lines(schema["data_source_schemas"])}}}')
    print("{" + ",\n".join(parts) + "}")


def compact(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


if __name__ == "__main__":
    main(*sys.argv[1:])
