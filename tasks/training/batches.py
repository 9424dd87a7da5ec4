"""Batches cut into parts and moved to a device. Must not import ray or mlflow.

Shape suffixes: B samples, M modalities.
"""

from __future__ import annotations

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


def take(batch: Batch, chosen: slice) -> Batch:
    """Some samples of a batch."""
    return Batch(
        keys=batch.keys[chosen],
        inputs={
            modality: ModalityBatch(given.values[chosen], None if given.lengths is None else given.lengths[chosen])
            for modality, given in batch.inputs.items()
        },
        present=batch.present[chosen],
        modalities=batch.modalities,
        labels={name: label[chosen] for name, label in batch.labels.items()},
        weight=batch.weight[chosen],
        epochs=batch.epochs[chosen],
    )


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on a device; itself when that is the CPU. Copies to a GPU do not wait."""
    if device.type == "cpu":
        return batch

    def moved(tensor: Tensor) -> Tensor:
        return tensor.pin_memory().to(device, non_blocking=True)

    return Batch(
        keys=batch.keys,
        inputs={
            modality: ModalityBatch(moved(given.values), None if given.lengths is None else moved(given.lengths))
            for modality, given in batch.inputs.items()
        },
        present=moved(batch.present),
        modalities=batch.modalities,
        labels={name: moved(label) for name, label in batch.labels.items()},
        weight=moved(batch.weight),
        epochs=batch.epochs,
    )
