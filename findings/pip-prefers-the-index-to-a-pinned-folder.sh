#!/usr/bin/env bash
# A company's own build of a version that the index has too: uv and pip, told of the same folder, take different files.
#
# One would guess: pins with hashes that uv made with --find-links are installed by pip with the same --find-links.
# What happens: uv pins the hash of the folder's file alone. pip prefers the index's file of that version, since nothing on
#   a folder's link tells its hash before it is read, and ends with "THESE PACKAGES DO NOT MATCH THE HASHES", which speaks of
#   tampering. With --no-index it takes the folder's file.
# Versions: uv 0.13.9, pip 26.3; the package is six 1.17.0. Seen on 2026-11-27.
# Source: pip 26.3, pip/_internal/index/package_finder.py, filter_unallowed_hashes ("if no candidates match, return all of them").
# What follows for us: the wheel of a find-links folder whose hash is pinned is copied, and pip downloads the rest:
#   requirements/wheels.rs, test `a_pinned_file_of_a_folder_is_taken_by_its_hash_and_the_rest_is_left_to_pip`.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv tools
tools/bin/pip install --quiet --disable-pip-version-check uv==0.13.9 pip==26.3
tools/bin/uv --version
tools/bin/pip --version | cut -d' ' -f1,2
export PIP_DISABLE_PIP_VERSION_CHECK=1
unset PIP_FIND_LINKS PIP_EXTRA_INDEX_URL UV_FIND_LINKS

# The company's build: the same content, packed anew, so that its hash is another.
tools/bin/pip download --quiet --no-deps --dest original six==1.17.0
mkdir company
tools/bin/python - <<'PYTHON'
import zipfile
name = "six-1.17.0-py2.py3-none-any.whl"
with zipfile.ZipFile(f"original/{name}") as old, zipfile.ZipFile(f"company/{name}", "w", zipfile.ZIP_STORED) as new:
    for item in old.infolist():
        new.writestr(item.filename, old.read(item.filename))
PYTHON
own=$(sha256sum company/*.whl | cut -d' ' -f1)

echo six==1.17.0 > wanted.txt
tools/bin/uv pip compile --no-config --quiet --no-header --no-annotate --generate-hashes --find-links company wanted.txt > pins.txt
cat pins.txt
test "$(grep -c -- --hash= pins.txt)" = 1
grep -q "$own" pins.txt
echo "uv pins the folder's file alone"

if tools/bin/pip download --quiet --no-deps --require-hashes --find-links company --dest taken --requirement pins.txt > said 2>&1; then
    echo "CHANGED: pip takes the folder's file"
    exit 1
fi
grep -q "DO NOT MATCH THE HASHES" said
grep -E "DO NOT MATCH|Expected|Got" said
tools/bin/pip download --quiet --no-deps --require-hashes --no-index --find-links company --dest taken --requirement pins.txt
echo "with --no-index it takes it: $(ls taken)"
