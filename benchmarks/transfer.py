"""What a teacher and a warm start bring on handwriting: `distillation` from a model that also reads captions, and `init` when data grows.

scikit-learn's 1,797 handwritten digits, each once, spoiled as the demo spoils them, with a caption of the demo (vague in 40 %). The test
split is the demo's, 450 pictures. A round is a seed of all its trainings; differences are paired by round.

Teacher: a model of picture and caption. Student: the picture alone, as many epochs with its labels and the teacher as with its labels only.
Warm start: a model of half of the training pictures, as the champion of last month would be; then all of them, from `init` or from random
weights, for a quarter of the epochs or for all. Nothing here has a goal: it is reported whichever way it falls.
"""

from __future__ import annotations

import csv
import importlib
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from benchmarks import measure, sides
from benchmarks.medley import ROOT
from pipeline.store import LocalStore
from tasks.contracts import Artifact, Resources, TaskContext
from tasks.ingest import IngestConfig, ingest
from tasks.models.load import load_model
from tasks.shard import ShardConfig, shard
from tasks.shards.loader import Loader
from tasks.shards.read import ShardSet
from tasks.train import train
from tasks.training.config import TrainConfig

EPOCHS, SHORT = 20, 5
SIZES = {"min_records": 2048, "max_records": 4096}
"""One shard a split: few enough to be made without Ray."""
PICTURE = {"image": {"kind": "cnn", "channels": [16, 32]}}
READ = {"image": {"size": [8, 8], "channels": 1}, "text": {"max_tokens": 16}}
STUDENT: dict[str, Any] = {"encoders": PICTURE, "heads": {"digit": "classification"}, "width": 64}
TEACHER: dict[str, Any] = {**STUDENT, "encoders": {**PICTURE, "text": "gru"}}


def run(rounds: int) -> dict[str, Any]:
    """Medians over rounds, with intervals from resampling rounds."""
    torch.set_num_threads(1)
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="medley-transfer-") as name:
        folder = Path(name)
        half, whole = (sharded(folder / part, share) for part, share in (("half", 0.5), ("whole", 1.0)))
        for number in range(rounds):
            for way, value in accuracies(folder / str(number), half, whole, number).items():
                found.setdefault(way, []).append(value)
    for one, other in (("taught", "alone"), ("warm_short", "cold_short"), ("warm_short", "cold"), ("warm", "cold")):
        found[f"{one}_minus_{other}"] = [a - b for a, b in zip(found[one], found[other], strict=True)]
    return {"name": "transfer", "ok": True, "ratios": {name: measure.median(values) for name, values in found.items()}, "rounds": found}


def accuracies(folder: Path, half: Artifact, whole: Artifact, seed: int) -> dict[str, float]:
    """Way to train → accuracy on the test pictures. `alone` and `cold` are one training: all pictures, all epochs, random weights."""
    made: dict[str, Artifact] = {}

    def way(name: str, shards: Artifact, sources: dict[str, Artifact], model: dict[str, Any], **changes: Any) -> float:
        out = folder / name
        (out / "model").mkdir(parents=True)
        read = {modality: READ[modality] for modality in model["encoders"]}
        given = {"read": read, "model": model, "epochs": EPOCHS, "batch_size": 64, "select": "last", **changes}
        train(TrainConfig.model_validate(given), {"shards": shards, **sources}, out / "model", context(out, seed))
        made[name] = Artifact("model", "3" * 64, out / "model")
        return accuracy(made[name], shards)

    found = {"teacher": way("teacher", whole, {}, TEACHER), "alone": way("alone", whole, {}, STUDENT)}
    found["taught"] = way("taught", whole, {"teacher": made["teacher"]}, STUDENT, policy="distillation")
    found["half"] = way("half", half, {}, STUDENT)
    found["cold"], found["cold_short"] = found["alone"], way("cold_short", whole, {}, STUDENT, epochs=SHORT)
    found["warm"] = way("warm", whole, {"init": made["half"]}, STUDENT)
    found["warm_short"] = way("warm_short", whole, {"init": made["half"]}, STUDENT, epochs=SHORT)
    return found


def accuracy(model: Artifact, shards: Artifact) -> float:
    """Share of the test pictures that are named rightly."""
    loaded, right, count = load_model(model.path), 0.0, 0.0
    for batch in Loader(ShardSet.open(shards.path), "test", loaded.readers, loaded.labels, batch_size=64).evaluation():
        with torch.no_grad():
            outputs = loaded.model.outputs(batch.inputs, loaded.model.present_BM(batch))
            total, weight = loaded.model.metrics(outputs, batch)["digit"]["accuracy"]
        right, count = right + float(total), count + float(weight)
    return right / count


def sharded(folder: Path, share: float) -> Artifact:
    """The shards of a table of pictures and captions; `share` of the training pictures, the first ones of a shuffle."""
    folder.mkdir()
    sys.path.insert(0, str(ROOT / "examples" / "digits"))
    pairs, captions = cast(Any, importlib.import_module("digit_pairs")), cast(Any, importlib.import_module("digit_captions"))
    pictures, digits = pairs.read_handwriting()
    splits = pairs.deal_pictures(digits, {"val": 0.1, "test": 0.25}, 0)
    order = np.random.default_rng(0).permutation(splits["train"])
    splits["train"] = sorted(order[: round(share * len(order))].tolist())
    rows = []
    for split, positions in splits.items():
        for position in positions:
            path = folder / f"{position}.png"
            path.write_bytes(pairs.png(pairs.degrade(pictures[position], pairs.stream(0, "noise", position))))
            said = captions.caption(digits[position], pairs.stream(0, "caption", position))
            rows.append({"image": path.name, "text": said, "digit": digits[position], "split": split})
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    columns = {"image": "image", "text": {"column": "text", "inline": True}}
    source = {"format": "table", "path": str(folder / "table.csv"), "columns": columns, "split": "split"}
    source["labels"] = {"digit": {"column": "digit", "kind": "category"}}
    for name in ("corpus", "shards"):
        (folder / name).mkdir()
    ingest(IngestConfig.model_validate({"source": source}), {}, folder / "corpus", context(folder, 0))
    config = ShardConfig.model_validate(
        {"prepare": {"image": {}, "text": {}}, "fit": {"text": {"tokenizer": "byte"}}, "duplicates": "keep", "sizes": SIZES}
    )
    shard(config, {"corpus": Artifact("corpus", "1" * 64, folder / "corpus")}, folder / "shards", context(folder, 0))
    return Artifact("shards", "2" * 64, folder / "shards")


def context(folder: Path, seed: int) -> TaskContext:
    (folder / "work").mkdir(parents=True, exist_ok=True)
    store = LocalStore.open(folder / "store")
    resources = Resources(data_tasks=2)
    return TaskContext(store, "0" * 64, "step", seed, folder / "work", sides.Quiet(), threading.Event(), resources)
