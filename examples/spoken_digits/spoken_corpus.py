"""The corpus of the recipe beside this file: handwritten digits, each paired with a recording of a person who says the digit.

In: the digits that come with scikit-learn, and a download of the Free Spoken Digit Dataset. Out: one record a pairing, its media written
below the corpus. Speakers and pictures are split first and paired inside a split, so test hears people and sees pictures that training
never met.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

from digit_pairs import PICTURE_BYTES, MediaFile, deal_pictures, degrade, digest, handwriting_file, png, read_handwriting, stream
from pydantic import Field, model_validator

from tasks import registry
from tasks.contracts import SourceRecord
from tasks.errors import SourceError

HERE = Path(__file__).parent
CODE = ("spoken_corpus.py", "digit_pairs.py")
RECORDING = re.compile(r"(?:^|/)recordings/(?P<digit>\d)_(?P<speaker>[a-z]+)_(?P<take>\d+)\.wav$")

PICTURE_SHARES = {"val": 0.15, "test": 0.3}
"""Of the pictures of each digit; the rest trains."""
PAIRINGS = {"train": 3, "val": 1, "test": 1}
"""Records a recording is in, each with another picture and other noise."""


class Recording(NamedTuple):
    digit: int
    speaker: str
    take: int
    member: zipfile.ZipInfo


class SpokenDigitsSource:
    """Records with the modalities `image` and `audio`, and the label `digit` ("0" to "9"). A group is a picture."""

    class Config(registry.Config):
        format: str
        """`spoken_corpus:SpokenDigitsSource`."""
        archive: str = "fsdd.zip"
        """The dataset as a zip file; a relative path starts at the recipe's folder."""
        test_speakers: tuple[str, ...] = Field(default=("theo", "yweweler"), min_length=1)
        """Speakers that only test hears."""
        val_speakers: tuple[str, ...] = Field(default=("nicolas",), min_length=1)
        """Speakers that only validation hears."""
        seed: int = Field(default=0, ge=0)
        """Of the splits of pictures, the pairings and the noise."""

        @model_validator(mode="after")
        def _speakers_are_in_one_split(self) -> SpokenDigitsSource.Config:
            both = sorted(set(self.test_speakers) & set(self.val_speakers))
            if both:
                raise ValueError(f"{', '.join(both)} cannot be in test_speakers and in val_speakers; leave each speaker in one of them")
            return self

    def __init__(self, config: Config, base_dir: Path) -> None:
        self.config = config
        self.archive = base_dir / Path(config.archive).expanduser()

    def snapshot(self) -> dict[str, Any]:
        """A digest of everything the records are made from, and how many records and bytes they will be."""
        recordings = self._recordings()
        made_from = [*(HERE / name for name in CODE), self.archive, handwriting_file()]
        num_records = sum(PAIRINGS[split] for split, _ in recordings)
        num_bytes = sum(recording.member.file_size for _, recording in recordings)
        return {"digest": digest(made_from), "records": num_records, "bytes": num_bytes + num_records * PICTURE_BYTES}

    def records(self, output_dir: Path) -> Iterator[SourceRecord]:
        """Write all media, then list the records, by digit and speaker. A recording is stored once, as it was published."""
        seed = self.config.seed
        recordings = self._recordings()
        pictures, digits = read_handwriting()
        dealt = deal_pictures(digits, PICTURE_SHARES, seed)
        listed = []
        with ExitStack() as stack:
            archive = stack.enter_context(zipfile.ZipFile(self.archive))
            image, audio = (stack.enter_context(closing(MediaFile(output_dir, name))) for name in ("pictures.bin", "sounds.bin"))
            for split, recording in recordings:
                sound = audio.add(archive.read(recording.member))
                shown = [position for position in dealt[split] if digits[position] == recording.digit]
                for pairing in range(PAIRINGS[split]):
                    random = stream(seed, "pairing", *recording[:3], pairing)
                    position = shown[random.integers(len(shown))]
                    listed.append((split, recording, pairing, position, image.add(png(degrade(pictures[position], random))), sound))
        for split, recording, pairing, position, picture, sound in listed:
            yield SourceRecord(
                key=f"{recording.speaker}-{recording.digit}-{recording.take:02d}-{pairing}",
                members={"image": image.locator(picture), "audio": audio.locator(sound)},
                labels={"digit": str(recording.digit)},
                group=f"picture-{position:04d}",
                split=split,
            )

    def _recordings(self) -> list[tuple[str, Recording]]:
        """Recordings and their splits, in order. Raises SourceError when the archive or a speaker is missing."""
        found = sorted(recordings_of(self.archive), key=lambda recording: recording[:3])
        speakers = sorted({recording.speaker for recording in found})
        held_out = dict.fromkeys(self.config.test_speakers, "test") | dict.fromkeys(self.config.val_speakers, "val")
        for name, split in held_out.items():
            if name not in speakers:
                hint = registry.closest(name, speakers)
                raise SourceError(f"{split}_speakers: {self.archive} has no {name!r}; its speakers are {', '.join(speakers)}{hint}")
        if len(held_out) == len(speakers):
            raise SourceError(f"all speakers of {self.archive} are held out; leave one of {', '.join(speakers)} for training")
        return [(held_out.get(recording.speaker, "train"), recording) for recording in found]


def recordings_of(archive_file: Path) -> list[Recording]:
    """All recordings of a download of the dataset, as they come. Raises SourceError when it is missing or something else."""
    try:
        with zipfile.ZipFile(archive_file) as archive:
            named = [(RECORDING.search(member.filename), member) for member in archive.infolist()]
    except FileNotFoundError as error:
        raise SourceError(
            f"{archive_file} is not there. This recipe reads the Free Spoken Digit Dataset (CC BY-SA 4.0, 16 MB), which is not part of "
            "Medley: get https://github.com/Jakobovski/free-spoken-digit-dataset as a zip (Code, Download ZIP), and put it there as "
            "fsdd.zip or say where it is with `--set steps.corpus.source.archive=PATH`"
        ) from error
    except zipfile.BadZipFile as error:
        raise SourceError(f"{archive_file} is not a zip file ({error}); download it again") from error
    found = [Recording(int(name["digit"]), name["speaker"], int(name["take"]), member) for name, member in named if name]
    if not found:
        raise SourceError(f"{archive_file} holds no recordings/DIGIT_SPEAKER_TAKE.wav; is it the Free Spoken Digit Dataset?")
    return found
