"""Batches for a model: order, reading, decoding and collating, a few batches ahead in threads.

In: a shard set or several, a reader for each modality. Out: `Batch`es, the same for every number of threads and workers. Must not import
ray.

    B samples of a batch   M modalities, sorted
"""

from __future__ import annotations

import functools
import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tasks.contracts import Augmenter, Batch, Reader
from tasks.errors import InputError, RecordError, TaskError
from tasks.modalities.chance import sample_seed
from tasks.shards.joined import AnyShards, Joined
from tasks.shards.mixture import Mixture
from tasks.shards.order import DEFAULT_WINDOW, Order, Positions, evaluation_batch, evaluation_steps

if TYPE_CHECKING:
    import torch


class Loader:
    """Batches of one split.

    `readers`: modality → reader; modalities without one are not read. `augmenters`: modality → what reads it in its reader's
    place, in training batches only and varied anew in each epoch. `labels`: label → its entry of shards.json, or the one of the model
    to be evaluated, of which `classes` gives the numbers; labels the shards lack are missing labels. `batch_size` is that of all ranks
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
        self._seed, self._augmenters = seed, dict(augmenters or {})
        self._labels = _numbered(shard_set, split, labels)

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

        samples = self._shard_set.samples(self._split, positions, modalities=self.modalities)
        inputs, present = {}, torch.zeros(len(samples), len(self.modalities), dtype=torch.bool)
        for number, (modality, reader) in enumerate(self._readers.items()):
            members = [sample.members.get(modality) for sample in samples]
            asked = list(zip([sample.key for sample in samples], members, epochs or itertools.repeat(None, len(samples)), strict=True))
            inputs[modality] = reader.collate(_Each(asked, functools.partial(self._read, reader, modality)))
            present[:, number] = torch.tensor([data is not None for data in members])
        return Batch(
            keys=[sample.key for sample in samples],
            inputs=inputs,
            present=present,
            modalities=self.modalities,
            labels=_label_tensors(self._labels, positions),
            weight=torch.from_numpy(weight),
            epochs=list(epochs),
        )

    def _read(self, reader: Reader, modality: str, key: str, data: bytes | None, epoch: int | None) -> Any:
        if data is None:
            return None
        augmenter = None if epoch is None else self._augmenters.get(modality)
        try:
            if augmenter is None or epoch is None:
                return reader.read(data)
            return augmenter.read(data, sample_seed(self._seed, epoch, key, modality))
        except RecordError as error:
            raise TaskError(f"the {modality} of sample {key!r} is in the shards but cannot be read: {error}") from error


def _order(shard_set: AnyShards, split: str, seed: int, batch_size: int, streams: int, window: int) -> Order | Mixture:
    if isinstance(shard_set, Joined) and shard_set.shares:
        return Mixture(shard_set.sizes(split), shard_set.shares, seed, batch_size, streams, window)
    sizes = shard_set.sizes(split)[0] if isinstance(shard_set, Joined) else shard_set.shard_sizes(split)
    return Order(sizes, seed, batch_size, streams, window)


@dataclass(frozen=True)
class _Each:
    """What is read of each, when it is taken: of a known number, so that a reader can lay out its batch before the first is decoded."""

    asked: Sequence[tuple[str, bytes | None, int | None]]
    read: Callable[[str, bytes | None, int | None], Any]

    def __len__(self) -> int:
        return len(self.asked)

    def __iter__(self) -> Iterator[Any]:
        return itertools.starmap(self.read, self.asked)


def _numbered(shard_set: AnyShards, split: str, labels: Mapping[str, Mapping[str, Any]]) -> dict[str, npt.NDArray[Any]]:
    """Label → int64 class numbers (-1 = none, or a category the classes lack) or float32 values (nan = none), over the split."""
    stored = shard_set.labels(split)
    count = shard_set.num_samples(split)
    numbered: dict[str, npt.NDArray[Any]] = {}
    for name, info in labels.items():
        if info["kind"] == "category":
            classes = {value: number for number, value in enumerate(info["classes"])}
            values = stored.get(name, np.full(count, None, dtype=object))
            numbered[name] = np.array([classes.get(value, -1) for value in values], dtype=np.int64)
        else:
            numbered[name] = stored.get(name, np.full(count, np.nan)).astype(np.float32)
    return numbered


def _label_tensors(labels: Mapping[str, npt.NDArray[Any]], positions: Positions) -> dict[str, torch.Tensor]:
    import torch

    return {name: torch.from_numpy(values[positions]) for name, values in labels.items()}
