"""Runs in the application's container: takes changed files from standard input, and tells PID 1 (supervise.py).

Arguments: paths that are gone. Nothing is written when a file is no valid Python: the code that runs is better than none.
"""

import io
import os
import pathlib
import signal
import sys
import tarfile

archive = tarfile.open(fileobj=io.BytesIO(sys.stdin.buffer.read()))
files = {member.name: (archive.extractfile(member).read(), member.mode) for member in archive if member.isfile()}
for name, (content, _) in files.items():
    if name.endswith(".py"):
        try:
            compile(content, name, "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            sys.exit(f"{name}:{getattr(error, 'lineno', None) or 1}: {getattr(error, 'msg', error)}")
for name, (content, mode) in files.items():
    path = pathlib.Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    beside.write_bytes(content)
    beside.chmod(mode)
    os.replace(beside, path)
for name in sys.argv[1:]:
    pathlib.Path(name).unlink(missing_ok=True)
os.kill(1, signal.SIGHUP)
