"""What the policies for few labels bring on real data: `pseudo_labels` on handwriting, `reptile` on speakers that training never heard.

Pseudo-labels: every second of scikit-learn's 1,797 handwritten digits. The labels of a tenth of the training pictures are kept, of another
tenth in each round. Four trainings with as many steps: on the labelled pictures alone, varied weakly or strongly; with `pseudo_labels`; and
with all labels. Accuracy on the test pictures; differences are paired by round.

Reptile: recordings of the Free Spoken Digit Dataset, one of six speakers held out in turn, so there are six rounds at most. Trained with
`reptile` (a task is a speaker) and plainly, for as many passes over the same recordings. Then both take the same steps on k recordings of
each digit by the new speaker, and are asked about the others. The dataset's zip is read from the environment variable FSDD_ZIP; without it
this half is left out. Nothing here has a goal: it is reported whichever way it falls.
"""

from __future__ import annotations

import copy
import csv
import io
import os
import re
import tempfile
import threading
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks import measure, sides
from pipeline.store import LocalStore
from tasks.contracts import Artifact, Batch, Resources, TaskContext
from tasks.ingest import IngestConfig, ingest
from tasks.models.batches import take
from tasks.models.fused import FusedModel
from tasks.shard import ShardConfig, shard
from tasks.training.config import TrainConfig
from tasks.training.loop import train_model
from tasks.training.ranks import Ranks
from tasks.training.run import Job, start

DRAWS = 5
PICTURE_EPOCHS, RECORDING_EPOCHS = 50, 10
LABELLED = 0.1
WEAK = {"image": {"shift": 0.13}}
STRONG = {"image": {"shift": 0.13, "crop": [0.6, 1.0], "rotate_degrees": 20, "contrast": 0.3, "erase": 0.5}}
TAKES = 15
"""Recordings of each digit by each speaker that are used, of 50."""
SHOTS = (1, 5)
STEPS = (5, 50)
RATE = 1e-3
RECORDING = re.compile(r"recordings/(?P<digit>\d)_(?P<speaker>[a-z]+)_(?P<take>\d+)\.wav$")


def run(rounds: int) -> dict[str, Any]:
    """Medians over rounds, with intervals from resampling rounds."""
    torch.set_num_threads(1)
    found = handwriting(min(rounds, DRAWS))
    archive = os.environ.get("FSDD_ZIP")
    if archive:
        found |= speakers(Path(archive), rounds)
    return {"name": "few_labels", "ok": True, "ratios": {name: measure.median(values) for name, values in found.items()}, "rounds": found}


# ---- pseudo-labels ----------------------------------------------------------------------------------------------------


def handwriting(rounds: int) -> dict[str, list[float]]:
    """Way to train → accuracy of each round, and their differences."""
    with tempfile.TemporaryDirectory(prefix="medley-few-labels-") as name:
        folder = Path(name)
        shards = pictures(folder)
        found: dict[str, list[float]] = {}
        for number in range(rounds):
            label = f"digit_{number}"
            ways: dict[str, dict[str, Any]] = {
                "labels_weak": {"augment": WEAK},
                "labels_strong": {"augment": STRONG},
                "pseudo_labels": {"augment": WEAK, "policy": {"kind": "pseudo_labels", "strong": STRONG, "threshold": 0.95}},
                "all_labels": {"augment": WEAK},
            }
            for way, changes in ways.items():
                chosen = of_pictures(label if way != "all_labels" else "digit", changes)
                found.setdefault(way, []).append(accuracy(*trained(chosen, shards, folder / f"{way}-{number}", number)))
        best = np.maximum(found["labels_weak"], found["labels_strong"])
        return found | {"pseudo_labels_minus_labels": [float(value) for value in np.array(found["pseudo_labels"]) - best]}


def of_pictures(label: str, changes: dict[str, Any]) -> TrainConfig:
    heads = {"digit": {"kind": "classification", "label": label}}
    model = {"encoders": {"image": {"kind": "cnn", "channels": [16, 32]}}, "heads": heads, "width": 64}
    given = {"read": {"image": {"size": [8, 8], "channels": 1}}, "model": model, "epochs": PICTURE_EPOCHS, "select": "last"}
    return TrainConfig.model_validate(given | {"batch_size": 64} | changes)


def pictures(folder: Path) -> Artifact:
    """Three in ten pictures test; `digit_N` is the digit of a tenth of the others, and of all that test."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    splits = np.where(np.random.default_rng(0).random(len(digits.target)) < 0.3, "test", "train")
    kept = [np.random.default_rng(1 + number).random(len(digits.target)) < LABELLED for number in range(DRAWS)]
    rows = []
    for number, (values, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        if number % 2:
            continue
        path = folder / f"{number}.png"
        Image.fromarray((values / 16 * 255).astype(np.uint8)).save(path)
        drawn = {f"digit_{draw}": int(digit) if chosen[number] or splits[number] == "test" else "" for draw, chosen in enumerate(kept)}
        rows.append({"image": path.name, "split": splits[number], "digit": int(digit), **drawn})
    return sharded(folder, rows, "image", ["digit", *(f"digit_{draw}" for draw in range(DRAWS))])


# ---- Reptile ----------------------------------------------------------------------------------------------------------


def speakers(archive: Path, rounds: int) -> dict[str, list[float]]:
    """Way to train, shots and steps → accuracy of each held-out speaker, and their differences."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="medley-speakers-") as name:
        for number, held_out in enumerate(names(archive)[:rounds]):
            folder = Path(name) / held_out
            folder.mkdir()
            shards = recordings(archive, folder, held_out)
            for way, changes in {"plain": {}, "reptile": {"policy": {"kind": "reptile", "tasks": "speaker"}, "batch_size": 150}}.items():
                model, batch = trained(of_recordings(changes), shards, folder / way, number)
                found.setdefault(f"{way}_unadapted", []).append(accuracy(model, batch))
                for shots in SHOTS:
                    for steps in STEPS:
                        reached = [adapted(model, batch, shots, steps, seed) for seed in range(5)]
                        found.setdefault(f"{way}_{shots}_shots_{steps}_steps", []).append(float(np.mean(reached)))
    pairs = {name: name.replace("reptile", "plain") for name in found if name.startswith("reptile")}
    return found | {f"{one}_minus_plain": [a - b for a, b in zip(found[one], found[other], strict=True)] for one, other in pairs.items()}


