"""From source bytes to predictions, with the preparation and the fits of the model's training.

In: records as a user has them, modality → bytes of a file. Out: per head a value for each record, and its probabilities. Goes the way a
record goes through sharding and reading, in memory, so that serving sees what training saw. Must not import ray or mlflow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from tasks.contracts import ModalityBatch
from tasks.errors import InputError, RecordError
from tasks.modalities import MODALITIES
from tasks.models.answers import Asked, HeadPrediction, answered
from tasks.models.answers import texts as texts
from tasks.models.load import LoadedModel
from tasks.registry import closest

Record = Mapping[str, bytes | None]
"""Modality → the bytes of its file; None or absent when the record lacks it."""


def predict_records(loaded: LoadedModel, records: Sequence[Record]) -> dict[str, HeadPrediction]:
    """Head → its word on every record, in one batch. Raises InputError naming the record and what is wrong with it."""
    modalities = loaded.model.modalities
    if not records:
        raise InputError(f"there is no record to predict; give one or more, each with some of: {', '.join(modalities)}")
    for row, record in enumerate(records):
        for name in record:
            if name not in MODALITIES:
                raise InputError(
                    f"record {row} has {name!r}, which is no modality{closest(name, list(MODALITIES))}; there are: {', '.join(MODALITIES)}"
                )
        if not any(record.get(name) is not None for name in modalities):
            raise InputError(f"record {row} has none of the modalities that the model takes: {', '.join(modalities)}")
    device = next(loaded.model.parameters()).device
    inputs = {name: _moved(_batch(loaded, name, records), device) for name in modalities}
    present_BM = torch.tensor(
        [[record.get(name) is not None for name in modalities] for record in records], dtype=torch.bool, device=device
    )
    with torch.inference_mode():
        outputs = loaded.model.predict(loaded.model(inputs, present_BM))
    return {
        head: answered(output, Asked(loaded.labels[head], loaded.config.heads[head], loaded.readers)) for head, output in outputs.items()
    }


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
