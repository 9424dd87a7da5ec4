"""Batches cut into parts and moved to a device. Must not import ray or mlflow.

Shape suffixes: B samples, M modalities.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from tasks.contracts import Batch, ModalityBatch


def split(batch: Batch, count: int) -> list[Batch]:
    """The batch in `count` parts, equal up to one sample; fewer parts when there are fewer samples."""
    size = len(batch.keys)
    count = min(size, count)
    if count == 1:
        return [batch]
    return [take(batch, slice(place * size // count, (place + 1) * size // count)) for place in range(count)]


def take(batch: Batch, chosen: slice | list[int]) -> Batch:
    """Some samples of a batch."""
    places = range(len(batch.keys))[chosen] if isinstance(chosen, slice) else chosen
    part = _each(batch, lambda tensor: tensor[chosen])
    return replace(part, keys=[batch.keys[place] for place in places], epochs=[batch.epochs[place] for place in places if batch.epochs])


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on a device; itself when that is the CPU. Copies to a GPU do not wait."""
    if device.type == "cpu":
        return batch
    return _each(batch, lambda tensor: tensor.pin_memory().to(device, non_blocking=True))


def _each(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """The batch with each of its tensors changed, those of its views among them."""

    def changed(inputs: Mapping[str, ModalityBatch]) -> dict[str, ModalityBatch]:
        return {
            modality: ModalityBatch(change(given.values), None if given.lengths is None else change(given.lengths))
            for modality, given in inputs.items()
        }

    return replace(
        batch,
        inputs=changed(batch.inputs),
        views={name: changed(inputs) for name, inputs in batch.views.items()},
        present=change(batch.present),
        labels={name: change(label) for name, label in batch.labels.items()},
        weight=change(batch.weight),
    )
