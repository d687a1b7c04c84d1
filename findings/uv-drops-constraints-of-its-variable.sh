#!/usr/bin/env bash
# uv drops the constraints of UV_CONSTRAINT as soon as the call has any --constraints, and has no variable for --no-index.
#
# What one would guess: constraints add up, as they do in pip, where PIP_CONSTRAINT and every -c of the call hold together; and each
# option of `uv pip compile` has a variable, so that a company's policy can be given to a tool that calls uv.
# What happens: with UV_CONSTRAINT=company.txt and `--constraints empty.txt`, uv resolves as if the company's file was not there; exit 0,
# no word. UV_NO_INDEX=1 is no variable of uv's: the public index is asked, again without a word.
# Seen with: uv 0.13.9, pip 26.3 (2026-11-27). Source: `uv pip compile --help`, which names UV_CONSTRAINT for --constraints and no
# variable for --no-index; values of the command line replace those of a variable in clap.
# What follows for us: pip's settings `constraint` and `no-index` are given to uv as arguments (xtask/src/requirements/python/settings.py;
# tests/scan/settings.rs, every_setting_that_decides_what_may_be_installed_reaches_uv; tests/e2e/requirements.rs).
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
./tools/bin/pip --quiet --disable-pip-version-check install uv==0.13.9 pip==26.3
./tools/bin/uv --version
./tools/bin/pip --version | cut -d ' ' -f 1-2

echo 'six' > wanted.txt
echo 'six<1.16' > company.txt
: > empty.txt
compile() { ./tools/bin/uv pip compile --quiet --no-config --no-header --no-annotate "$@" wanted.txt; }

by_variable=$(UV_CONSTRAINT=company.txt compile)
with_another=$(UV_CONSTRAINT=company.txt compile --constraints empty.txt)
both_as_arguments=$(compile --constraints company.txt --constraints empty.txt)
by_pip=$(PIP_CONSTRAINT=company.txt ./tools/bin/pip --disable-pip-version-check install --quiet --dry-run --ignore-installed --report - \
    -c empty.txt -r wanted.txt | python3 -c 'import json, sys; print(json.load(sys.stdin)["install"][0]["metadata"]["version"])')
echo "uv, UV_CONSTRAINT alone:                      $by_variable"
echo "uv, UV_CONSTRAINT and an empty --constraints: $with_another"
echo "uv, both as arguments:                        $both_as_arguments"
echo "pip, PIP_CONSTRAINT and an empty -c:          six==$by_pip"
without_index=$(UV_NO_INDEX=1 compile)
as_argument=$(compile --no-index 2>&1 || true)
echo "uv, UV_NO_INDEX=1:                            $without_index"
echo "uv, --no-index:                               $(echo "$as_argument" | head -1)"

expect() { [[ $1 == "$2" ]] || { echo "changed: $1 in place of $2"; exit 1; }; }
expect "$by_variable" six==1.15.0
expect "$both_as_arguments" six==1.15.0
expect "six==$by_pip" six==1.15.0
[[ $with_another != six==1.15.0 ]] || { echo "changed: the variable's constraints hold beside those of the call"; exit 1; }
[[ $without_index == six==* ]] || { echo "changed: UV_NO_INDEX is heard"; exit 1; }
[[ $as_argument != six==* ]] || { echo "changed: --no-index asks the index"; exit 1; }
