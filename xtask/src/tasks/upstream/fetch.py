"""fetch URL FOLDER: download a file. strip|whole ARCHIVE FOLDER: unpack it; strip leaves out the folder that all files are in.

All names, links and sizes are looked at before anything is written, and nothing is written outside FOLDER.
"""

import os
import shutil
import sys
import tarfile
import urllib.parse
import urllib.request
import zipfile
import zlib

what, source, folder = sys.argv[1:]

# More than any application's source has.
MOST_FILES = 100_000
MOST_BYTES = 2 << 30
LONGEST_LINK = 4096


def refuse(name, why):
    sys.exit(f"the archive has the file {name!r}, which {why}")


def checked(name):
    parts = [it for it in name.split("/") if it not in ("", ".")]
    if name.startswith(("/", "\\")) or ".." in parts or ":" in name.split("/")[0]:
        refuse(name, "is outside of it")
    if not parts:
        refuse(name, "has no name")
    if any(ord(it) < 32 or ord(it) == 127 for it in name):
        refuse(name, "has a control character in its name")
    if any(0xDC80 <= ord(it) <= 0xDCFF for it in name):
        refuse(name, "has a name that is not UTF-8")
    if any(len(it.encode()) > 255 for it in parts):
        refuse(name, "has a name of more than 255 bytes")
    if any(it.lower().rstrip(". ") in (".git", "git~1") for it in parts):
        refuse(name, "belongs to a repository of git, which runs what is in it")
    return parts


def entries():
    """Parts of the name, size, whether it is executable, the target of a link, and a function that opens the content."""
    # A tar archive may end with a zip archive, so it is tried first.
    if not tarfile.is_tarfile(source) and zipfile.is_zipfile(source):
        archive = zipfile.ZipFile(source)
        for it in archive.infolist():
            mode = it.external_attr >> 16
            # Some tools of Windows write backslashes, which no name has that is meant for both.
            name = it.filename.replace("\\", "/")
            kind = mode & 0o170000
            if kind not in (0, 0o040000, 0o100000, 0o120000):
                refuse(name, "is neither a file, a folder nor a link")
            if name.endswith("/"):
                continue
            if kind == 0o120000:
                if it.file_size > LONGEST_LINK:
                    refuse(name, "is a link with a target of more than 4096 bytes")
                yield checked(name), 0, False, archive.read(it).decode(), None
            else:
                yield checked(name), it.file_size, bool(mode & 0o111), None, lambda it=it: archive.open(it)
        return
    with tarfile.open(source) as archive:
        for it in archive:
            if it.isdir():
                continue
            if it.issym():
                yield checked(it.name), 0, False, it.linkname, None
            elif it.isfile() or it.islnk():
                size = it.size
                if it.islnk():
                    try:
                        size = archive.getmember(it.linkname).size
                    except KeyError:
                        refuse(it.name, "is a hard link to a file that is not in it")
                yield checked(it.name), size, bool(it.mode & 0o111), None, lambda it=it: archive.extractfile(it)
            elif it.type not in (tarfile.XHDTYPE, tarfile.XGLTYPE):
                refuse(it.name, "is neither a file, a folder nor a link")


def look():
    """Refuses what no source has; returns the number of leading folders that all files share."""
    files, size, tops, single = set(), 0, set(), True
    for parts, bytes_, _, link, _ in entries():
        name, size = "/".join(parts), size + bytes_
        if name in files:
            refuse(name, "is in it twice")
        if size > MOST_BYTES or len(files) >= MOST_FILES:
            sys.exit(f"the archive has more than {MOST_FILES} files or {MOST_BYTES >> 30} GiB")
        if link is not None and ("\0" in link or not link or len(link) > LONGEST_LINK):
            refuse(name, "is a link without a usable target")
        files.add(name)
        tops.add(parts[0])
        single = single and len(parts) > 1
    for name in files:
        parts = name.split("/")
        if any("/".join(parts[:it]) in files for it in range(1, len(parts))):
            refuse(name, "is below a file or a link")
    return 1 if what == "strip" and len(tops) == 1 and single else 0


def main():
    if what == "fetch":
        name = os.path.basename(urllib.parse.urlsplit(source).path) or "archive"
        with urllib.request.urlopen(source, timeout=60) as answer, open(os.path.join(folder, name), "wb") as out:
            shutil.copyfileobj(answer, out)
        return
    skip = look()
    for parts, size, executable, link, opened in entries():
        path = os.path.join(folder, *parts[skip:])
        # A link that an earlier entry made must not lead a later one out.
        above = os.path.realpath(os.path.dirname(path))
        if os.path.commonpath([above, os.path.realpath(folder)]) != os.path.realpath(folder):
            refuse("/".join(parts), "is outside of it")
        os.makedirs(above, exist_ok=True)
        if link is not None:
            target = os.path.realpath(os.path.join(above, link))
            if os.path.isabs(link) or os.path.commonpath([target, os.path.realpath(folder)]) != os.path.realpath(folder):
                refuse("/".join(parts), "is a link that leads out of it")
            os.symlink(link, path)
            continue
        with opened() as content, open(path, "xb") as out:
            # No more than it says: a packed content may be longer.
            left = size
            while left > 0 and (piece := content.read(min(left, 1 << 20))):
                out.write(piece)
                left -= len(piece)
        os.chmod(path, 0o755 if executable else 0o644)


try:
    main()
except (tarfile.TarError, zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError, ValueError, RuntimeError) as error:
    sys.exit(f"{source}: {error}")
