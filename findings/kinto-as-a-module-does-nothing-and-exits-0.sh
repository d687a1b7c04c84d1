#!/usr/bin/env bash
# `python -m kinto migrate` migrates nothing, says nothing, and exits with 0.
#
# One would guess: a package that has a `__main__.py` with its command line in it runs that command line under `python -m`; or, where it
# does not, Python says that the package cannot be executed, as it does without a `__main__.py`.
# What happens: the file only defines `main`, which the console script `kinto` imports (`kinto.__main__:main`). Under `-m` the file is read to
# its end, nothing calls the function, and the exit code is 0: even a subcommand that does not exist ends well. In a Job before a rollout the
# migration counts as done, and the server that follows finds no tables.
# Versions: kinto 26.5.0. Source: kinto/__main__.py; kinto's pyproject.toml (project.scripts). Seen on 2026-11-28.
# What follows for us: where an application is a folder of the image and no console script is installed, its command is called as a function;
# the table of deployed applications gives kinto's migration that way.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv tools
tools/bin/pip install --quiet --no-compile --disable-pip-version-check kinto==26.5.0
echo "as a script: $(tools/bin/kinto version)"
test "$(tools/bin/kinto version)" = 26.5.0
if tools/bin/kinto no-such-command > script.txt 2>&1; then
    echo "the script takes any command: something else has changed"
    exit 1
fi
for words in version no-such-command; do
    code=0
    tools/bin/python -m kinto "$words" > module.txt 2>&1 || code=$?
    echo "as a module: \`$words\` exits with $code and writes $(wc -c < module.txt) bytes"
    test "$code" = 0
    test ! -s module.txt
done
