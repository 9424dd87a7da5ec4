"""Small corpora written by hand, as ingest would leave them, and the run around a step."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pipeline.store import LocalStore
from tasks.contracts import Artifact, Resources, Summary, TaskContext
from tasks.shard import ShardConfig, shard

SPLITS = ("train", "val", "test")


@dataclass
class Recorder:
    """A sink that remembers."""

    notes: list[str] = field(default_factory=list)
    done: list[tuple[float, float | None, str]] = field(default_factory=list)

    def progress(self, done: float, total: float | None, unit: str, detail: str = "") -> None:
        self.done.append((done, total, unit))

    def metrics(self, values: Mapping[str, float], step: int) -> None: ...

    def note(self, message: str) -> None:
        self.notes.append(message)


@dataclass
class Record:
    """One record of a toy corpus: members are bytes, written to files below `folder`, or inline."""

    key: str
    members: Mapping[str, bytes | None]
    """None = could not be read."""
    split: str = "train"
    labels: Mapping[str, str | float | None] = field(default_factory=dict)
    partition: str = "default"
    group: str = ""


def write_corpus(
    folder: Path, records: Sequence[Record], *, inline: bool = False, label_kinds: Mapping[str, str] | None = None
) -> Artifact:
    """Write the artifact, and the members' files beside it."""
    media = folder / "media"
    media.mkdir(parents=True, exist_ok=True)
    modalities = sorted({name for record in records for name in record.members})
    names = sorted({name for record in records for name in record.labels})
    kinds = dict.fromkeys(names, "category") | dict(label_kinds or {})
    rows = []
    for record in sorted(records, key=lambda record: record.key):
        row: dict[str, Any] = {"key": record.key, "split": record.split, "partition": record.partition, "group": record.group or record.key}
        row |= {f"label.{name}": record.labels.get(name) for name in names}
        for modality in modalities:
            fields = dict.fromkeys(("uri", "offset", "length", "inline", "size", "mtime_ns", "sha256"))
            if modality in record.members:
                data = record.members[modality]
                path = media / f"{record.key.replace('/', '__')}.{modality}"
                fields |= {"uri": str(path), "size": len(data or b""), "mtime_ns": 0}
                if data is not None:
                    fields["sha256"] = hashlib.sha256(data).hexdigest()
                    if inline:
                        fields |= {"uri": None, "inline": data}
                    else:
                        path.write_bytes(data)
            row |= {f"{modality}.{name}": value for name, value in fields.items()}
        rows.append(row)
    schema = [pa.field(name, pa.string()) for name in ("key", "split", "partition", "group")]
    schema += [pa.field(f"label.{name}", pa.string() if kinds[name] == "category" else pa.float64()) for name in names]
    for modality in modalities:
        kind = {
            "uri": pa.string(),
            "offset": pa.int64(),
            "length": pa.int64(),
            "inline": pa.binary(),
            "size": pa.int64(),
            "mtime_ns": pa.int64(),
        }
        schema += [pa.field(f"{modality}.{name}", of) for name, of in (kind | {"sha256": pa.string()}).items()]
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(schema)), folder / "records.parquet")
    labels: dict[str, Any] = {}
    for name in names:
        values = {record.labels.get(name) for record in records} - {None}
        labels[name] = {"kind": "category", "values": sorted(values)} if kinds[name] == "category" else {"kind": "number"}
    splits = {split: sum(record.split == split for record in records) for split in SPLITS}
    meta = {"format": 1, "modalities": modalities, "labels": labels, "splits": splits, "unreadable": []}
    (folder / "corpus.json").write_text(json.dumps(meta))
    return Artifact("corpus", hashlib.sha256(str(folder).encode()).hexdigest(), folder)


def texts(count: int, **changes: Any) -> list[Record]:
    """Records of one text each, eight in ten in train, with a digit as label; `changes` are for all."""
    splits = {8: "val", 9: "test"}
    return [
        Record(
            f"t{number:05d}",
            {"text": f"Text number {number}".encode()},
            **({"split": splits.get(number // 10 % 10, "train"), "labels": {"digit": str(number % 10)}} | changes),
        )
        for number in range(count)
    ]


def picture(seed: int, height: int = 12, width: int = 16, kind: str = "png") -> bytes:
    """A small picture of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def context(
    store: LocalStore, *, key: str = "0" * 64, data_tasks: int | None = 2, sink: Recorder | None = None, stop: threading.Event | None = None
) -> TaskContext:
    """The run around a step."""
    return TaskContext(
        store=store,
        key=key,
        step="shards",
        seed=0,
        work_dir=store.work_dir(key),
        sink=sink or Recorder(),
        stop=stop or threading.Event(),
        resources=Resources(data_tasks=data_tasks),
    )


def make_shards(folder: Path, corpus: Artifact, store: LocalStore, *, run: TaskContext | None = None, **settings: Any) -> Summary:
    """Run the step into `folder`."""
    folder.mkdir(parents=True)
    config = ShardConfig.model_validate({"prepare": {"text": {}}, **settings})
    return shard(config, {"corpus": corpus}, folder, run or context(store))


def hashes(folder: Path) -> dict[str, str]:
    """Shard name → SHA-256 of the file."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted((folder / "shards").iterdir())}
