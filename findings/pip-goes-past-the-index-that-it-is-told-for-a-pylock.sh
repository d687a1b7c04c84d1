#!/usr/bin/env bash
# `pip install --no-index --requirement pylock.toml` takes packages from the index, and --index-url of a mirror counts for nothing.
#
# One would guess: --no-index, --index-url and --find-links hold for every kind of file after --requirement.
# What happens: a pylock.toml names the address of each file, and pip 26.3 goes there, whatever the options and PIP_INDEX_URL say. A lock
# made at home thus asks for a host that a network with a mirror only does not reach, where requirements.txt with the same pins comes from
# the mirror. And it takes all of it: uv writes its group `dev` among the others, without a marker.
# Versions: pip 26.3, uv 0.13.9 (it wrote the lock); the packages are six 1.17.0 and iniconfig 2.1.0. Seen on 2026-11-27.
# Source: PEP 751 (packages.wheels.url); https://docs.astral.sh/uv/concepts/projects/export/.
# What follows for us: of a pylock.toml the names, versions and hashes are read, the files come from pip's configured index: `pylock` of
# xtask/src/requirements/python/read.py, which names no address.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv tools
tools/bin/pip install --quiet --no-compile --disable-pip-version-check uv==0.13.9 pip==26.3
tools/bin/uv --version | cut -d' ' -f1,2
tools/bin/pip --version | cut -d' ' -f1,2
export PIP_DISABLE_PIP_VERSION_CHECK=1
cat > pyproject.toml <<'TOML'
[project]
name = "site"
version = "1"
requires-python = ">=3.9"
dependencies = ["six==1.17.0"]

[dependency-groups]
dev = ["iniconfig==2.1.0"]
TOML
tools/bin/uv --quiet export --format pylock.toml --output-file pylock.toml >/dev/null
grep -E '^(name|version|marker) ' pylock.toml | paste - - | sed 's/^/    /'
! grep -q marker pylock.toml
mkdir empty
# Nothing listens on port 9: an index that is asked would fail.
tools/bin/pip install --quiet --retries 0 --target first --no-index --find-links empty --requirement pylock.toml || { echo "CHANGED: --no-index counts"; exit 1; }
echo "pip install --no-index: $(ls first | grep -v dist-info | tr '\n' ' ')"
tools/bin/pip install --quiet --retries 0 --no-cache-dir --target second --index-url http://127.0.0.1:9/simple --requirement pylock.toml ||
    { echo "CHANGED: --index-url counts"; exit 1; }
echo "pip install --index-url of a mirror that is down: $(ls second | grep -v dist-info | tr '\n' ' ')"
test -e first/iniconfig && test -e second/six.py
if tools/bin/pip install --quiet --target third --no-index --requirement /dev/stdin <<< "six==1.17.0" > said 2>&1; then
    echo "CHANGED: --no-index does not count for requirements.txt"
    exit 1
fi
echo "pip install --no-index of requirements.txt: $(tail -n 1 said)"
