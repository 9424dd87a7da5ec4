"""The corpus of the recipe beside this file: few handwritten digits, each paired with one noisy spoken form.

In: the digits that come with scikit-learn, and the synthetic voices of `examples/digits`. Out: records with a picture and a sound, its
media written below the corpus. There are so few to train on, and so much noise on both, that neither modality is near its ceiling alone;
README.md states it. `digit_pairs.py` and `digit_voices.py` are links to those of `examples/digits`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digit_pairs import (
    NUM_PICTURES,
    PICTURE_BYTES,
    MediaFile,
    deal_pictures,
    digest,
    handwriting_file,
    png,
    read_handwriting,
    stream,
)
from pydantic import Field

from tasks import registry
from tasks.contracts import SourceRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HERE = Path(__file__).parent
VOICES = HERE.parent / "digits" / "voices" / "spoken_digits_synthetic.zip"
CODE = ("faint_digits.py", "digit_pairs.py", "digit_voices.py")

PICTURE_SHARES = {"val": 0.1, "test": 0.5}
"""Of the pictures of each digit; the rest trains."""
SIGMA = 0.5
"""Standard deviation of the noise on every cell; paper is 0 and full ink is 1."""
SOUND_BYTES = 6600
"""Mean, for the estimate."""


class FaintDigits:
    """Records with the modalities `image` and `audio`, and the label `digit` ("0" to "9"). A group is a picture."""

    class Config(registry.Config):
        format: str
        """`faint_digits:FaintDigits`."""
        seed: int = Field(default=0, ge=0)
        """Of the splits, the pairings and the noise."""

    def __init__(self, config: Config, base_dir: Path) -> None:
        self.config = config
        self.base_dir = base_dir

    def snapshot(self) -> dict[str, Any]:
        """A digest of everything the records are made from, and how many records and bytes they will be."""
        made_from = [*(HERE / name for name in CODE), VOICES, handwriting_file()]
        num_records = NUM_PICTURES
        return {"digest": digest(made_from), "records": num_records, "bytes": num_records * (PICTURE_BYTES + SOUND_BYTES)}

    def records(self, output_dir: Path) -> Iterator[SourceRecord]:
        """Write all media, then list the records, in the order of the splits and pictures."""
        from digit_voices import add_noise, read_voices, say, wav

        seed = self.config.seed
        pictures, digits = read_handwriting()
        voices = read_voices(VOICES, seed)
        listed = []
        with ExitStack() as stack:
            image, audio = (stack.enter_context(closing(MediaFile(output_dir, name))) for name in ("pictures.bin", "sounds.bin"))
            for split, positions in deal_pictures(digits, PICTURE_SHARES, seed).items():
                for position in positions:
                    random = stream(seed, "faint", position)
                    digit = digits[position]
                    places = (
                        image.add(png(noisy(pictures[position], random))),
                        audio.add(wav(add_noise(say(digit, voices[split], random), random))),
                    )
                    listed.append((split, position, digit, places))
        for split, position, digit, places in listed:
            yield SourceRecord(
                key=f"faint-{position:04d}",
                members={"image": image.locator(places[0]), "audio": audio.locator(places[1])},
                labels={"digit": str(digit)},
                group=f"picture-{position:04d}",
                split=split,
            )


def noisy(picture: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.uint8]:
    """The picture with noise on every cell, cut to 0..1 and stored in 8 bits."""
    import numpy as np

    stored: NDArray[np.uint8] = np.rint(255 * (picture + SIGMA * random.standard_normal((8, 8))).clip(0, 1)).astype(np.uint8)
    return stored
