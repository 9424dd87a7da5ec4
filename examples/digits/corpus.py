"""The corpus of the recipe beside this file: handwritten digits, each paired with a spoken form and a written caption.

In: the digits that come with scikit-learn, and the archive of synthetic voices. Out: one record a pairing, its media written below the
corpus. The noise is drawn once, here, so that every model sees the same corpus; README.md states it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from digit_pairs import (
    NUM_PICTURES,
    PICTURE_BYTES,
    MediaFile,
    deal_pictures,
    degrade,
    digest,
    handwriting_file,
    png,
    read_handwriting,
    stream,
)
from pydantic import Field

from tasks import registry
from tasks.contracts import SourceRecord

HERE = Path(__file__).parent
VOICES = HERE / "voices" / "spoken_digits_synthetic.zip"
CODE = ("corpus.py", "digit_pairs.py", "digit_captions.py", "digit_voices.py")

PICTURE_SHARES = {"val": 0.1, "test": 0.25}
"""Of the pictures of each digit; the rest trains."""
PAIRINGS = 3
"""Records a picture is in, each with noise, voice and caption of its own."""
SOUND_BYTES, CAPTION_BYTES = 6600, 15
"""Means, for the estimate."""


class DigitsSource:
    """Records with the modalities `image`, `audio` and `text`, and the label `digit` ("0" to "9"). A group is a picture."""

    class Config(registry.Config):
        format: str
        """`corpus:DigitsSource`."""
        seed: int = Field(default=0, ge=0)
        """Of the splits, the pairings and the noise."""

    def __init__(self, config: Config, base_dir: Path) -> None:
        self.config = config
        self.base_dir = base_dir

    def snapshot(self) -> dict[str, Any]:
        """A digest of everything the records are made from, and how many records and bytes they will be."""
        made_from = [*(HERE / name for name in CODE), VOICES, handwriting_file()]
        num_records = NUM_PICTURES * PAIRINGS
        num_bytes = num_records * (PICTURE_BYTES + SOUND_BYTES + CAPTION_BYTES)
        return {"digest": digest(made_from), "records": num_records, "bytes": num_bytes}

    def records(self, output_dir: Path) -> Iterator[SourceRecord]:
        """Write all media, then list the records, in the order of the splits and pictures."""
        from digit_captions import caption
        from digit_voices import add_noise, read_voices, say, wav

        seed = self.config.seed
        pictures, digits = read_handwriting()
        voices = read_voices(VOICES, seed)
        listed = []
        with ExitStack() as stack:
            image, audio, text = (
                stack.enter_context(closing(MediaFile(output_dir, name))) for name in ("pictures.bin", "sounds.bin", "captions.txt")
            )
            for split, positions in deal_pictures(digits, PICTURE_SHARES, seed).items():
                for position, pairing in ((position, pairing) for position in positions for pairing in range(PAIRINGS)):
                    random = stream(seed, "pairing", position, pairing)
                    digit = digits[position]
                    places = (
                        image.add(png(degrade(pictures[position], random))),
                        audio.add(wav(add_noise(say(digit, voices[split], random), random))),
                        text.add(caption(digit, random).encode()),
                    )
                    text.add(b"\n")
                    listed.append((split, position, pairing, digit, places))
        for split, position, pairing, digit, places in listed:
            members = {"image": image.locator(places[0]), "audio": audio.locator(places[1]), "text": text.locator(places[2])}
            yield SourceRecord(
                key=f"digit-{position:04d}-{pairing}",
                members=members,
                labels={"digit": str(digit)},
                group=f"picture-{position:04d}",
                split=split,
            )
