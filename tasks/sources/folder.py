"""A folder of media as records.

In: a folder whose files share stems (`cat/07.png`, `cat/07.txt`, `cat/07.wav` are one sample). Out: records with absolute paths, in the
order of their paths. Hidden files and folders are skipped; links are followed, loops of links are not.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.contracts import SPLITS, Json, Locator, SourceRecord
from tasks.errors import SourceError
from tasks.modalities import EXTENSIONS
from tasks.sources.config import FolderSource


@dataclass(frozen=True, slots=True)
class _File:
    """A medium that was found."""

    stem: str
    """Path below the folder without its extension."""
    extension: str
    """As written."""
    size: int
    mtime_ns: int

    @property
    def modality(self) -> str:
        return EXTENSIONS[self.extension.lower()]

    @property
    def path(self) -> str:
        return f"{self.stem}.{self.extension}"


class Folder:
    """`tasks.sources.config.Source` of a folder. Looks at the folder once."""

    def __init__(self, config: FolderSource, base_dir: Path) -> None:
        self.config = config
        self.root = (base_dir / Path(config.path).expanduser()).absolute()

    def snapshot(self) -> dict[str, Json]:
        """Digest over path, size and modification time of every medium."""
        digest = hashlib.sha256(f"{self.root}\n".encode())
        files, ignored = self._listing
        for file in files:
            digest.update(f"{file.path}\0{file.size}\0{file.mtime_ns}\n".encode())
        records = sum(1 for _ in itertools.groupby(files, key=lambda file: file.stem))
        return {"digest": digest.hexdigest(), "records": records, "bytes": sum(file.size for file in files), "ignored": ignored}

    def records(self, output_dir: Path) -> Iterator[SourceRecord]:
        """One record for each stem."""
        del output_dir
        for stem, files in itertools.groupby(self._listing[0], key=lambda file: file.stem):
            yield self._record(stem, list(files))

    def _record(self, stem: str, files: list[_File]) -> SourceRecord:
        members: dict[str, Locator] = {}
        found: dict[str, str] = {}
        for file in files:
            if file.modality in members:
                raise SourceError(
                    f"{self.root}: {found[file.modality]!r} and {file.path!r} would both be the {file.modality} of one sample; "
                    "rename or remove one of them"
                )
            found[file.modality] = file.path
            members[file.modality] = Locator(uri=f"{self.root}/{file.path}", size=file.size, mtime_ns=file.mtime_ns)
        folders = stem.split("/")[:-1]
        split = self._split(stem, folders) if self.config.splits else ""
        labels: dict[str, str | float] = {self.config.label: folders[0]} if self.config.label and folders else {}
        return SourceRecord(key=stem, members=members, labels=labels, split=split)

    def _split(self, stem: str, folders: list[str]) -> str:
        """The split that the first folder names, which is taken off `folders`."""
        if not folders or folders[0] not in SPLITS:
            where = f"the folder {folders[0]!r}" if folders else f"the file {stem!r}"
            raise SourceError(f"{self.root}: `splits: true` allows the folders {', '.join(SPLITS)} at the top, but there is {where}")
        return folders.pop(0)

    @functools.cached_property
    def _listing(self) -> tuple[list[_File], dict[str, int]]:
        """Media by path, and how many other files there are by extension. SourceError when there is no medium."""
        if not self.root.is_dir():
            what = "is a file, not a folder; for a table write `format: table`" if self.root.is_file() else "is not there"
            raise SourceError(f"the source folder {self.root} {what}; check `path`, which is relative to the recipe")
        ignored: Counter[str] = Counter()
        files = sorted(_walk(self.root, "", frozenset(), ignored), key=lambda file: (file.stem, file.path))
        if not files:
            others = ", ".join(f"{count} x .{name}" if name else f"{count} without extension" for name, count in sorted(ignored.items()))
            raise SourceError(
                f"the source folder {self.root} holds no file to read ({others or 'it is empty'}); "
                f"put files with these extensions into it: {', '.join(EXTENSIONS)}"
            )
        return files, dict(sorted(ignored.items()))


def _walk(folder: Path, prefix: str, above: frozenset[tuple[int, int]], ignored: Counter[str]) -> Iterator[_File]:
    """Media below a folder. `above` holds device and inode of the folders on the way, so that a loop of links ends."""
    try:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in above:
            return
        with os.scandir(folder) as entries:
            listed = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise SourceError(
            f"the folder {folder} cannot be listed: {error.strerror}; make it readable or move it out of the source"
        ) from error
    for entry in listed:
        try:
            is_folder = entry.is_dir()
        except OSError:  # a link to itself
            is_folder = False
        if is_folder:
            yield from _walk(folder / entry.name, f"{prefix}{entry.name}/", above | {(status.st_dev, status.st_ino)}, ignored)
        else:
            yield from _file(entry, prefix, ignored)


def _file(entry: os.DirEntry[str], prefix: str, ignored: Counter[str]) -> Iterator[_File]:
    """The medium, if it is one. A link that leads nowhere is listed with size 0, so that its loss is counted and not overlooked."""
    stem, dot, extension = entry.name.rpartition(".")
    if not dot or extension.lower() not in EXTENSIONS:
        ignored[extension.lower() if dot else ""] += 1
        return
    try:
        entry.name.encode()
    except UnicodeEncodeError as error:
        raise SourceError(f"the name of {prefix + entry.name!r} is not UTF-8; rename the file") from error
    try:
        status = entry.stat()
    except OSError:
        yield _File(prefix + stem, extension, 0, 0)
        return
    if stat.S_ISREG(status.st_mode):  # a pipe or a device would block whoever reads it
        yield _File(prefix + stem, extension, status.st_size, status.st_mtime_ns)
