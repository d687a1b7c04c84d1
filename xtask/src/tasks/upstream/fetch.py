"""fetch URL FOLDER: download a file. strip|whole ARCHIVE FOLDER: unpack it; strip leaves out the folder that all files are in.

Nothing is written outside FOLDER: absolute names, names with `..` and links that lead out end the run.
"""

import os
import shutil
import sys
import tarfile
import urllib.parse
import urllib.request
import zipfile

what, source, folder = sys.argv[1:]


def refuse(name, why):
    sys.exit(f"the archive has the file {name!r}, which {why}")


def checked(name):
    parts = [it for it in name.split("/") if it not in ("", ".")]
    if name.startswith(("/", "\\")) or ".." in parts or ":" in name.split("/")[0] or "\0" in name:
        refuse(name, "is outside of it")
    return parts


def entries():
    """Parts of the name, whether it is executable, the target of a link, and a function that opens the content."""
    # A tar archive may end with a zip archive, so it is tried first.
    if not tarfile.is_tarfile(source) and zipfile.is_zipfile(source):
        archive = zipfile.ZipFile(source)
        for it in archive.infolist():
            mode = it.external_attr >> 16
            # Some tools of Windows write backslashes, which no name has that is meant for both.
            it.filename = it.filename.replace("\\", "/")
            if it.is_dir():
                continue
            if mode & 0o170000 == 0o120000:
                yield checked(it.filename), False, archive.read(it).decode(), None
            else:
                yield checked(it.filename), bool(mode & 0o111), None, lambda it=it: archive.open(it)
        return
    with tarfile.open(source) as archive:
        for it in archive:
            if it.isdir():
                continue
            if it.issym():
                yield checked(it.name), False, it.linkname, None
            elif it.isfile() or it.islnk():
                yield checked(it.name), bool(it.mode & 0o111), None, lambda it=it: archive.extractfile(it)
            elif it.type not in (tarfile.XHDTYPE, tarfile.XGLTYPE):
                refuse(it.name, "is neither a file, a folder nor a link")


def main():
    if what == "fetch":
        name = os.path.basename(urllib.parse.urlsplit(source).path) or "archive"
        with urllib.request.urlopen(source, timeout=60) as answer, open(os.path.join(folder, name), "wb") as out:
            shutil.copyfileobj(answer, out)
        return
    tops = {parts[0] for parts, *_ in entries() if len(parts) > 0}
    single = all(len(parts) > 1 for parts, *_ in entries())
    skip = 1 if what == "strip" and len(tops) == 1 and single else 0
    for parts, executable, link, opened in entries():
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
        with opened() as content, open(path, "wb") as out:
            shutil.copyfileobj(content, out)
        os.chmod(path, 0o755 if executable else 0o644)


try:
    main()
except (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError, KeyError) as error:
    sys.exit(f"{source}: {error}")
