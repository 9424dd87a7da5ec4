"""From source bytes to predictions, with the preparation and the fits of the model's training.

In: records as a user has them, modality → bytes of a file. Out: per head the prediction and its probabilities. Goes the way a record goes
through sharding and reading, in memory, so that serving sees what training saw. Must not import ray or mlflow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch

from tasks.contracts import ModalityBatch, Reader
from tasks.errors import InputError, RecordError
from tasks.modalities import MODALITIES
from tasks.models.load import LoadedModel

Record = Mapping[str, bytes | None]
"""Modality → the bytes of its file; None or absent when the record lacks it."""


@dataclass(frozen=True)
class HeadPrediction:
    """What one head says of B records."""

    values: list[str] | list[float]
    """Classes, numbers in the label's own unit, or texts."""
    probabilities: list[list[float]]
    """B × K in the order of the label's classes; empty for numbers and texts."""


def predict_records(loaded: LoadedModel, records: Sequence[Record]) -> dict[str, HeadPrediction]:
    """Head → its word on every record, in one batch. Raises InputError naming the record and what is wrong with it."""
    modalities = loaded.model.modalities
    for row, record in enumerate(records):
        if not any(record.get(name) is not None for name in modalities):
            raise InputError(f"record {row} has none of the modalities that the model takes: {', '.join(modalities)}")
    device = next(loaded.model.parameters()).device
    inputs = {name: _moved(_batch(loaded, name, records), device) for name in modalities}
    present_BM = torch.tensor(
        [[record.get(name) is not None for name in modalities] for record in records], dtype=torch.bool, device=device
    )
    with torch.inference_mode():
        outputs = loaded.model.predict(loaded.model(inputs, present_BM))
    return {head: _head(output.cpu(), loaded, loaded.labels[head]) for head, output in outputs.items()}


def texts(ids_BT: torch.Tensor, reader: Reader) -> list[str]:
    """What a head that says a modality says of B samples, by that modality's reader."""
    return [cast(Any, reader).text(ids) for ids in ids_BT.tolist()]


def _batch(loaded: LoadedModel, modality: str, records: Sequence[Record]) -> ModalityBatch:
    entry, reader = MODALITIES[modality], loaded.readers[modality]
    encode, prepare = entry.load().encode, entry.prepare.model_validate(loaded.description["prepare"][modality])
    values = []
    for row, record in enumerate(records):
        data = record.get(modality)
        try:
            values.append(None if data is None else reader.read(encode(data, prepare).data))
        except RecordError as error:
            raise InputError(f"the {modality} of record {row} cannot be used: {error}") from error
    return reader.collate(values)


def _moved(batch: ModalityBatch, device: torch.device) -> ModalityBatch:
    return ModalityBatch(batch.values.to(device), None if batch.lengths is None else batch.lengths.to(device))


def _head(output: torch.Tensor, loaded: LoadedModel, label: Mapping[str, Any]) -> HeadPrediction:
    if label["kind"] == "sequence":
        return HeadPrediction(texts(output, loaded.readers[label["modality"]]), [])
    classes = label.get("classes", ())
    if not classes:
        return HeadPrediction([float(value) for value in output.reshape(-1)], [])
    return HeadPrediction([classes[index] for index in output.argmax(dim=1).tolist()], output.tolist())
