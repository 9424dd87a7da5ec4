"""Which samples make batch k of epoch e: a pure function, so that a position in training is two numbers.

In: how many samples each shard has, a seed, batch size and number of streams. Out: positions of samples in the index. The shards, in
an order of the epoch's own, laid end to end and turned by an offset of its own, form one ring; its first part, a multiple of the
batch, is cut into C equal streams; each stream is cut into windows, inside which samples are shuffled. Batch k takes B / C samples
from each stream. A rank computes its own streams alone, and nothing larger than a window of each: no list of all samples exists.
Shuffles are our own (SplitMix64 and a stable sort), because a library's may change from version to version. Must not import ray or
torch.

    B samples of a batch   C streams
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.errors import InputError

Positions = npt.NDArray[np.int64]
_Layout = tuple[Positions, Positions, int]

DEFAULT_WINDOW = 4096


@dataclass(frozen=True, eq=False)
class Ring:
    """The samples of one set, laid out anew for each epoch: shards in an order of the epoch's own, end to end, turned by an offset."""

    sizes: tuple[int, ...]
    """Samples of each shard, in index order."""
    seed: int | str
    num_samples: int = field(init=False)
    _sizes: Positions = field(init=False, repr=False)
    _starts: Positions = field(init=False, repr=False)
    _layouts: dict[int, tuple[int, _Layout]] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        sizes = np.asarray(self.sizes, dtype=np.int64)
        object.__setattr__(self, "_sizes", sizes)
        object.__setattr__(self, "_starts", np.cumsum(sizes) - sizes)
        object.__setattr__(self, "num_samples", int(sizes.sum()))

    def positions(self, epoch: int, places: Positions) -> Positions:
        """Positions in the index of places on the ring of an epoch, each from 0 to `num_samples` - 1."""
        shards, ends, turn = self._layout(epoch)
        turned = (places + turn) % self.num_samples
        shard = np.searchsorted(ends, turned, side="right")
        within = turned - ends[shard] + self._sizes[shards[shard]]
        return self._starts[shards[shard]] + within

    def _layout(self, epoch: int) -> _Layout:
        """Shards in the order of the epoch, their ends on the ring, and by how much the ring is turned. The last two are kept."""
        kept = self._layouts.get(epoch % 2)
        if kept is None or kept[0] != epoch:
            shards = shuffled(len(self.sizes), self.seed, epoch, "shards")
            turn = int(_base(self.seed, epoch, "turn") % np.uint64(max(1, self.num_samples)))
            kept = self._layouts[epoch % 2] = (epoch, (shards, np.cumsum(self._sizes[shards]), turn))
        return kept[1]


