"""WebDataset tars of other people as records.

In: tars whose members share names (`cat/07.jpg`, `cat/07.txt`, `cat/07.cls` are one sample). Out: records whose members are byte ranges of
the tars: nothing is extracted, and media are read where they are decoded.

What is a sample is for the webdataset library to say: see `tar_samples`. No member is ever unpickled: a pickle is an extension that nobody
reads, and is counted as such. Importing the library imports torch, so `snapshot` does without.

**A hostile or broken member** makes its record a bad one, with a reason for the ledger. The rest of a tar that can't be read any more is
one bad record. Sharding counts them against the allowed rate. Tars with nothing to read at all are an error.
"""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import hashlib
import itertools
import math
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import braceexpand

from tasks.contracts import SPLITS, Json, Locator, SourceRecord
from tasks.errors import BadMember, SourceError
from tasks.registry import closest
from tasks.sources.config import WebDatasetSource
from tasks.sources.tar_fields import JSON, Fields
from tasks.sources.tar_members import Refused
from tasks.sources.tar_samples import TarSample, samples

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
        """One record for each sample that has a medium or a label, tar by tar; then one for each thing that belongs to no sample."""
        del output_dir
        self._ignored.clear()
        lost: list[tuple[_Tar, TarSample]] = []
        seen: set[str] = set()
        count, first = 0, ""
        for tar in self._tars():
            for sample, record in self._of_tar(tar):
                if record is None:
                    lost.append((tar, sample))
                    continue
                good = {modality for modality, member in record.members.items() if not member.refused}
                seen |= good
                count += bool(good) or not record.members
                first = first or next((member.why for member in record.members.values()), "")
                yield record
        if not count:
            first = first or next((sample.refused.why for _, sample in lost if sample.refused), "")
            raise SourceError(first or self._nothing())
        names = _names(tar.path for tar, _ in lost)
        for tar, sample in lost:
            yield self._refused(
                tar, f"refused/{names[tar.path]}/{sample.offset}", sample, sorted(seen) or [min(self._modality_of.values())]
            )

    def _nothing(self) -> str:
        there = ", ".join(f"{number} x .{name}" for name, number in sorted(self._ignored.items())) or "they are empty"
        return (
            f"the tars of {', '.join(self.config.path)} hold no member to read ({there}); these extensions are read: "
            f"{', '.join(sorted(self._used))}. Name others with `columns`"
        )

    def _of_tar(self, tar: _Tar) -> Iterator[tuple[TarSample, SourceRecord | None]]:
        """Each sample with its record; None for what belongs to no sample, or to one without media."""
        split = self._split_of(tar.path)
        with contextlib.ExitStack() as stack:
            file = None
            for sample in samples(tar.path, self._ignored):
                for extension in sorted(sample.members.keys() - self._used):
                    self._ignored[extension] += 1
                if sample.refused and not sample.key:
                    yield sample, None
                elif not self._used.isdisjoint(sample.members):
                    file = file or stack.enter_context(_opened(tar.path))
                    yield self._with_record(tar, file, sample, split)

    def _with_record(self, tar: _Tar, file: BinaryIO, sample: TarSample, split: str) -> tuple[TarSample, SourceRecord | None]:
        refused = sample.refused
        if not refused:
            try:
                return sample, self._record(tar, file, sample, split)
            except BadMember as error:
                refused = Refused(error.reason, error.detail)
        offset = sample.offset or min(member.offset for member in sample.members.values())
        given_up = TarSample(sample.key, sample.members, refused, offset)
        media = sorted({self._modality_of[extension] for extension in self._modality_of.keys() & sample.members.keys()})
        if not media:
            return given_up, None
        return given_up, self._refused(tar, self._key(tar, sample.key.removeprefix("./")), given_up, media)

    def _refused(self, tar: _Tar, key: str, sample: TarSample, modalities: Iterable[str]) -> SourceRecord:
        """A record of which nothing is read."""
        reason, why = (sample.refused.reason, sample.refused.why) if sample.refused else ("", "")
        whole = reason == "source/unreadable"  # then it is the whole file that may be readable later
        place = Locator(str(tar.path), None if whole else sample.offset, None if whole else 0, None, tar.size, tar.mtime_ns, reason, why)
        return SourceRecord(key, dict.fromkeys(modalities, place), split=self._split_of(tar.path))

    def _key(self, tar: _Tar, own: str) -> str:
        return f"{tar.path.stem}/{own}" if self.config.tar_in_key else own

    def _record(self, tar: _Tar, file: BinaryIO, sample: TarSample, split: str) -> SourceRecord:
        own = sample.key.removeprefix("./")
        where = f"{tar.path}: the sample {own!r}"
        found: dict[str, str] = {}
        places: dict[str, Locator] = {}
        for extension in sorted(self._modality_of.keys() & sample.members.keys()):
            modality = self._modality_of[extension]
            if modality in places:
                raise SourceError(
                    f"{where} has .{found[modality]} and .{extension}, and both would be its {modality}; say which with "
                    f"`columns: {{{modality}: {extension}}}`"
                )
            found[modality] = extension
            member = sample.members[extension]
            reason, why = (member.refused.reason, member.refused.why) if member.refused else ("", "")
            size = 0 if reason else member.size
            places[modality] = Locator(str(tar.path), member.offset, size, None, tar.size, tar.mtime_ns, reason, why)
        fields = Fields(where, file, sample.members)
        labels = {name: fields.label(label) for name, label in self.config.labels.items()}
        return SourceRecord(
            key=self._key(tar, fields.text(self.config.key, needed=True) if self.config.key else own),
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


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        raise SourceError(f"the tar {path} cannot be read: {error.strerror}") from error


def _names(paths: Iterable[Path]) -> dict[Path, str]:
    """What tars are called in keys: the stem, with a number where several have one."""
    names: dict[Path, str] = {}
    stems: Counter[str] = Counter()
    for path in dict.fromkeys(paths):
        stems[path.stem] += 1
        names[path] = path.stem if stems[path.stem] == 1 else f"{path.stem}-{stems[path.stem]}"
    return names


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
