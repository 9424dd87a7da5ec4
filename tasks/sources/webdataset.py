"""WebDataset tars of other people as records.

In: tars whose members share names (`cat/07.jpg`, `cat/07.txt`, `cat/07.cls` are one sample). Out: records whose members are byte ranges of
the tars: nothing is extracted, and media are read where they are decoded.

What is a sample is for the webdataset library to say (`base_plus_ext`, `group_by_keys`). It opens and decodes nothing here: its own tar
reader gives bytes and no offsets, so the headers are walked in `tar_members` and the library groups places instead of bytes. It
runs in its secure mode all the same, for as long as it is used and without a change to the environment, and no member is ever unpickled:
a pickle is an extension that nobody reads, and is counted as such. Importing the library imports torch, so `snapshot` does without.
"""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import itertools
import math
import re
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import braceexpand

from tasks.contracts import SPLITS, Json, Locator, SourceRecord
from tasks.errors import SourceError
from tasks.registry import closest
from tasks.sources.config import WebDatasetSource
from tasks.sources.tar_fields import JSON, Fields
from tasks.sources.tar_members import Member, members

META = re.compile(r"__[^/]*__($|/)")
"""Names that the library keeps for itself and passes over."""

REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|-$")
"""`pipe:`, `https:`, `s3:` and standard input."""

RANGE = re.compile(r"\{(-?\d+)\.\.(-?\d+)")
MAX_TARS = 1_000_000
"""That one `path` may name by ranges in braces."""


@dataclass(frozen=True, slots=True)
class _Tar:
    path: Path
    size: int
    mtime_ns: int


class WebDatasetTars:
    """`tasks.sources.config.Source` of tars. `ignored` of its snapshot fills while the records are listed: only then are headers read."""

    def __init__(self, config: WebDatasetSource, base_dir: Path) -> None:
        self.config, self._base_dir = config, base_dir
        self._modality_of = config.modality_of()
        used = {label.extension.lower() for label in config.labels.values()}
        if config.key or config.group or isinstance(config.split, str):
            used.add(JSON)
        self._used = used | set(self._modality_of)
        self._ignored: Counter[str] = Counter()

    def snapshot(self) -> dict[str, Json]:
        """Digest over path, size and modification time of every tar."""
        tars = self._tars()
        digest = hashlib.sha256("".join(f"{tar.path}\0{tar.size}\0{tar.mtime_ns}\n" for tar in tars).encode())
        return {"digest": digest.hexdigest(), "bytes": sum(tar.size for tar in tars), "ignored": self._ignored}

    def places(self) -> list[Path]:
        """The folders that hold the tars, each once."""
        return sorted({tar.path.parent for tar in self._tars()})

    def records(self, output_dir: Path) -> Iterator[SourceRecord]:
        """One record for each sample that has a medium or a label, tar by tar."""
        del output_dir
        self._ignored.clear()
        count = 0
        for tar in self._tars():
            split = self._split_of(tar.path)
            with _opened(tar.path) as file:
                for sample in _samples(tar.path, self._ignored):
                    for extension in sorted(sample.keys() - self._used - {"__key__", "__url__"}):
                        self._ignored[extension] += 1
                    if not self._used.isdisjoint(sample):
                        count += 1
                        yield self._record(tar, file, sample, split)
        if not count:
            there = ", ".join(f"{number} x .{name}" for name, number in sorted(self._ignored.items())) or "they are empty"
            raise SourceError(
                f"the tars of {', '.join(self.config.path)} hold no member to read ({there}); these extensions are read: "
                f"{', '.join(sorted(self._used))}. Name others with `columns`"
            )

    def _record(self, tar: _Tar, file: BinaryIO, sample: Mapping[str, Any], split: str) -> SourceRecord:
        own = str(sample["__key__"]).removeprefix("./")
        where = f"{tar.path}: the sample {own!r}"
        found: dict[str, str] = {}
        places: dict[str, Locator] = {}
        for extension in sorted(self._modality_of.keys() & sample.keys()):
            modality = self._modality_of[extension]
            if modality in places:
                raise SourceError(
                    f"{where} has .{found[modality]} and .{extension}, and both would be its {modality}; say which with "
                    f"`columns: {{{modality}: {extension}}}`"
                )
            found[modality] = extension
            member: Member = sample[extension]
            places[modality] = Locator(str(tar.path), member.offset, member.size, size=tar.size, mtime_ns=tar.mtime_ns)
        fields = Fields(where, file, sample)
        labels = {name: fields.label(label) for name, label in self.config.labels.items()}
        key = fields.text(self.config.key, needed=True) if self.config.key else own
        return SourceRecord(
            key=f"{tar.path.stem}/{key}" if self.config.tar_in_key else key,
            members=places,
            labels={name: value for name, value in labels.items() if value is not None},
            group=fields.text(self.config.group) if self.config.group else "",
            split=_known_split(where, fields.text(self.config.split)) if isinstance(self.config.split, str) else split,
        )

    def _split_of(self, path: Path) -> str:
        """The split whose pattern the tar's name fits."""
        if not isinstance(self.config.split, Mapping):
            return ""
        fitting = [split for split, pattern in self.config.split.items() if fnmatch.fnmatchcase(path.name, pattern)]
        if len(fitting) != 1:
            patterns = ", ".join(f"{split}: {pattern!r}" for split, pattern in self.config.split.items())
            fits = f"the patterns of {' and '.join(fitting)}" if fitting else "no pattern"
            raise SourceError(f"the name of {path} fits {fits} of `split` ({patterns}); each tar needs exactly one")
        return fitting[0]

    def _tars(self) -> list[_Tar]:
        """Every tar once, by path. SourceError when one is not there."""
        paths = itertools.chain.from_iterable(_expanded(given, self._base_dir) for given in self.config.path)
        found = {path: _stat(path) for path in paths}
        return [found[path] for path in sorted(found)]


