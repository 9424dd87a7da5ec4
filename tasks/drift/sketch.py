"""A sketch: what some samples are like, small enough to keep and to send.

In: measured samples. Out: columns over at most K rows, one row for each group of records: that whose hash is smallest. Which groups are in
it depends on their names alone, so sketches of parts merge into the sketch of the whole, exactly, in any order. A row holds no key and no
content: hashes, quantities, classes, and vectors of hashed counts. Must not import torch.

Why a row a group: eleven records of one picture are not eleven observations, and a test that believes so finds drift where there is none.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.errors import CorruptArtifact, InputError

FORMAT = 1
"""Raised whenever the same samples give another sketch: it stands in the names under which sketches are stored."""
SAMPLES = 2000
"""Rows of a sketch, unless another number is asked for."""
PARTS = ("numbers", "classes", "vectors", "present")


@dataclass(frozen=True)
class Sketch:
    """Rows in rising order of their groups' hashes."""

    group_N: NDArray[np.uint64]
    record_N: NDArray[np.uint64]
    numbers: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """`image.brightness` → N; nan where a sample has none."""
    classes: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    """`text.language`, `label.digit` → N; empty where a sample has none."""
    vectors: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """`text.vocabulary` → N × D; nan where a sample has none."""
    present: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    """Modality → N."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """`records`: how many there are in all; `unusable`: how many of the chosen could not be read, with `examples`."""

    def __len__(self) -> int:
        return len(self.group_N)

    def rows(self, chosen: Any) -> Sketch:
        """Some of the rows, by a mask, a slice or positions."""
        parts: dict[str, Any] = {part: {name: values[chosen] for name, values in getattr(self, part).items()} for part in PARTS}
        return replace(self, group_N=self.group_N[chosen], record_N=self.record_N[chosen], **parts)

    def only(self, modalities: Sequence[str]) -> Sketch:
        """Of some modalities alone, and the labels."""
        kept = {*modalities, "label"}
        parts: dict[str, Any] = {
            part: {name: values for name, values in getattr(self, part).items() if name.split(".")[0] in kept} for part in PARTS
        }
        return replace(self, **parts)


def hashed(text: str) -> int:
    """64 bits of a name."""
    return int.from_bytes(hashlib.sha256(f"drift\0{text}".encode()).digest()[:8], "big")


def choose(groups: Sequence[str], keys: Sequence[str], size: int) -> list[int]:
    """Positions of the records that a sketch of at most `size` rows holds, in its order."""
    best: dict[int, tuple[int, int]] = {}
    ranks: dict[str, int] = {}
    for at, (group, key) in enumerate(zip(groups, keys, strict=True)):
        rank = ranks[group] if group in ranks else ranks.setdefault(group, hashed(group))
        own = hashed(key)
        if rank not in best or own < best[rank][0]:
            best[rank] = (own, at)
    return [best[rank][1] for rank in sorted(best)[:size]]


def merge(first: Sketch, second: Sketch, size: int) -> Sketch:
    """The sketch of both sets of samples together. A column that one lacks is absent in its rows."""
    group_N = np.concatenate([first.group_N, second.group_N])
    record_N = np.concatenate([first.record_N, second.record_N])
    order = np.lexsort((record_N, group_N))
    leads = np.concatenate([[True], group_N[order][1:] != group_N[order][:-1]]) if len(order) else np.zeros(0, dtype=bool)
    chosen = order[leads][:size]
    parts: dict[str, dict[str, Any]] = {}
    for part in PARTS:
        one, other = getattr(first, part), getattr(second, part)
        parts[part] = {
            name: np.concatenate(
                [_filled(one.get(name), other.get(name), len(first)), _filled(other.get(name), one.get(name), len(second))]
            )[chosen]
            for name in sorted({*one, *other})
        }
    return Sketch(group_N[chosen], record_N[chosen], **parts, facts=_merged_facts(first.facts, second.facts))


def joined(first: Sketch, second: Sketch) -> Sketch:
    """Columns of two sketches of the same rows side by side."""
    assert np.array_equal(first.record_N, second.record_N), "sketches of other rows"
    parts: dict[str, Any] = {part: {**getattr(first, part), **getattr(second, part)} for part in PARTS}
    return replace(first, **parts)


def _filled(values: Any, like: Any, rows: int) -> Any:
    """A column, or one that says nothing in every row."""
    if values is not None:
        return values
    if like.dtype.kind == "f":
        return np.full((rows, *like.shape[1:]), np.nan, dtype=like.dtype)
    return np.zeros(rows, dtype=like.dtype)


def _merged_facts(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    merged = {name: first.get(name, 0) + second.get(name, 0) for name in ("records", "unusable")}
    return {**merged, "examples": [*first.get("examples", ()), *second.get("examples", ())][:3]}


def to_bytes(sketch: Sketch) -> bytes:
    """An npz without pickles; the same bytes for the same sketch."""
    arrays: dict[str, Any] = {"group": sketch.group_N, "record": sketch.record_N}
    for part in PARTS:
        for name, values in sorted(getattr(sketch, part).items()):
            arrays[f"{part}/{name}"] = values.astype(np.float16) if part == "vectors" else values
    arrays["facts"] = np.frombuffer(json.dumps(dict(sketch.facts), sort_keys=True).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def from_bytes(data: bytes, name: str) -> Sketch:
    """Raises CorruptArtifact naming the object."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        parts: dict[str, dict[str, Any]] = {part: {} for part in PARTS}
        for key, values in arrays.items():
            part, slash, column = key.partition("/")
            if slash:
                parts[part][column] = values.astype(np.float32) if part == "vectors" else values
        return Sketch(arrays["group"], arrays["record"], **parts, facts=json.loads(arrays["facts"].tobytes()))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise CorruptArtifact(f"the sketch {name} is damaged ({error}); delete that file of the store, and it is made anew") from error


def described(sketch: Sketch) -> dict[str, Any]:
    """What a sketch says, as plain data: quantiles and means of numbers, shares of classes, size of vectors."""
    found: dict[str, Any] = {}
    for name, values in sketch.numbers.items():
        there = values[np.isfinite(values)]
        if there.size:
            levels = dict(zip(("p05", "p25", "p50", "p75", "p95"), np.quantile(there, [0.05, 0.25, 0.5, 0.75, 0.95]), strict=True))
            found[name] = {
                "count": int(there.size),
                "mean": float(there.mean()),
                "std": float(there.std()),
                **{k: float(v) for k, v in levels.items()},
            }
    for name, labels in sketch.classes.items():
        kinds, counts = np.unique(labels[labels != ""], return_counts=True)
        found[name] = {str(kind): int(count) for kind, count in zip(kinds, counts, strict=True)}
    for name, matrix in sketch.vectors.items():
        found[name] = {"count": int(np.isfinite(matrix[:, 0]).sum()), "dimensions": int(matrix.shape[1])}
    return found


def check_size(size: int) -> int:
    """The rows of a sketch that were asked for. Raises InputError."""
    if not 30 <= size <= 20_000:
        raise InputError(
            f"--samples is {size}; a sketch holds 30 to 20000 samples, and 2000 see a shift of a fifth of a deviation (a PSI of 0.04)"
        )
    return size
