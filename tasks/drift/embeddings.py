"""What a model sees in each medium: the mean of its encoder's tokens, one vector a sample.

In: a loaded model and samples as they are stored. Out: a sketch whose columns are `image.embedding`, `text.embedding`, … over the same rows
as the raw sketch of these samples. Shifts that no number of `features` names show here, if the model looks at them. The one file of this
room that imports torch; must not import ray or mlflow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.contracts import ModalityBatch, Reader
from tasks.drift.measure import Sample
from tasks.drift.samples import of_shards
from tasks.drift.sketch import SAMPLES, Sketch, hashed, to_bytes
from tasks.errors import RecordError
from tasks.models.load import LoadedModel
from tasks.shards.read import ShardSet

BATCH = 64
EMBEDDINGS = "embeddings.npz"
"""What a report keeps of them."""


def sketch_embeddings(loaded: LoadedModel, samples: Iterable[Sample]) -> Sketch:
    """One row a sample; nan where it lacks a modality, or its member cannot be read."""
    rows: list[tuple[int, int]] = []
    columns: dict[str, list[NDArray[np.float32]]] = {modality: [] for modality in loaded.model.modalities}
    for batch in _batches(samples):
        rows += [(hashed(sample.group), hashed(sample.key)) for sample in batch]
        for modality, values_BD in _embedded(loaded, batch).items():
            columns[modality].append(values_BD)
    order = sorted(range(len(rows)), key=lambda at: rows[at])
    vectors = {f"{modality}.embedding": np.concatenate(parts)[order] for modality, parts in columns.items() if parts}
    present = {name.split(".")[0]: np.isfinite(values[:, 0]) for name, values in vectors.items()}
    group_N, record_N = (np.array([rows[at][place] for at in order], dtype=np.uint64) for place in (0, 1))
    return Sketch(group_N, record_N, vectors=vectors, present=present, facts={"records": len(rows)})


def write_embeddings(folder: Path, loaded: LoadedModel, shard_set: ShardSet, split: str) -> None:
    """The sketch of a split, beside the report that was made of it, so that `medley drift` need not make it."""
    readable = {*loaded.model.modalities} & {*shard_set.modalities}
    sketch = sketch_embeddings(loaded, of_shards(shard_set, split, SAMPLES).samples).only(sorted(readable))
    (folder / EMBEDDINGS).write_bytes(to_bytes(sketch))


def _batches(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    stream = iter(samples)
    while batch := list(islice(stream, BATCH)):
        yield batch


def _embedded(loaded: LoadedModel, samples: Sequence[Sample]) -> dict[str, NDArray[np.float32]]:
    """Modality → float32 BD."""
    model = loaded.model
    device = next(model.parameters()).device
    inputs, present = {}, []
    for modality in model.modalities:
        reader = loaded.readers[modality]
        arrays = [_read(reader, sample.members.get(modality)) for sample in samples]
        given = reader.collate(arrays)
        inputs[modality] = ModalityBatch(given.values.to(device), None if given.lengths is None else given.lengths.to(device))
        present.append([array is not None for array in arrays])
    present_BM = torch.tensor(present, dtype=torch.bool, device=device).T
    with torch.inference_mode():
        tokens = model.encode(inputs, present_BM)
    found = {}
    for place, modality in enumerate(model.modalities):
        values_BD = tokens[modality].mean_BD().float().cpu().numpy().copy()
        values_BD[~present_BM[:, place].cpu().numpy()] = np.nan
        found[modality] = values_BD
    return found


def _read(reader: Reader, data: bytes | None) -> Any:
    if data is None:
        return None
    try:
        return reader.read(data)
    except RecordError:
        return None  # counted where the raw sketch of the same samples is made