@dataclass(frozen=True, eq=False)
class Windows:
    """Shuffles inside the windows of streams. The last two windows of each stream are kept, so that a batch costs no shuffle."""

    seed: int | str
    size: int = DEFAULT_WINDOW
    """Samples that are shuffled among each other."""
    _kept: dict[tuple[int, int], tuple[tuple[int, int, int], Positions]] = field(init=False, repr=False, default_factory=dict)

    def places(self, epoch: int, stream: int, length: int, first: int, end: int) -> Positions:
        """What stands at `first` … `end` - 1 of a stream of `length` places, when each window is shuffled."""
        parts = []
        for number in range(first // self.size, (end - 1) // self.size + 1):
            start = number * self.size
            window = self._window(epoch, stream, number, min(self.size, length - start))
            parts.append(start + window[max(0, first - start) : end - start].astype(np.int64))
        return np.concatenate(parts) if len(parts) != 1 else parts[0]

    def _window(self, epoch: int, stream: int, number: int, count: int) -> npt.NDArray[np.integer[Any]]:
        kept = self._kept.get((stream, number % 2))
        if kept is None or kept[0] != (epoch, number, count):
            small = shuffled(count, self.seed, epoch, stream, number).astype(np.min_scalar_type(count))
            kept = self._kept[stream, number % 2] = ((epoch, number, count), small)
        return kept[1]


@dataclass(frozen=True, eq=False)
class Order:
    """The order of one split. Raises InputError where the numbers do not divide. Thread-safe."""

    sizes: tuple[int, ...]
    """Samples of each shard, in index order."""
    seed: int
    batch_size: int
    """Of the global batch."""
    streams: int = 1
    """Divides the batch size, and is divided by the world size."""
    window: int = DEFAULT_WINDOW
    """Samples that are shuffled among each other."""
    _ring: Ring = field(init=False, repr=False)
    _windows: Windows = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_numbers(self.batch_size, self.streams, self.window)
        object.__setattr__(self, "_ring", Ring(self.sizes, self.seed))
        object.__setattr__(self, "_windows", Windows(self.seed, self.window))

    @property
    def num_samples(self) -> int:
        return self._ring.num_samples

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches; the rest, fewer than a batch and others in each epoch, is left out."""
        return self.num_samples // self.batch_size

    def batch(self, epoch: int, step: int, rank: int = 0, world_size: int = 1) -> Positions:
        """Positions in the split's index of batch `step`, of the streams of one rank; int64, B / world_size of them.

        The batches of all ranks in order of rank are the batch of a world of one.
        """
        if not 0 <= step < self.steps_per_epoch:
            raise IndexError(f"step {step} of {self.steps_per_epoch}")
        share = self.batch_size // self.streams
        length = self.steps_per_epoch * share
        places = [
            stream * length + self._windows.places(epoch, stream, length, step * share, (step + 1) * share)
            for stream in streams_of(rank, world_size, self.streams)
        ]
        return self._ring.positions(epoch, np.concatenate(places))

    def draw(self, epoch: int, step: int, rank: int = 0, world_size: int = 1) -> tuple[Positions, Positions]:
        """`batch`, and for each sample the epoch that its random numbers go by."""
        positions = self.batch(epoch, step, rank, world_size)
        return positions, np.full(len(positions), epoch, dtype=np.int64)


def check_numbers(batch_size: int, streams: int, window: int) -> None:
    """Raises InputError where a batch can't be taken from streams in equal parts."""
    if batch_size < 1 or streams < 1 or window < 1:
        raise InputError(f"batch_size {batch_size}, streams {streams} and window {window} must be 1 or more")
    if batch_size % streams:
        raise InputError(f"streams must divide batch_size: {batch_size} is no multiple of {streams}")


def streams_of(rank: int, world_size: int, streams: int) -> range:
    """Which streams a rank reads. Raises InputError when they can't be shared out evenly."""
    if streams % world_size:
        raise InputError(f"the number of training workers must divide streams: {streams} is no multiple of {world_size}")
    per_rank = streams // world_size
    return range(rank * per_rank, (rank + 1) * per_rank)


def evaluation_batch(
    num_samples: int, batch_size: int, step: int, rank: int = 0, world_size: int = 1
) -> tuple[Positions, npt.NDArray[np.float32]]:
    """Positions and weights of an evaluation batch: index order, padded to the full size with samples of weight 0.

    Raises InputError when the world size does not divide the batch size.
    """
    if batch_size % world_size:
        raise InputError(f"the number of workers must divide batch_size: {batch_size} is no multiple of {world_size}")
    share = batch_size // world_size
    wanted = step * batch_size + rank * share + np.arange(share, dtype=np.int64)
    return np.minimum(wanted, num_samples - 1), (wanted < num_samples).astype(np.float32)


def evaluation_steps(num_samples: int, batch_size: int) -> int:
    """Batches that hold every sample once."""
    return -(-num_samples // batch_size)


def shuffled(count: int, *stream: int | str) -> Positions:
    """A permutation of 0 … count-1, the same on every machine and in every version."""
    with np.errstate(over="ignore"):
        numbers = _base(*stream) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        numbers ^= numbers >> np.uint64(31)
    return np.argsort(numbers, kind="stable").astype(np.int64)


def _base(*stream: int | str) -> np.uint64:
    text = "\0".join(str(part) for part in ("order", *stream))
    return np.uint64(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))
