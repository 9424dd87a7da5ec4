"""Batches for a model: order, reading, decoding and collating, a few batches ahead in threads.

In: a shard set or several, a reader for each modality. Out: `Batch`es, the same for every number of threads and workers. Must not import
ray.

    B samples of a batch   M modalities, sorted
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tasks.contracts import Augmenter, Batch, ModalityBatch, Reader
from tasks.errors import InputError, RecordError, TaskError
from tasks.modalities.chance import sample_seed
from tasks.shards.joined import AnyShards, Joined
from tasks.shards.label_arrays import label_arrays
from tasks.shards.mixture import Mixture
from tasks.shards.order import DEFAULT_WINDOW, Order, Positions, evaluation_batch, evaluation_steps

if TYPE_CHECKING:
    import torch


class Loader:
    """Batches of one split.

    `readers`: modality → reader; modalities without one are not read. `augmenters`: modality → what reads it in its reader's
    place, in training batches only and varied anew in each epoch. `views`: name → augmenters which read the samples of training
    batches once more, for `Batch.views`. `labels`: label → its entry of shards.json, or head → what a
    model learns from it (`tasks.models.targets.described`); labels the shards lack are missing labels. `batch_size` is that of all ranks
    together. Raises InputError where the numbers do not divide.
    """

    def __init__(
        self,
        shard_set: AnyShards,
        split: str,
        readers: Mapping[str, Reader],
        labels: Mapping[str, Mapping[str, Any]],
        *,
        batch_size: int,
        streams: int = 1,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        threads: int = 2,
        window: int = DEFAULT_WINDOW,
        augmenters: Mapping[str, Augmenter] | None = None,
        views: Mapping[str, Mapping[str, Augmenter]] | None = None,
    ) -> None:
        unknown = sorted(set(readers) - set(shard_set.modalities))
        if unknown:
            raise InputError(
                f"the shards have {', '.join(shard_set.modalities)}, not {', '.join(unknown)}; read what is there, or prepare it"
            )
        self._shard_set, self._split, self._readers = shard_set, split, dict(sorted(readers.items()))
        self.modalities = tuple(self._readers)
        """Sorted; the order of `Batch.present`."""
        self._order = _order(shard_set, split, seed, batch_size, streams, window)
        self._rank, self._world_size, self._threads = rank, world_size, threads
        self._seed, self._augmenters, self._views = seed, dict(augmenters or {}), dict(views or {})
        self._labels = label_arrays(shard_set.labels(split), shard_set.num_samples(split), labels)
        self._present = {modality: there for modality, there in shard_set.present(split).items() if modality in self._readers}

    @property
    def num_samples(self) -> int:
        """Of the split, over all ranks."""
        return self._order.num_samples

    @property
    def steps_per_epoch(self) -> int:
        """Training batches of an epoch, the same on every rank."""
        return self._order.steps_per_epoch

    @property
    def evaluation_steps(self) -> int:
        """Evaluation batches, the same on every rank."""
        return evaluation_steps(self.num_samples, self._order.batch_size)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """Training batches from a step on. Raises InputError when the split is smaller than a batch."""
        if not self.steps_per_epoch:
            raise InputError(
                f"split {self._split!r} has {self.num_samples} samples, fewer than one batch of {self._order.batch_size}; lower batch_size"
            )
        return self._ahead(lambda step: self._training_batch(epoch, step), start_step, self.steps_per_epoch)

    def evaluation(self) -> Iterator[Batch]:
        """All samples in index order, the last batch padded with weight 0."""
        return self._ahead(self._evaluation_batch, 0, self.evaluation_steps)

    def _training_batch(self, epoch: int, step: int) -> Batch:
        positions, epochs = self._order.draw(epoch, step, self._rank, self._world_size)
        return self._batch(positions, np.ones(len(positions), dtype=np.float32), epochs.tolist())

    def _evaluation_batch(self, step: int) -> Batch:
        return self._batch(*evaluation_batch(self.num_samples, self._order.batch_size, step, self._rank, self._world_size))

    def _ahead(self, make: Callable[[int], Batch], start: int, end: int) -> Generator[Batch]:
        import torch

        # A new thread computes with as many threads as the machine has CPUs until torch is first asked for the number there, and
        # another number gives other last bits (16 of 40 sounds, 2 against 1); asking makes it take over the process's setting.
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="loader", initializer=torch.get_num_threads)
        waiting: deque[Future[Batch]] = deque()
        try:
            for step in range(start, end):
                waiting.append(pool.submit(make, step))
                if len(waiting) > self._threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _batch(self, positions: Positions, weight: npt.NDArray[np.float32], epochs: Sequence[int] = ()) -> Batch:
        """`epochs`: of each sample; none = as they are, whatever augmenters there are."""
        import torch

        keys = self._shard_set.keys(self._split, positions)

        def read(modality: str, augmenter: Augmenter | None, view: str = "") -> ModalityBatch:
            reader, of_each = self._readers[modality], epochs or [0] * len(positions)
            chance = f"{view}/{modality}" if view else modality
            each = _Each(self._shard_set, self._split, positions, modality, reader, augmenter, chance, self._seed, of_each)
            given = reader.collate(each)
            _check_numbers(given.values, modality, keys)
            return given

        return Batch(
            keys=keys,
            inputs={modality: read(modality, self._augmenters.get(modality) if epochs else None) for modality in self._readers},
            present=torch.from_numpy(np.stack([self._present[modality][positions] for modality in self.modalities], axis=1)),
            modalities=self.modalities,
            labels=_label_tensors(self._labels, positions),
            weight=torch.from_numpy(weight),
            epochs=list(epochs),
            views={
                view: {modality: read(modality, augmenter, view) for modality, augmenter in augmenters.items()}
                for view, augmenters in self._views.items()
                if epochs
            },
        )


def _order(shard_set: AnyShards, split: str, seed: int, batch_size: int, streams: int, window: int) -> Order | Mixture:
    if isinstance(shard_set, Joined) and shard_set.shares:
        return Mixture(shard_set.sizes(split), shard_set.shares, seed, batch_size, streams, window)
    sizes = shard_set.sizes(split)[0] if isinstance(shard_set, Joined) else shard_set.shard_sizes(split)
    return Order(sizes, seed, batch_size, streams, window)


@dataclass(frozen=True)
class _Each:
    """One modality of a batch, as `tasks.modalities.readings` has it: bytes are read right before they are decoded, and kept by nobody."""

    shard_set: AnyShards
    split: str
    positions: Positions
    modality: str
    reader: Reader
    augmenter: Augmenter | None
    """Reads in the reader's place."""
    chance: str
    """What its random numbers are for."""
    seed: int
    epochs: Sequence[int]
    """Of each sample."""

    def __len__(self) -> int:
        return len(self.positions)

    def __iter__(self) -> Iterator[Any]:
        return self._values(itertools.repeat(()))

    def into(self, slots: Sequence[Any]) -> Iterator[Any]:
        return self._values((slot,) for slot in slots)

    def _values(self, slots: Iterator[tuple[Any, ...]]) -> Iterator[Any]:
        samples = self.shard_set.stream(self.split, self.positions, modalities=(self.modality,))
        for (key, members), epoch in zip(samples, self.epochs, strict=True):
            data = members.get(self.modality)
            yield None if data is None else self._read(key, data, epoch, next(slots))

    def _read(self, key: str, data: bytes, epoch: int, slot: tuple[Any, ...]) -> Any:
        try:
            if self.augmenter is None:
                return self.reader.read(data, *slot)
            return self.augmenter.read(data, sample_seed(self.seed, epoch, key, self.chance))
        except RecordError as error:
            raise TaskError(f"the {self.modality} of sample {key!r} is in the shards but cannot be read: {error}") from error


def _check_numbers(values: torch.Tensor, modality: str, keys: Sequence[str]) -> None:
    """Raises TaskError for NaN and infinity, of which a single one spoils all weights of a model."""
    if not values.is_floating_point() or values.sum().isfinite():
        return  # one pass over memory; a sum of large numbers that overflows is looked at again
    bad = [key for key, fine in zip(keys, values.isfinite().flatten(1).all(1).tolist(), strict=True) if not fine]
    if bad:
        more = f" (and of {len(bad) - 1} more samples of the batch)" if len(bad) > 1 else ""
        raise TaskError(
            f"the {modality} of sample {bad[0]!r}{more} has numbers that are NaN or infinite once it is read, and would spoil the model; "
            "mend it or take it out of the corpus and run again, or look at how it is read, if that is code of your own"
        )


def _label_tensors(labels: Mapping[str, npt.NDArray[Any]], positions: Positions) -> dict[str, torch.Tensor]:
    import torch

    return {name: torch.from_numpy(values[positions]) for name, values in labels.items()}
