"""What is learned from the training split: a reduction over its units in plan order.

In: finished units. Out: `fits/<modality>.json` and the files that belong to it. Statistics come from the units' rows; the encoded
members are read from their tars only by a fit that asks for them (a tokenizer). Must not import ray or torch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.contracts import Store, TaskContext
from tasks.errors import InputError
from tasks.modalities import MODALITIES, merge_all
from tasks.shards.pool import tar_name

if TYPE_CHECKING:
    from tasks.shard import ShardConfig
    from tasks.shards.assemble import Part


def fit_all(config: ShardConfig, parts: Sequence[Part], output_dir: Path, context: TaskContext) -> dict[str, list[str]]:
    """Fit every prepared modality that the training split has. Returns modality → names of the files in `fits/`."""
    folder = output_dir / "fits"
    folder.mkdir()
    train = [part for part in parts if part.unit.split == "train"]
    files: dict[str, list[str]] = {}
    for modality in sorted(config.prepare):
        here = [part for part in train if modality in part.rows.meta["stats"]]
        if not here:
            context.sink.note(f"no training sample has {modality}, so nothing is fitted for it")
            continue
        entry = MODALITIES[modality]
        stats = merge_all(part.rows.meta["stats"][modality] for part in here)
        fitted = entry.load().fit(config.fit.get(modality, entry.fit()), stats, _reader(here, modality, context.store))
        files[modality] = sorted(fitted.files)
        (folder / f"{modality}.json").write_text(json.dumps(dict(fitted.values), indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        for name, data in fitted.files.items():
            if (folder / name).exists():
                raise InputError(f"two fits write a file {name!r}; a modality's file names must be its own")
            (folder / name).write_bytes(data)
    return files


def _reader(parts: Sequence[Part], modality: str, store: Store) -> Callable[[], Iterator[bytes]]:
    def members() -> Iterator[bytes]:
        for part in parts:
            rows = part.rows.table
            spans = zip(rows[f"{modality}.offset"].to_pylist(), rows[f"{modality}.size"].to_pylist(), strict=True)
            with store.local_path(tar_name(part.key)).open("rb") as file:
                for offset, size in spans:
                    if offset is not None:
                        yield os.pread(file.fileno(), size, offset)

    return members
