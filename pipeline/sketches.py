"""Sketches of shards: made once, kept in the store.

In: shards, a split, and perhaps a model. Out: a sketch, from `sketches/<key of the shards>/…` in the store (create if absent), from the
report of the model, or made now and kept. numpy and torch are imported when a sketch is made.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.drift_sides import ModelSide, ShardsSide

if TYPE_CHECKING:
    from tasks.drift.sketch import Sketch

SAMPLES = 2000
"""As `tasks.drift.sketch.SAMPLES`, which this must not import to be light."""


def kept(side: ShardsSide, split: str, size: int, model: ModelSide | None, notes: list[str]) -> Sketch:
    """Sketch of a split: from the store, or made and kept there."""
    import numpy as np

    from tasks.drift import sketch

    raw = _stored(side, f"raw-{sketch.FORMAT}-{split}-{size}.npz", lambda: _of_shards(side, split, size, None), notes)
    if model is None:
        return raw
    reported = _reported(side, split, size, model)
    if reported is not None and np.array_equal(reported.record_N, raw.record_N):
        return sketch.joined(raw, reported)
    name = f"embedding-{sketch.FORMAT}-{split}-{size}-{model.key}.npz"
    return sketch.joined(raw, _stored(side, name, lambda: _of_shards(side, split, size, model), notes))


def _reported(side: ShardsSide, split: str, size: int, model: ModelSide) -> Sketch | None:
    """What the model's report kept of it, where that is of these samples."""
    from tasks.drift.sketch import from_bytes

    if model.report is None or size != SAMPLES:
        return None
    path = model.report / "embeddings.npz"
    try:
        report = json.loads((model.report / "report.json").read_bytes())
        data = path.read_bytes()
    except FileNotFoundError:
        return None  # a report of an older version
    of = (report["split"], report["shards"]["key"], report["model"]["key"])
    return from_bytes(data, str(path)) if of == (split, side.key, model.key) else None


def _stored(side: ShardsSide, name: str, make: Any, notes: list[str]) -> Sketch:
    from pipeline.errors import StoreError
    from tasks.drift.sketch import from_bytes, to_bytes

    if side.store is None:
        made: Sketch = make()
        return made
    name = f"sketches/{side.key}/{name}"
    try:
        return from_bytes(side.store.read(name), f"{side.store.where}/{name}")
    except FileNotFoundError:
        data = to_bytes(make())
    try:
        if not side.store.create(name, data):  # somebody else was first
            data = side.store.read(name)
    except StoreError as error:
        notes.append(f"the sketch of {side.path.name[:12]} was made and cannot be kept: {error}")
    return from_bytes(data, name)  # what is read back later, to the last bit


def _of_shards(side: ShardsSide, split: str, size: int, model: ModelSide | None) -> Sketch:
    from tasks.drift.measure import sketch_samples
    from tasks.drift.samples import of_shards
    from tasks.shards.read import ShardSet

    chosen = of_shards(ShardSet.open(side.path), split, size)
    if model is not None:
        return _embedded(chosen.samples, model)
    return sketch_samples(chosen.samples, chosen.records, chosen.label_kinds)


def sketched(samples: Sequence[Any], records: int, kinds: Mapping[str, str], model: ModelSide | None) -> Sketch:
    """Of samples that are in memory."""
    from tasks.drift.measure import sketch_samples
    from tasks.drift.sketch import from_bytes, joined, to_bytes

    made = sketch_samples(samples, records, kinds)
    both = made if model is None else joined(made, _embedded(samples, model))
    return from_bytes(to_bytes(both), "in memory")  # rounded as a stored one is


def _embedded(samples: Iterable[Any], model: ModelSide) -> Sketch:
    from tasks.drift.embeddings import sketch_embeddings
    from tasks.models.load import load_model

    return sketch_embeddings(load_model(model.path), samples)


def merged(sketches: Sequence[Sketch], size: int) -> Sketch:
    """Of several splits, or of the sets of a mixture, as one."""
    from tasks.drift.sketch import merge

    merged = sketches[0]
    for sketch in sketches[1:]:
        merged = merge(merged, sketch, size)
    return merged
