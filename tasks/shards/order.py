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

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tasks.errors import InputError

Positions = npt.NDArray[np.int64]

DEFAULT_WINDOW = 4096


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
    _starts: Positions = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.streams < 1 or self.window < 1:
            raise InputError(f"batch_size {self.batch_size}, streams {self.streams} and window {self.window} must be 1 or more")
        if self.batch_size % self.streams:
            raise InputError(f"streams must divide batch_size: {self.batch_size} is no multiple of {self.streams}")
        object.__setattr__(self, "_starts", _starts(self.sizes))

    @property
    def num_samples(self) -> int:
        return int(sum(self.sizes))

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches; the rest, fewer than a batch and others in each epoch, is left out."""
        return self.num_samples // self.batch_size

    def batch(self, epoch: int, step: int, rank: int = 0, world_size: int = 1) -> Positions:
        """Positions in the split's index of batch `step`, of the streams of one rank; int64, B / world_size of them.

        The batches of all ranks in order of rank are the batch of a world of one.
        """
        if self.streams % world_size:
            raise InputError(f"the number of training workers must divide streams: {self.streams} is no multiple of {world_size}")
        if not 0 <= step < self.steps_per_epoch:
            raise IndexError(f"step {step} of {self.steps_per_epoch}")
        per_rank = self.streams // world_size
        streams = range(rank * per_rank, (rank + 1) * per_rank)
        ring = np.concatenate([self._of_stream(epoch, stream, step) for stream in streams])
        return self._located(epoch, ring)

    def _of_stream(self, epoch: int, stream: int, step: int) -> Positions:
        """Places on the ring, before turning, of one stream's part of a batch."""
        share = self.batch_size // self.streams
        length = self.steps_per_epoch * share
        first, end = step * share, (step + 1) * share
        parts = []
        for number in range(first // self.window, (end - 1) // self.window + 1):
            start = number * self.window
            shuffled = _shuffled(min(self.window, length - start), self.seed, epoch, stream, number)
            parts.append(start + shuffled[max(0, first - start) : end - start])
        return stream * length + np.concatenate(parts)

    def _located(self, epoch: int, ring: Positions) -> Positions:
        shards, ends, turn = _layout(self, epoch)
        places = (ring + turn) % self.num_samples
        shard = np.searchsorted(ends, places, side="right")
        within = places - np.where(shard > 0, ends[np.maximum(shard - 1, 0)], 0)
        return self._starts[shards[shard]] + within


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


def _starts(sizes: Sequence[int]) -> Positions:
    ends = np.cumsum(np.asarray(sizes, dtype=np.int64))
    return np.concatenate([np.zeros(1, dtype=np.int64), ends[:-1]]) if len(ends) else ends


@functools.lru_cache(maxsize=8)
def _layout(order: Order, epoch: int) -> tuple[Positions, Positions, int]:
    """Shards in the order of the epoch, their ends on the ring, and by how much the ring is turned."""
    shards = _shuffled(len(order.sizes), order.seed, epoch, "shards")
    ends = np.cumsum(np.asarray(order.sizes, dtype=np.int64)[shards])
    return shards, ends, int(_base(order.seed, epoch, "turn") % np.uint64(max(1, order.num_samples)))


@functools.lru_cache(maxsize=256)
def _shuffled(count: int, *stream: int | str) -> Positions:
    """A permutation of 0 … count-1, the same on every machine; read only."""
    with np.errstate(over="ignore"):
        numbers = _base(*stream) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        numbers ^= numbers >> np.uint64(31)
    shuffled = np.argsort(numbers, kind="stable").astype(np.int64)
    shuffled.setflags(write=False)
    return shuffled


def _base(*stream: int | str) -> np.uint64:
    text = "\0".join(str(part) for part in ("order", *stream))
    return np.uint64(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))