def _samples(path: Path, ignored: Counter[str]) -> Iterator[dict[str, Any]]:
    """extension → `Member` of each sample of a tar, with `__key__`, as the webdataset library groups them."""
    from webdataset.tariterators import group_by_keys

    with _secure():
        yield from group_by_keys(_in_one_place(path, ignored))


@contextmanager
def _secure() -> Iterator[None]:
    """The webdataset library refuses commands, pickles and downloads meanwhile, as with WDS_SECURE=1."""
    from webdataset import utils

    before, utils.enforce_security = utils.enforce_security, True
    try:
        yield
    finally:
        utils.enforce_security = before


def _in_one_place(path: Path, ignored: Counter[str]) -> Iterator[dict[str, Any]]:
    """Members as the library's grouping takes them; files without extension are counted in `ignored`.

    SourceError when a sample is in two places, or has two members of one name.
    """
    from webdataset.tariterators import base_plus_ext

    done: set[str] = set()
    current: str | None = None
    names: dict[str, str] = {}
    for member in members(path):
        if META.match(member.name):
            continue
        key, extension = base_plus_ext(member.name)
        if key is None:
            ignored[""] += 1
            continue
        if key != current:
            if key in done:
                raise SourceError(
                    f"{path}: the members of {key!r} are in two places ({member.name!r} comes after others of {current!r}), so that "
                    "readers would make two samples of it; pack the tar again with `tar --sort=name`"
                )
            if current is not None:
                done.add(current)
            current, names = key, {}
        if extension.lower() in names:
            raise SourceError(
                f"{path}: {names[extension.lower()]!r} and {member.name!r} are one member of the sample {key!r}; rename or remove one"
            )
        names[extension.lower()] = member.name
        yield {"fname": member.name, "data": member, "__url__": str(path)}


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        raise SourceError(f"the tar {path} cannot be read: {error.strerror}") from error


def _known_split(where: str, split: str) -> str:
    if split and split not in SPLITS:
        raise SourceError(f"{where} has the split {split!r}; allowed: {', '.join(SPLITS)}, or none{closest(split, list(SPLITS))}")
    return split


def _expanded(given: str, base_dir: Path) -> Iterator[Path]:
    """The tars that a path, a glob or brace ranges name. SourceError when a glob fits nothing."""
    if REMOTE.match(given):
        raise SourceError(f"{given!r} is no local path; this source opens local tars and runs no commands, so fetch them first")
    _check_count(given)
    try:
        written = braceexpand.braceexpand(given)
    except ValueError as error:
        raise SourceError(f"{given!r} has a brace that is not closed; `name-{{000..012}}.tar` is a range") from error
    for one in written:
        path = (base_dir / Path(one).expanduser()).absolute()
        if path.exists() or not glob.has_magic(one):
            yield path
            continue
        fitting = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 - patterns may be absolute
        if not fitting:
            raise SourceError(f"no file fits {one!r} below {base_dir}; check `path`, which is relative to the recipe")
        yield from map(Path, fitting)


def _check_count(given: str) -> None:
    """SourceError for ranges that name more tars than anybody has; the library would hold all of their names at once."""
    count = math.prod(abs(int(end) - int(start)) + 1 for start, end in RANGE.findall(given))
    if count > MAX_TARS:
        raise SourceError(f"{given!r} names {count:,} tars; at most {MAX_TARS:,} are listed: check the numbers in its braces")


def _stat(path: Path) -> _Tar:
    try:
        status = path.stat()
    except OSError as error:
        raise SourceError(f"the tar {path} is not there ({error.strerror}); check `path`, which is relative to the recipe") from error
    if stat.S_ISDIR(status.st_mode):
        raise SourceError(f"{path} is a folder; write `path: {path.name}/*.tar` for the tars in it, or `format: folder` for media")
    if not stat.S_ISREG(status.st_mode):
        raise SourceError(f"{path} is a pipe or a device; this source opens files")
    return _Tar(path, status.st_size, status.st_mtime_ns)
