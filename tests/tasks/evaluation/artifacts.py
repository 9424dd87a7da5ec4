"""Real artifacts, small: shards of made-up digits and models with random weights over them."""

from __future__ import annotations

import functools
import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipeline.store import LocalStore
from tasks.contracts import Artifact, Lineage, StepRecord, TaskContext
from tasks.modalities import MODALITIES
from tasks.models.config import ModelConfig
from tasks.models.fused import build_model
from tasks.models.load import build_readers, save_model
from tasks.shards.read import ShardSet
from tests.tasks.evaluation.example import WORDS, picture, sound
from tests.tasks.shards.corpora import Record, Recorder, context, make_shards, write_corpus

ENCODERS = {"audio": "cnn_lstm", "image": "cnn", "text": "gru"}
READ = {"audio": {"features": "log_mel", "num_mels": 16}, "image": {"size": [8, 8]}, "text": {"max_tokens": 8}}
RECIPE = "name: digits\nsteps:\n  report: {task: evaluate, model: model, shards: shards}\n"


@dataclass(frozen=True)
class Prepared:
    """What the tests of a session share."""

    shards: Artifact
    shard_set: ShardSet
    model: Artifact
    rival: Artifact
    """Knows image and text only, and one class less."""


def records(num_train: int = 60, num_val: int = 12, num_test: int = 46) -> list[Record]:
    """Three samples a group; now and then a member or a label is missing."""
    made = []
    for split, number in (("train", num_train), ("val", num_val), ("test", num_test)):
        for at in range(number):
            digit = at % 10
            seed = hash_of(split) + at
            members: dict[str, bytes | None] = {"image": picture(digit, seed), "text": f"a handwritten {WORDS[digit]} {at}".encode()}
            if at % 7:
                members["audio"] = sound(digit, seed, seconds=0.3, rate=8000)
            labels: dict[str, str | float | None] = {"digit": str(digit), "height": digit + 0.25 * (at % 3)}
            if at % 11 == 10:
                labels["digit"] = None
            made.append(Record(f"{split}{at:03d}", members, split, labels, group=f"{split}-{at // 3}"))
    return made


@functools.cache
def prepare(session_folder: Path) -> Prepared:
    """Made once, however many test files ask for it."""
    folder = session_folder / "evaluation-artifacts"
    folder.mkdir()
    store = LocalStore(folder / "store")
    corpus = write_corpus(folder / "corpus", records(), label_kinds={"height": "number"})
    made = folder / "digit-shards"
    prepared = {"audio": {"rate_hz": 8000}, "image": {}, "text": {}}
    make_shards(made, corpus, store, prepare=prepared, fit={"text": {"tokenizer": "byte"}}, duplicates="keep")
    shard_set = ShardSet.open(made)
    return Prepared(
        Artifact("shards", "ab" * 32, made, step="shards"),
        shard_set,
        make_model(folder / "model", shard_set, tuple(ENCODERS), ("digit", "height"), seed=0),
        make_model(folder / "rival", shard_set, ("image", "text"), ("digit",), seed=1, drop_class="9"),
    )


def make_model(
    path: Path, shard_set: ShardSet, modalities: Sequence[str], heads: Sequence[str], seed: int, drop_class: str = ""
) -> Artifact:
    """A model artifact as `train` leaves it, untrained."""
    kinds = {"category": "classification", "number": "regression"}
    labels = {name: dict(shard_set.meta["labels"][name]) for name in heads}
    for info in labels.values():
        if drop_class and "classes" in info:
            info["classes"] = [name for name in info["classes"] if name != drop_class]
    config = ModelConfig.model_validate(
        {
            "encoders": {name: {"kind": ENCODERS[name]} for name in modalities},
            "fusion": {"kind": "attention", "num_heads": 2},
            "heads": {name: {"kind": kinds[labels[name]["kind"]]} for name in heads},
            "width": 16,
        }
    )
    read = {name: MODALITIES[name].read.model_validate(READ[name]).model_dump(mode="json") for name in modalities}
    readers = build_readers(read, {name: shard_set.fit(name) for name in modalities})
    torch.manual_seed(seed)
    shapes = {name: dict(reader.shape) for name, reader in readers.items()}
    model = build_model(config, shapes, labels)
    description: dict[str, Any] = {
        "model": config.model_dump(mode="json"),
        "read": read,
        "prepare": shard_set.meta["prepare"],
        "labels": labels,
        "modalities": list(modalities),
        "shapes": shapes,
        "fit_files": {name: shard_set.meta["fit_files"][name] for name in modalities},
        "seed": seed,
        "epochs": 2,
        "steps": 4,
        "best_epoch": 1,
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    save_model(path, model.state_dict(), description, shard_set.path / "fits")
    lines = [{"step": step, "epoch": 0, "train/loss": 2.0 / step, "val/loss": 2.1 / step} for step in (1, 2, 3, 4)]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Artifact("model", hashlib.sha256(path.name.encode()).hexdigest(), path, step=path.name)


def run_context(folder: Path, *, sink: Recorder | None = None, stop: threading.Event | None = None, baseline: str = "") -> TaskContext:
    """The run around an evaluate step called `report`."""
    inputs = {"model": "model", "shards": "shards"} | ({"baseline": baseline} if baseline else {})
    steps = (
        StepRecord("shards", "shard", "ab" * 32, {}, status="cached"),
        StepRecord("model", "train", "cd" * 32, {"shards": "shards"}, status="ran"),
        StepRecord("report", "evaluate", "ef" * 32, inputs, status="running"),
    )
    plain = context(LocalStore(folder / "store"), sink=sink, stop=stop)
    lineage = Lineage("digits", RECIPE, "run-1", "0123abcd", {"torch": torch.__version__}, steps)
    return TaskContext(
        **{name: getattr(plain, name) for name in ("store", "seed", "work_dir", "sink", "stop", "resources")},
        key="ef" * 32,
        step="report",
        lineage=lineage,
    )


def hash_of(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest()[:6], 16)