def of_recordings(changes: dict[str, Any]) -> TrainConfig:
    model = {"encoders": {"audio": {"kind": "cnn_lstm", "dropout": 0.2}}, "heads": {"digit": "classification"}, "width": 64}
    read = {"audio": {"features": "log_mel", "rate_hz": 8000, "num_mels": 40, "max_seconds": 1.0}}
    given = {"read": read, "model": model, "epochs": RECORDING_EPOCHS, "batch_size": 50, "streams": 2, "select": "last"}
    return TrainConfig.model_validate(given | changes)


def adapted(model: FusedModel, batch: Batch, shots: int, steps: int, seed: int) -> float:
    """Accuracy on the other recordings after some steps on a few of each digit."""
    target_B = batch.labels["digit"]
    order_B = torch.randperm(len(target_B), generator=torch.Generator().manual_seed(seed))
    seen = [int(place) for digit in range(10) for place in order_B[target_B[order_B] == digit][:shots]]
    learner = copy.deepcopy(model).eval()
    optimizer = torch.optim.Adam(learner.parameters(), lr=RATE, betas=(0.0, 0.999))
    few = take(batch, seen)
    for _ in range(steps):
        loss = learner.losses(learner.outputs(few.inputs, few.present), few)["digit"]
        (loss.total / loss.weight).backward()
        optimizer.step()
        optimizer.zero_grad()
    return accuracy(learner, take(batch, sorted(set(range(len(target_B))) - set(seen))))


def names(archive: Path) -> list[str]:
    with zipfile.ZipFile(archive) as opened:
        return sorted({found["speaker"] for member in opened.namelist() if (found := RECORDING.search(member))})


def recordings(archive: Path, folder: Path, held_out: str) -> Artifact:
    """The first takes of each digit and speaker; those of one speaker test."""
    rows = []
    with zipfile.ZipFile(archive) as opened:
        for member in opened.namelist():
            found = RECORDING.search(member)
            if found and int(found["take"]) < TAKES:
                path = folder / Path(member).name
                path.write_bytes(opened.read(member))
                new = found["speaker"] == held_out
                speaker = "" if new else found["speaker"]  # a category of test that train lacks would be an error
                rows.append({"audio": path.name, "split": "test" if new else "train", "digit": found["digit"], "speaker": speaker})
    return sharded(folder, rows, "audio", ["digit", "speaker"])


# ---- both -------------------------------------------------------------------------------------------------------------


def sharded(folder: Path, rows: Sequence[dict[str, Any]], modality: str, labels: Sequence[str]) -> Artifact:
    """The shards of a table of files, by the steps of a recipe."""
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    (folder / "table.csv").write_text(text.getvalue())
    store = LocalStore.open(folder / "store")
    context = TaskContext(store, "0" * 64, "shards", 0, folder / "step", sides.Quiet(), threading.Event(), Resources(data_tasks=2))
    source = {"format": "table", "path": str(folder / "table.csv"), "columns": {modality: modality}, "split": "split"}
    source["labels"] = {label: {"column": label, "kind": "category"} for label in labels}
    for name in ("step", "corpus", "shards"):
        (folder / name).mkdir()
    ingest(IngestConfig.model_validate({"source": source}), {}, folder / "corpus", context)
    corpus = Artifact("corpus", "1" * 64, folder / "corpus")
    config = ShardConfig.model_validate({"prepare": {modality: {}}})
    shard(config, {"corpus": corpus}, folder / "shards", context)
    return Artifact("shards", "2" * 64, folder / "shards")


def trained(config: TrainConfig, shards: Artifact, work_dir: Path, seed: int) -> tuple[FusedModel, Batch]:
    """The final model in eval mode, and all samples of the test split."""
    from tasks.models.load import build_readers
    from tasks.models.targets import described
    from tasks.shards.joined import open_shards
    from tasks.shards.loader import Loader

    work_dir.mkdir()
    job = Job(config, shards.path, work_dir, seed=seed)
    train_model(job, Ranks())
    model = start(job, Ranks()).model.eval()
    shard_set = open_shards([shards.path])
    readers = build_readers(config.readers(), {modality: shard_set.fit(modality) for modality in config.readers()})
    labels = described(config.model.heads, shard_set.meta["labels"], {modality: reader.shape for modality, reader in readers.items()})
    size = shard_set.num_samples("test")
    return model, next(iter(Loader(shard_set, "test", readers, labels, batch_size=size).evaluation()))


def accuracy(model: FusedModel, batch: Batch) -> float:
    with torch.no_grad():
        outputs = model(batch.inputs, model.present_BM(batch))
    return float((model.predict(outputs)["digit"].argmax(1) == batch.labels["digit"]).double().mean())
