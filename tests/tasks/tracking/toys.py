"""Small stand-ins for what a run gives a step: a sink that remembers, a context, folders of models and reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.store import LocalStore
from tasks.contracts import Artifact, Lineage, StepRecord, TaskContext, Tracking

SHARDS_KEY, CORPUS_KEY = "5" * 64, "c" * 64


@dataclass
class Sink:
    """Remembers what it is told."""

    notes: list[str] = field(default_factory=list)

    def progress(self, done: float, total: float | None, unit: str, detail: str = "") -> None: ...

    def metrics(self, values: Mapping[str, float], step: int) -> None: ...

    def note(self, message: str) -> None:
        self.notes.append(message)


class Never:
    def is_set(self) -> bool:
        return False


def lineage(model_key: str, run: str = "run-1") -> Lineage:
    """A recipe `corpus → shards → model` as the runner describes it."""
    return Lineage(
        recipe_name="toys",
        recipe_text="name: toys\n",
        run=run,
        code_revision="r" * 40,
        libraries={"torch": "2.14.1"},
        steps=(
            StepRecord("corpus", "ingest", CORPUS_KEY, {}),
            StepRecord("shards", "shard", SHARDS_KEY, {"corpus": "corpus"}, "/nowhere/shards", {"samples": 12, "splits": {"train": 10}}),
            StepRecord("model", "train", model_key, {"shards": "shards"}),
        ),
    )


def context(
    root: Path, key: str, step: str, tracking: Tracking, *, model_key: str = "m" * 64, run: str = "run-1", sink: Sink | None = None
) -> TaskContext:
    work_dir = root / "work" / key[:16]
    work_dir.mkdir(parents=True, exist_ok=True)
    return TaskContext(
        LocalStore(root / "store"),
        key,
        step,
        0,
        work_dir,
        sink or Sink(),
        Never(),
        tracking=tracking,
        lineage=lineage(model_key, run),
    )


def model_folder(path: Path, key: str, curve: int = 3) -> Artifact:
    """Enough of a model for MLflow to keep: its description, some weights, and its curves."""
    path.mkdir(parents=True)
    description = {
        "format": 1,
        "model": {"encoders": {"image": {"kind": "cnn"}, "text": {"kind": "gru"}}},
        "modalities": ["image", "text"],
        "labels": {"digit": {"kind": "category", "classes": ["one", "two"]}, "size": {"kind": "number", "mean": 0.0, "std": 1.0}},
    }
    (path / "model.json").write_text(json.dumps(description))
    (path / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    (path / "manifest.json").write_text('{"key": "toy"}')
    lines = [{"step": step, "epoch": 0, "train/loss": 1.0 / step, "val/accuracy/audio+image": None} for step in range(1, curve + 1)]
    (path / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return Artifact("model", key, path, step="model")


def report_folder(
    path: Path,
    key: str,
    model: Artifact,
    right: Any,
    baseline: tuple[str, str, Any] | None = None,
    groups: Any = None,
    head: str = "digit",
    *,
    best: tuple[str, str, Any] | None = None,
    described: Mapping[str, Any] | None = None,
) -> Artifact:
    """A report about `model`, right where `right` is true; `baseline` and `best` are (version, model key, where it is right).

    `described` is what `report.json` says besides.
    """
    path.mkdir(parents=True)
    right = np.asarray(right, dtype=bool)
    facts = {"reference": f"models:/toys/{baseline[0]}", "version": baseline[0], "key": baseline[1]} if baseline else None
    document = {"format": 1, "model": {"key": model.key, "step": "model"}, "baseline": facts, **(described or {})}
    if best:
        document["best"] = {"reference": f"models:/toys/{best[0]}", "version": best[0], "key": best[1]}
    (path / "report.json").write_text(json.dumps(document))
    classes = pa.array(["one", "two"])

    def said(correct: Any) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array(np.where(correct, 0, 1), pa.int32()), classes)

    columns = {
        "key": pa.array([f"s{row}" for row in range(right.size)]),
        "group": pa.array([str(group) for group in (range(right.size) if groups is None else groups)]),
        f"{head}.label": said(np.ones(right.size, dtype=bool)),
        f"{head}.prediction": said(right),
        f"{head}.probability": pa.array([[0.5, 0.5]] * right.size),
        "size.label": pa.array(np.zeros(right.size)),
        "size.prediction": pa.array(np.zeros(right.size)),
    }
    if baseline:
        columns[f"{head}.baseline_prediction"] = said(np.asarray(baseline[2], dtype=bool))
    if best:
        columns[f"{head}.best_prediction"] = said(np.asarray(best[2], dtype=bool))
    pq.write_table(pa.table(columns), path / "predictions.parquet")
    return Artifact("report", key, path, {"heads": {head: {"accuracy": float(right.mean())}}}, step="report")


def version_folder(path: Path, version: str, model: Artifact, name: str = "toys") -> Artifact:
    """A version as `register` leaves it, without MLflow."""
    path.mkdir(parents=True)
    (path / "version.json").write_text(json.dumps({"format": 1, "name": name, "version": version, "model_key": model.key}))
    return Artifact("version", "v" * 63 + version, path, step="version")


def trained_model(path: Path) -> Artifact:
    """A real model of pictures and text with random weights, as `train` leaves it: a class and a number a record."""
    import torch

    from tasks.models.config import ModelConfig
    from tasks.models.fused import build_model
    from tasks.models.load import save_model

    torch.manual_seed(0)
    config = ModelConfig.model_validate(
        {
            "encoders": {"image": {"kind": "cnn"}, "text": {"kind": "gru"}},
            "fusion": {"kind": "concat"},
            "heads": {"digit": {"kind": "classification"}, "size": {"kind": "regression"}},
            "width": 16,
        }
    )
    labels = {"digit": {"kind": "category", "classes": ["one", "two"]}, "size": {"kind": "number", "mean": 3.0, "std": 2.0}}
    shapes = {"image": {"channels": 1, "height": 8, "width": 8}, "text": {"vocab_size": 260, "max_tokens": 16}}
    fits = path.parent / f"{path.name}-fits"
    fits.mkdir(parents=True)
    (fits / "image.json").write_text("{}")
    (fits / "text.json").write_text('{"tokenizer": "byte", "vocab_size": 260}')
    description = {
        "model": config.model_dump(mode="json"),
        "read": {"image": {"size": [8, 8], "channels": 1, "normalise": False}, "text": {"max_tokens": 16}},
        "prepare": {"image": {"mode": "gray"}, "text": {"lower": True}},
        "labels": labels,
        "modalities": ["image", "text"],
        "shapes": shapes,
        "fit_files": {"image": [], "text": []},
    }
    save_model(path, build_model(config, shapes, labels).state_dict(), description, fits)
    return Artifact("model", "m" * 64, path, step="model")


def picture(seed: int) -> bytes:
    """A small PNG of noise."""
    import io

    from PIL import Image

    pixels = np.random.default_rng(seed).integers(0, 256, size=(8, 8), dtype=np.uint8)
    with io.BytesIO() as file:
        Image.fromarray(pixels).save(file, "PNG")
        return file.getvalue()
