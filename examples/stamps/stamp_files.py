"""The files of Tux Paint's stamps: which of them belong together, and why each of the others is left out.

In: the folder of stamps. Out: one `Stamp` a picture with its captions and recordings, and one line of the account for every file.
Opens caption files only. Imports nothing heavy, because `medley plan` imports this file.

    animals/birds/owl.png            the picture, or owl.svg
    animals/birds/owl.txt            first line: the English caption; then `fr.utf8=Un hibou.`, one line a language
    animals/birds/owl_desc_fr.ogg    the caption, spoken; owl_desc.ogg is English
    animals/birds/owl.ogg            what it sounds like
    animals/birds/owl.dat            how Tux Paint may colour or turn it
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

PICTURES = ("png", "svg")
SOUNDS = ("ogg", "wav")
RECORDING = re.compile(r"(?P<stem>.+)_desc(?:_(?P<language>\w+))?")
CAPTION = re.compile(rb"(?P<language>[\w@]+)\.(?P<encoding>[\w-]+)=(?P<text>.*)")
ENGLISH = "en"
WIDE = (
    (codecs.BOM_UTF32_LE, "UTF-32"),  # begins like UTF-16, so it is looked for first
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
"""How a file in an encoding of two or four bytes a character begins."""

OTHER_FORM = "the same picture in the other format"
MIRRORED = "a picture drawn again for its mirrored use"
OTHER_FORMAT = "a picture in a format that is not asked for"
UNUSED_PICTURE = "a picture without a recording and its caption in these languages"
UNUSED_CAPTIONS = "captions of a picture that is left out"
LOST_CAPTIONS = "captions without a picture"
OTHER_ENCODING = "a caption file in {0}, which is not read: convert it with `iconv -f {0} -t UTF-8`"
UNREADABLE_CAPTIONS = "a caption file that is not lines of text: it has bytes that are 0, so write it anew in UTF-8"
LOST_RECORDING = "a recording without a picture"
UNUSED_RECORDING = "a recording of a picture that is left out"
OTHER_LANGUAGE = "a recording in a language that is not asked for"
UNCAPTIONED = "a recording without a caption in its language"
SECOND_RECORDING = "the same recording in the other format"
SOUND = "a sound that is not a description"
SETTINGS = "settings of Tux Paint"
UNKNOWN = "a file of unknown kind"


class File(NamedTuple):
    """Size and modification time of a file."""

    size: int
    mtime_ns: int


class Caption(NamedTuple):
    """Where a caption stands in its file, and in which encoding as Python names it; an encoding that Python lacks is as the file says."""

    offset: int
    length: int
    encoding: str


@dataclass(frozen=True)
class Stamp:
    """A picture with what is written and said about it. Paths are below the folder of stamps."""

    name: str
    """Path of the picture without its extension."""
    picture: str
    captions: dict[str, Caption]
    """By language."""
    recordings: dict[str, str]
    """Language → path; only languages that have a caption as well."""

    @property
    def category(self) -> str:
        return self.name.split("/", 1)[0]

    @property
    def caption_file(self) -> str:
        return f"{self.name}.txt"


@dataclass
class Listing:
    """All files, sorted by path, and what becomes of them."""

    files: dict[str, File]
    stamps: list[Stamp] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """Path → reason. A file that is not here is a member of at least one sample."""


def list_files(root: Path) -> dict[str, File]:
    """Every file below the folder, hidden ones too; a link to a file is that file. OSError when a folder cannot be listed."""
    return dict(sorted(_walk(root, "")))


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, File]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(folder / entry.name, f"{prefix}{entry.name}/")
            else:
                status = entry.stat(follow_symlinks=not entry.is_symlink() or (folder / entry.name).exists())
                yield prefix + entry.name, File(status.st_size, status.st_mtime_ns)


def listing(root: Path, languages: Sequence[str], formats: Sequence[str]) -> Listing:
    """Who belongs to whom. `formats`: extensions of pictures, the preferred one first."""
    listed = Listing(list_files(root))
    stamps = _pictures(listed, formats)
    recordings = _recordings(listed, stamps, languages)
    for path in listed.files:
        stem, extension = _parted(path)
        if extension == "txt" and stem not in stamps:
            listed.left_out[path] = UNUSED_CAPTIONS if _has_picture(listed, stem) else LOST_CAPTIONS
    for name, picture in stamps.items():
        _add(listed, root, name, picture, recordings.get(name, {}))
    return listed


def _pictures(listed: Listing, formats: Sequence[str]) -> dict[str, str]:
    """Name → path of the picture that stands for it."""
    chosen: dict[str, str] = {}
    for path in sorted(listed.files, key=lambda path: (_rank(path, formats), path)):
        stem, extension = _parted(path)
        if extension not in PICTURES:
            continue
        if stem.endswith("_mirror") and _has_picture(listed, stem.removesuffix("_mirror")):
            listed.left_out[path] = MIRRORED
        elif stem in chosen:
            listed.left_out[path] = OTHER_FORM
        elif extension not in formats:
            listed.left_out[path] = OTHER_FORMAT
        else:
            chosen[stem] = path
    return dict(sorted(chosen.items()))


def _recordings(listed: Listing, stamps: dict[str, str], languages: Sequence[str]) -> dict[str, dict[str, str]]:
    """Name → language → path, among the languages. What is no picture, caption or such a recording is left out here."""
    found: dict[str, dict[str, str]] = {}
    for path in listed.files:
        stem, extension = _parted(path)
        if extension in PICTURES or extension == "txt":
            continue
        if extension not in SOUNDS:
            listed.left_out[path] = SETTINGS if extension == "dat" else UNKNOWN
            continue
        name = RECORDING.fullmatch(stem)
        if name is None:
            listed.left_out[path] = UNKNOWN if "_desc" in stem else SOUND
            continue
        language = name["language"] or ENGLISH
        if not _has_picture(listed, name["stem"]):
            listed.left_out[path] = LOST_RECORDING
        elif name["stem"] not in stamps:
            listed.left_out[path] = UNUSED_RECORDING
        elif language not in languages:
            listed.left_out[path] = OTHER_LANGUAGE
        elif language in found.setdefault(name["stem"], {}):
            listed.left_out[path] = SECOND_RECORDING
        else:
            found[name["stem"]][language] = path
    return found


def _add(listed: Listing, root: Path, name: str, picture: str, recordings: dict[str, str]) -> None:
    """The stamp, if anything of it is whole; else its files are left out."""
    path = f"{name}.txt"
    data = (root / path).read_bytes() if path in listed.files else b""
    captions = read_captions(data, recordings)
    whole = {language: recordings[language] for language in sorted(recordings) if language in captions}
    listed.left_out |= {recordings[language]: UNCAPTIONED for language in recordings if language not in captions}
    if whole:
        listed.stamps.append(Stamp(name, picture, captions, whole))
        return
    listed.left_out[picture] = UNUSED_PICTURE
    if path in listed.files:
        listed.left_out[path] = UNUSED_CAPTIONS if _is_text(data) else _unreadable(data)


def read_captions(data: bytes, languages: Container[str]) -> dict[str, Caption]:
    """Language → where its caption is, for these languages. Empty captions and lines of another form are none.

    The text itself is not decoded here: whether its bytes are what the line promises is found when it is.
    """
    found: dict[str, Caption] = {}
    if not _is_text(data):
        return found
    at = len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0
    for number, line in enumerate(data[at:].splitlines(keepends=True)):
        if number == 0:
            _note(found, ENGLISH, "utf-8", at, line)
        elif line.partition(b".")[0].decode("ascii", "replace") in languages and (said := CAPTION.match(line.rstrip())):
            _note(found, said["language"].decode(), _encoding(said["encoding"].decode()), at + said.start("text"), said["text"])
        at += len(line)
    return {language: caption for language, caption in found.items() if language in languages}


def _is_text(data: bytes) -> bool:
    """Lines of one byte a character and more; UTF-16 has NUL bytes."""
    return b"\0" not in data


def _unreadable(data: bytes) -> str:
    named = next((name for mark, name in WIDE if data.startswith(mark)), None)
    return OTHER_ENCODING.format(named) if named else UNREADABLE_CAPTIONS


def _note(found: dict[str, Caption], language: str, encoding: str, offset: int, text: bytes) -> None:
    stripped = text.strip()
    if stripped and language not in found:
        found[language] = Caption(offset + text.index(stripped), len(stripped), encoding)


def _encoding(name: str) -> str:
    """As Python calls it, so that `utf8` and `UTF-8` are one."""
    try:
        return codecs.lookup(name).name
    except LookupError:
        return name


def _has_picture(listed: Listing, stem: str) -> bool:
    return any(f"{stem}.{extension}" in listed.files for extension in PICTURES)


def _rank(path: str, formats: Sequence[str]) -> int:
    extension = _parted(path)[1]
    return formats.index(extension) if extension in formats else len(formats)


def _parted(path: str) -> tuple[str, str]:
    """Path without extension, and extension."""
    stem, _, extension = path.rpartition(".")
    return stem, extension
