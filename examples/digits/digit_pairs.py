"""Handwritten digits to be paired with something said: what the recipes `digits` and `spoken_digits` share.

In: scikit-learn's copy of the UCI handwritten digits. Out: pictures dealt to splits, noise for them, keyed random streams, and files
that hold the media of many records. numpy is imported where it is used, because `medley plan` imports this file.
`examples/spoken_digits/digit_pairs.py` is a link to this file.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tasks.contracts import Locator
from tasks.errors import SourceError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NUM_PICTURES = 1797
PICTURE_BYTES = 139
"""One 8×8 picture as PNG, stored without compression."""

BLOCKS = ((5, 5), (4, 7), (7, 4))
BLOCK_CHANCES = (0.8, 0.1, 0.1)
"""Height and width of the masked block, in cells: 25 or 28 of 64, and 0.8 · 25 + 0.2 · 28 = 25.6 of 64 is 40 %."""
SIGMA = 0.25
"""Standard deviation of the noise on every cell; paper is 0 and full ink is 1."""

T = TypeVar("T")


def stream(seed: int, *key: object) -> np.random.Generator:
    """Random numbers of one purpose: the same for a seed and a key, whatever else is drawn."""
    import numpy as np

    name = "/".join(str(part) for part in (seed, *key))
    return np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "big")))


def deal(items: Sequence[T], shares: dict[str, float], random: np.random.Generator) -> dict[str, list[T]]:
    """Items to `val` and `test` by their shares, at least one each, and the rest to `train`. Each list keeps the order of `items`."""
    order = random.permutation(len(items)).tolist()
    dealt: dict[str, list[T]] = {}
    for split, share in shares.items():
        count = max(1, round(share * len(items)))
        chosen, order = sorted(order[:count]), order[count:]
        dealt[split] = [items[index] for index in chosen]
    return {"train": [items[index] for index in sorted(order)], **dealt}


def handwriting_file() -> Path:
    """Where scikit-learn keeps the digits; it is not imported. Raises SourceError when it is not installed."""
    package = find_spec("sklearn")
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz" if package and package.origin else None
    if path is None or not path.is_file():
        missing = path or "the package sklearn"
        raise SourceError(f"the handwritten digits come with scikit-learn, and {missing} is not there: pip install scikit-learn")
    return path


def read_handwriting() -> tuple[NDArray[np.float64], list[int]]:
    """Pictures (1797, 8, 8) with values 0 to 1, and the digit each one shows."""
    import numpy as np

    rows = np.loadtxt(handwriting_file(), delimiter=",")
    return rows[:, :64].reshape(-1, 8, 8) / 16, [int(digit) for digit in rows[:, 64]]


def deal_pictures(digits: Sequence[int], shares: dict[str, float], seed: int) -> dict[str, list[int]]:
    """Split → positions of its pictures, in order: every split gets its share of each digit."""
    splits: dict[str, list[int]] = {"train": [], **{split: [] for split in shares}}
    for digit in sorted(set(digits)):
        positions = [position for position, shown in enumerate(digits) if shown == digit]
        for split, dealt in deal(positions, shares, stream(seed, "pictures", digit)).items():
            splits[split] += dealt
    return {split: sorted(positions) for split, positions in splits.items()}


def mask(random: np.random.Generator) -> NDArray[np.bool_]:
    """A block of cells, (8, 8), somewhere in the picture."""
    import numpy as np

    height, width = BLOCKS[random.choice(len(BLOCKS), p=BLOCK_CHANCES)]
    top, left = random.integers(0, 9 - height), random.integers(0, 9 - width)
    masked = np.zeros((8, 8), dtype=bool)
    masked[top : top + height, left : left + width] = True
    return masked


def degrade(picture: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.uint8]:
    """The picture with a block of it turned to paper, then noise on every cell, cut to 0..1 and stored in 8 bits."""
    import numpy as np

    seen = np.where(mask(random), 0.0, picture) + SIGMA * random.standard_normal((8, 8))
    stored: NDArray[np.uint8] = np.rint(255 * seen.clip(0, 1)).astype(np.uint8)
    return stored


def png(picture: NDArray[np.uint8]) -> bytes:
    """8-bit grey PNG. Uncompressed: as small as compressed ones at this size, and the same bytes whatever the version of zlib."""
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(picture).save(data, "PNG", compress_level=0)
    return data.getvalue()


class MediaFile:
    """One file below the corpus that holds a member of each record, end to end."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._path = folder / name
        self._file = self._path.open("wb")
        self._end = 0

    def add(self, data: bytes) -> tuple[int, int]:
        """Append a member; its offset and length, for `locator`."""
        offset = self._end
        self._file.write(data)
        self._end += len(data)
        return offset, len(data)

    def close(self) -> None:
        self._file.close()

    def locator(self, place: tuple[int, int]) -> Locator:
        """Where a member is, once the file is closed."""
        return Locator(uri=self.name, offset=place[0], length=place[1], size=self._end)


def digest(paths: Iterable[Path]) -> str:
    """sha256 over the contents of files, in hex; where they lie does not matter."""
    return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in paths)).hexdigest()
