"""The corpus of the recipe beside this file: a picture, its caption in one language, and that caption spoken in the same language.

In: the stamps of Tux Paint, as Debian's package `tuxpaint-stamps-default` installs them. Out: one record a picture and language, whose
members stay where they are, and `files.csv` below the corpus: one line for every file of the package, with the number of records it is a
member of, or the reason why it is in none. `stamp_files.py` decides which files belong together.
"""

from __future__ import annotations

import csv
import functools
import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from stamp_files import ENGLISH, RECORDING, Caption, Listing, Stamp, listing

from tasks import registry
from tasks.contracts import Locator, SourceRecord
from tasks.errors import SourceError

HERE = Path(__file__).parent
CODE = ("stamps.py", "stamp_files.py")
PACKAGE = "tuxpaint-stamps-default"
OPAQUE = 128
"""From this alpha on, of 255, a pixel is part of the stamp."""


class Stamps:
    """Records with `image`, `text` and `audio`, and the labels `category`, `language` and `area`. A group is a picture.

    `category` is the folder at the top. `area` is how much of the smallest square around the picture is opaque, in percent; a drawing (SVG)
    has no pixels to count and no such label.
    """

    class Config(registry.Config):
        format: str
        """`stamps:Stamps`."""
        path: str = "/usr/share/tuxpaint/stamps"
        """The folder of stamps; a relative path starts at the recipe's folder."""
        languages: tuple[str, ...] = Field(default=("be", "bg", "ca", "da", "el", "en", "es", "fr", "nl", "ro", "ru"), min_length=1)
        """Languages, as file names have them (`_desc_fr`). English is `en`."""
        pictures: tuple[Literal["png", "svg"], ...] = Field(default=("png", "svg"), min_length=1)
        """Formats of pictures; of a picture in both, the first is taken."""

    def __init__(self, config: Config, base_dir: Path) -> None:
        self.config = config
        self.root = (base_dir / Path(config.path).expanduser()).absolute()

    def snapshot(self) -> dict[str, Any]:
        """Digest over path, size and modification time of every file, and of the code that reads them."""
        listed = self._listing
        digest = hashlib.sha256(f"{self.root}\n".encode())
        for name in CODE:
            digest.update((HERE / name).read_bytes())
        for path, file in listed.files.items():
            digest.update(f"{path}\0{file.size}\0{file.mtime_ns}\n".encode("utf-8", "surrogateescape"))
        members = [file for stamp in listed.stamps for language in stamp.recordings for file in _members(stamp, language)]
        sizes = sum(listed.files[path].size for path in members if not path.endswith(".txt"))
        return {
            "digest": digest.hexdigest(),
            "records": sum(len(stamp.recordings) for stamp in listed.stamps),
            "bytes": sizes + sum(stamp.captions[language].length for stamp in listed.stamps for language in stamp.recordings),
            "left_out": dict(sorted(Counter(listed.left_out.values()).items())),
        }

    def records(self, output_dir: Path) -> Iterator[SourceRecord]:
        """The account first, then the records, by picture and language."""
        write_account(self._listing, output_dir / "files.csv")
        for stamp in self._listing.stamps:
            area = opaque_percent(self.root / stamp.picture)
            labels = {"category": stamp.category} | ({} if area is None else {"area": area})
            for language in stamp.recordings:
                yield SourceRecord(
                    key=f"{stamp.name}/{language}",
                    members={
                        "image": self._whole(stamp.picture),
                        "text": self._caption(stamp, stamp.captions[language]),
                        "audio": self._whole(stamp.recordings[language]),
                    },
                    labels=labels | {"language": language},
                    group=stamp.name,
                )

    @functools.cached_property
    def _listing(self) -> Listing:
        """SourceError when the package, the languages or all samples are missing."""
        if not self.root.is_dir():
            raise SourceError(
                f"the folder of stamps {self.root} is not there. This recipe reads the stamps of Tux Paint (161 MB, GPL-2), which are not "
                f"part of Medley: `apt-get install {PACKAGE}`, or say where they are with `--set steps.corpus.source.path=PATH`"
            )
        try:
            listed = listing(self.root, self.config.languages, self.config.pictures)
        except OSError as error:
            raise SourceError(f"{error.filename or self.root} cannot be read: {error.strerror}; make it readable") from error
        spoken = _spoken(listed)
        for language in self.config.languages:
            if language not in spoken:
                known = ", ".join(f"{name} ({count})" for name, count in sorted(spoken.items())) or "none at all"
                hint = registry.closest(language, list(spoken))
                raise SourceError(f"languages: no recording below {self.root} is in {language!r}; recordings are in {known}{hint}")
        if not listed.stamps:
            raise SourceError(
                f"no picture below {self.root} has a recording and a caption in {', '.join(self.config.languages)}; name other languages"
            )
        return listed

    def _whole(self, path: str) -> Locator:
        file = self._listing.files[path]
        return Locator(uri=f"{self.root}/{path}", size=file.size, mtime_ns=file.mtime_ns)

    def _caption(self, stamp: Stamp, caption: Caption) -> Locator:
        """Its bytes in the caption file, or the caption as UTF-8 when the file has it in another encoding.

        Bytes that are not what the file promises are handed on as they are: sharding refuses them one by one and says so in its ledger.
        """
        file = self._listing.files[stamp.caption_file]
        place = Locator(f"{self.root}/{stamp.caption_file}", caption.offset, caption.length, None, file.size, file.mtime_ns)
        if caption.encoding == "utf-8":
            return place
        with (self.root / stamp.caption_file).open("rb") as opened:
            opened.seek(caption.offset)
            data = opened.read(caption.length)
        try:
            text = data.decode(caption.encoding).encode()
        except (UnicodeDecodeError, LookupError):
            return place
        return Locator(inline=text, size=len(text))


def write_account(listed: Listing, path: Path) -> None:
    """One line a file: path, bytes, number of records it is a member of, and the reason when that is none."""
    used = Counter(file for stamp in listed.stamps for language in stamp.recordings for file in _members(stamp, language))
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(("path", "bytes", "records", "left_out"))
        lines.writerows((name, about.size, used[name], listed.left_out.get(name, "")) for name, about in listed.files.items())


def opaque_percent(path: Path) -> float | None:
    """Opaque pixels over the pixels of the smallest square around the picture, 0 to 100.

    None for drawings, and for a picture that cannot be decoded: sharding meets it again and says so in its ledger.
    """
    if path.suffix != ".png":
        return None
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as image:
            side = max(image.size)
            histogram = image.convert("RGBA").getchannel("A").histogram()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return 100 * sum(histogram[OPAQUE:]) / side**2


def _members(stamp: Stamp, language: str) -> tuple[str, str, str]:
    return stamp.picture, stamp.caption_file, stamp.recordings[language]


def _spoken(listed: Listing) -> Counter[str]:
    """Language → recordings of pictures that are there."""
    names = [RECORDING.fullmatch(path.rpartition(".")[0]) for path in listed.files if path.endswith((".ogg", ".wav"))]
    return Counter(name["language"] or ENGLISH for name in names if name)
