"""The corpus of the recipe beside this file: recordings of spoken digits, one of whose speakers is new.

In: a download of the Free Spoken Digit Dataset. Out: one record a recording. Of the new speaker, training has half of the recordings,
without saying which digit they are, and test has the other half. All others train with their digits; a tenth of their recordings validates.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from digit_pairs import MediaFile, digest
from pydantic import Field
from spoken_corpus import Recording, recordings_of

from tasks import registry
from tasks.contracts import SourceRecord
from tasks.errors import SourceError

HERE = Path(__file__).parent
CODE = ("new_speaker.py", "spoken_corpus.py", "digit_pairs.py")
VALIDATES = 10
"""Every tenth take of a known speaker validates."""


class NewSpeakerSource:
    """Records with the modality `audio` and the labels `digit` ("0" to "9"), `speaker` and `voice` (known or new)."""

    class Config(registry.Config):
        format: str
        """`new_speaker:NewSpeakerSource`."""
        archive: str = "fsdd.zip"
        """The dataset as a zip file; a relative path starts at the recipe's folder."""
        new: str = Field(default="theo", min_length=1)
        """The speaker whose digits training does not know."""

    def __init__(self, config: Config, base_dir: Path) -> None:
        self.config = config
        self.archive = base_dir / Path(config.archive).expanduser()

    def snapshot(self) -> dict[str, Any]:
        """A digest of everything the records are made from, and how many records and bytes they will be."""
        found = self._recordings()
        made_from = [*(HERE / name for name in CODE), self.archive]
        return {"digest": digest(made_from), "records": len(found), "bytes": sum(each.member.file_size for each in found)}

    def records(self, output_dir: Path) -> Iterator[SourceRecord]:
        """Write all recordings as they were published, then list them by digit, speaker and take."""
        found = self._recordings()
        with zipfile.ZipFile(self.archive) as archive, closing(MediaFile(output_dir, "sounds.bin")) as sounds:
            places = [sounds.add(archive.read(each.member)) for each in found]
        for each, place in zip(found, places, strict=True):
            new, odd = each.speaker == self.config.new, each.take % 2 == 1
            told = {} if new and not odd else {"digit": str(each.digit)}
            yield SourceRecord(
                key=f"{each.speaker}-{each.digit}-{each.take:02d}",
                members={"audio": sounds.locator(place)},
                labels={"speaker": each.speaker, "voice": "new" if new else "known", **told},
                split=("test" if odd else "train") if new else ("val" if each.take % VALIDATES == 0 else "train"),
            )

    def _recordings(self) -> list[Recording]:
        """In order. Raises SourceError when the archive or the speaker is missing."""
        found = recordings_of(self.archive)
        speakers = sorted({each.speaker for each in found})
        if self.config.new not in speakers:
            hint = registry.closest(self.config.new, speakers)
            raise SourceError(f"new: {self.archive} has no {self.config.new!r}; its speakers are {', '.join(speakers)}{hint}")
        return sorted(found, key=lambda each: each[:3])
