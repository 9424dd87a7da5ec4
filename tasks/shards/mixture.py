"""Which samples of several sets make batch k of epoch e: a pure function still, so that a mixture is resumed like one set.

In: the sizes of each set's shards, and its weight or its number of epochs. Out: positions in the sets laid end to end.

Each set is read in epochs of its own, in every one of which each of its samples stands exactly once, in an order of that epoch's own.
They run on over the epochs of the mixture, which are nothing but a length. With weights, that is as many batches as the samples of all
sets fill; with epochs, as many as the sets fill when each is read that often. A share of a set is its weight, or its size times its
epochs, over the sum of these.

Stream c of the mixture reads stream c of each set, so a rank reads its own part of each set alone. How many samples of a set stream c
has read after n is rounded from n times the share, with an offset that differs from stream to stream: of two sets, the streams together
have read as many as the share says, up to half a sample, after every batch. More than two are halved again and again, with offsets that
lie evenly; then it may be off by a few. Nothing adds up: after as many samples as there are parts to the shares it is exact.

Must not import ray or torch.

    B samples of a batch   C streams   K sets
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from tasks.errors import InputError
from tasks.shards.order import DEFAULT_WINDOW, Positions, Ring, Windows, check_numbers, streams_of
from tasks.shards.shares import Share

_PRIMES = (5, 2, 3, 7, 11, 13, 17)
"""The fractional parts of their roots spread the streams' offsets, one for each halving after the first; 2^8 sets."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """The order of one split of several sets. Raises InputError where the numbers do not divide or a set is too small. Thread-safe."""

    sizes: tuple[tuple[int, ...], ...]
    """Samples of each shard of each set, in index order."""
    shares: tuple[Share, ...]
    """Of each set."""
    seed: int
    batch_size: int
    """Of the global batch."""
    streams: int = 1
    """Divides the batch size, and is divided by the world size."""
    window: int = DEFAULT_WINDOW
    """Samples of a set that are shuffled among each other."""
    parts: tuple[int, ...] = field(init=False)
    """The shares as whole numbers."""
    steps_per_epoch: int = field(init=False)
    _sets: tuple[tuple[Ring, Windows], ...] = field(init=False, repr=False)
    _offsets: tuple[Positions, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_numbers(self.batch_size, self.streams, self.window)
        seeds = [f"{self.seed}/{number}" for number in range(len(self.sizes))]
        sets = tuple((Ring(sizes, seed), Windows(seed, self.window)) for sizes, seed in zip(self.sizes, seeds, strict=True))
        counts = [ring.num_samples for ring, _ in sets]
        for number, count in enumerate(counts):
            if count < self.streams:
                raise InputError(
                    f"set {number + 1} of the mixture has {count} samples, and each of the {self.streams} streams reads a part of its own; "
                    "lower streams, or leave this set out"
                )
        parts, total = _parts(self.shares, counts)
        object.__setattr__(self, "_sets", sets)
        object.__setattr__(self, "parts", parts)
        object.__setattr__(self, "steps_per_epoch", int(total // self.batch_size))
        object.__setattr__(self, "_offsets", tuple(_offsets(self.streams, len(self.sizes))))

    @property
    def num_samples(self) -> int:
        """Of all sets."""
        return sum(ring.num_samples for ring, _ in self._sets)

    def batch(self, epoch: int, step: int, rank: int = 0, world_size: int = 1) -> Positions:
        """Positions in the sets' indices laid end to end of batch `step`, of the streams of one rank; int64, B / world_size of them.

        The batches of all ranks in order of rank are the batch of a world of one.
        """
        return self.draw(epoch, step, rank, world_size)[0]

    def draw(self, epoch: int, step: int, rank: int = 0, world_size: int = 1) -> tuple[Positions, Positions]:
        """`batch`, and for each sample the epoch of its own set that it is in, which its random numbers go by."""
        if not 0 <= step < self.steps_per_epoch:
            raise IndexError(f"step {step} of {self.steps_per_epoch}")
        share = self.batch_size // self.streams
        begun = (epoch * self.steps_per_epoch + step) * share
        drawn = [self._of_stream(stream, begun, begun + share) for stream in streams_of(rank, world_size, self.streams)]
        return np.concatenate([positions for positions, _ in drawn]), np.concatenate([epochs for _, epochs in drawn])

    def read(self, stream: int, count: int) -> list[int]:
        """How many of the first `count` samples of a stream come from each set. Grows with `count`, by one set's one at a time."""
        return _split(count, self.parts, [int(offset[stream]) for offset in self._offsets], self.streams)

    def _of_stream(self, stream: int, begun: int, end: int) -> tuple[Positions, Positions]:
        """What a stream reads from its sample `begun` to `end` - 1, the sets evenly among each other."""
        positions, epochs, turns = [], [], []
        start = 0
        for (ring, windows), first, last in zip(self._sets, self.read(stream, begun), self.read(stream, end), strict=True):
            for own_epoch, places in _places(ring, windows, stream, self.streams, first, last):
                positions.append(start + ring.positions(own_epoch, places))
                epochs.append(np.full(len(places), own_epoch, dtype=np.int64))
            turns.append((np.arange(last - first) + 0.5) / max(1, last - first))
            start += ring.num_samples
        evenly = np.argsort(np.concatenate(turns), kind="stable")
        return np.concatenate(positions)[evenly], np.concatenate(epochs)[evenly]


def _split(count: int, parts: Sequence[int], offsets: Sequence[int], streams: int) -> list[int]:
    """`count` shared out: between the first half of the sets and the others, then within each."""
    if len(parts) == 1:
        return [count]
    half = len(parts) // 2
    first, total = sum(parts[:half]), sum(parts)
    taken = (2 * streams * count * first + (2 * offsets[0] + 1) * total) // (2 * streams * total)
    return [*_split(taken, parts[:half], offsets[1:], streams), *_split(count - taken, parts[half:], offsets[1:], streams)]


def _offsets(streams: int, num_sets: int) -> Iterator[Positions]:
    """For each halving: the streams' places in the rounding, 0 … streams - 1."""
    yield np.arange(streams, dtype=np.int64)
    for prime in _PRIMES[: max(0, math.ceil(math.log2(num_sets)) - 1)]:
        spread = np.arange(streams, dtype=np.uint64) * np.uint64(math.isqrt(prime << 64) % 2**32) % np.uint64(2**32)
        yield np.argsort(np.argsort(spread, kind="stable"), kind="stable").astype(np.int64)


def _parts(shares: Sequence[Share], counts: Sequence[int]) -> tuple[tuple[int, ...], Fraction]:
    """The shares as whole numbers without a common divisor, and the samples of an epoch of the mixture."""
    if any(share.weight is not None for share in shares):
        exact = [Fraction(str(share.weight)) for share in shares]
        total = Fraction(sum(counts))
    else:
        exact = [Fraction(str(share.epochs)) * count for share, count in zip(shares, counts, strict=True)]
        total = sum(exact, Fraction(0))
    common = math.lcm(*(number.denominator for number in exact))
    whole = [int(number * common) for number in exact]
    divisor = math.gcd(*whole)
    return tuple(number // divisor for number in whole), total


def _places(ring: Ring, windows: Windows, stream: int, streams: int, first: int, end: int) -> Iterator[tuple[int, Positions]]:
    """Places on the ring of the samples `first` … `end` - 1 that a stream reads of a set, by the set's own epoch."""
    start = ring.num_samples * stream // streams
    length = ring.num_samples * (stream + 1) // streams - start
    while first < end:
        epoch, within = divmod(first, length)
        stop = min(length, within + end - first)
        yield epoch, start + windows.places(epoch, stream, length, within, stop)
        first += stop - within
