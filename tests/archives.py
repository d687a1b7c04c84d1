# Writes an archive: the file's name, then `KIND:NAME[:TARGET]` for each entry; `%0A` in a name is that character.
import io
import os
import re
import sys
import tarfile
import warnings
import zipfile

KINDS = {"file": tarfile.REGTYPE, "link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "fifo": tarfile.FIFOTYPE,
         "char": tarfile.CHRTYPE, "block": tarfile.BLKTYPE, "huge": tarfile.REGTYPE, "cut": tarfile.REGTYPE}
MODES = {"file": 0o100644, "link": 0o120777, "fifo": 0o010644}


def parsed(word):
    kind, rest = word.split(":", 1)
    name, _, target = (rest, "", "") if kind not in ("link", "hard") else rest.partition(":")
    name = re.sub("%([0-9A-F]{2})", lambda it: chr(int(it[1], 16)), name.replace("LONG", "l" * 300))
    return kind, name, target


place, words = sys.argv[1], [parsed(it) for it in sys.argv[2:]]
warnings.simplefilter("ignore")
if place.endswith(".zip"):
    with zipfile.ZipFile(place, "w") as out:
        for kind, name, target in words:
            it = zipfile.ZipInfo("x")
            it.filename, it.external_attr = name, MODES[kind] << 16
            out.writestr(it, target or "content")
else:
    with tarfile.open(place, "w") as out:
        for kind, name, target in words:
            it = tarfile.TarInfo(name)
            it.type, it.linkname = KINDS[kind], target
            it.size = len("content") if kind in ("file", "cut") else 0
            if kind == "huge":
                it.size = 1 << 42
            out.fileobj.write(it.tobuf(out.format, out.encoding, out.errors))
            if kind == "file":
                out.fileobj.write(b"content".ljust(512, b"\0"))
    if words[0][0] == "cut":
        os.truncate(place, 600)
