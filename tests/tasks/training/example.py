"""Small real shards, and trainings on them: bright or dark pictures, tones and words, with gaps."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from PIL import Image
from torch import Tensor

from pipeline.store import LocalStore
from tasks import registry
from tasks.contracts import Artifact, Resources, TaskContext
from tasks.models.encoders.cnn import Cnn
from tasks.models.encoders.config import CnnConfig
from tasks.models.tokens import Tokens
from tasks.training import state
from tasks.training.config import TrainConfig
from tests.tasks.shards.corpora import Record, Recorder, make_shards, write_corpus

CLASSES = ("dark", "grey", "light")
RATE_HZ = 8000


def records(count: int = 96) -> list[Record]:
    """Four in six train; every fifth picture, seventh sound and eleventh label is missing."""
    found = []
    for number in range(count):
        kind = number % 3
        members: dict[str, bytes | None] = {"text": f"a {CLASSES[kind]} thing, number {number % 7}".encode()}
        if number % 5:
            members["image"] = picture(60 + 60 * kind, number)
        if number % 7:
            members["audio"] = tone(300 * (kind + 1), number)
        labels: dict[str, str | float | None] = {"shade": CLASSES[kind] if number % 11 else None, "height": float(kind * 10 + number % 3)}
        labels |= texts_of_labels(number, kind, str(members["text"], "ascii"))
        split = {4: "val", 5: "test"}.get(number // 3 % 6, "train")
        found.append(Record(f"r{number:03d}", members, split, labels))
    return found


def texts_of_labels(number: int, kind: int, text: str) -> dict[str, str | None]:
    """Labels with parts: a set, a tag for each character of the text, and spans; every thirteenth is missing, each third has no span."""
    if number % 13 == 0:
        return dict.fromkeys(("seen", "characters", "events"))
    seen = [CLASSES[kind], *(["odd"] if number % 2 else [])]
    characters = ["letter" if each.isalpha() else "digit" if each.isdigit() else "mark" for each in text]
    events = ("0-0.4 low; 0.5-1 high", "0.2-0.9 low", "")[kind]
    return {"seen": ";".join(seen), "characters": " ".join(characters), "events": events}


def picture(level: int, seed: int) -> bytes:
    noise = np.random.default_rng(seed).integers(-20, 20, (8, 8, 3))
    buffer = io.BytesIO()
    Image.fromarray((level + noise).astype(np.uint8)).save(buffer, "png")
    return buffer.getvalue()


def tone(hz: float, seed: int) -> bytes:
    time = np.arange(RATE_HZ // 10 + 40 * (seed % 4)) / RATE_HZ
    buffer = io.BytesIO()
    soundfile.write(buffer, (0.3 * np.sin(2 * np.pi * hz * time)).astype(np.float32), RATE_HZ, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def write_shards(folder: Path, given: list[Record] | None = None, **changes: Any) -> Artifact:
    """The shards artifact of some records."""
    corpus = write_corpus(folder / "corpus", given or records(), label_kinds={"height": "number"})
    settings: dict[str, Any] = {"prepare": {"audio": {}, "image": {}, "text": {}}, "fit": {"text": {"tokenizer": "byte"}}, **changes}
    make_shards(folder / "made", corpus, LocalStore(folder / "store"), **settings)
    return Artifact("shards", "5" * 64, folder / "made")


def config(**changes: Any) -> TrainConfig:
    """Dropout everywhere, so that random numbers matter; 8 steps in an epoch."""
    model = {
        "encoders": {"audio": {"kind": "cnn_lstm", "channels": [8, 8]}, "image": {"kind": "cnn", "channels": [8, 8]}, "text": "gru"},
        "heads": {"shade": "classification", "height": {"kind": "regression", "weight": 0.5}},
        "width": 16,
        "modality_dropout": 0.3,
    }
    return TrainConfig.model_validate(
        {
            "read": {"audio": {"rate_hz": RATE_HZ, "num_mels": 16}, "image": {"size": [8, 8]}, "text": {"max_tokens": 12}},
            "model": {**model, **changes.pop("model", {})},
            "epochs": 2,
            "batch_size": 8,
            "streams": 4,
            **changes,
        }
    )


def context(folder: Path, *, stop: threading.Event | None = None, sink: Recorder | None = None, **resources: Any) -> TaskContext:
    """The run around a training."""
    store = LocalStore(folder / "store")
    return TaskContext(
        store=store,
        key="6" * 64,
        step="model",
        seed=7,
        work_dir=folder / "work",
        sink=sink or Recorder(),
        stop=stop or threading.Event(),
        resources=Resources(**resources),
        code_dir=folder,
    )


def final_weights(work_dir: Path) -> dict[str, Tensor]:
    """Weights of the newest checkpoint, which must be of a finished training."""
    checkpoint = state.newest(work_dir / state.FOLDER, lambda _: None)
    assert checkpoint is not None
    assert checkpoint.progress.finished
    return checkpoint.model()


def digest(weights: Mapping[str, Tensor]) -> str:
    """Hash of all bits of all weights."""
    total = hashlib.sha256()
    for name in sorted(weights):
        total.update(name.encode() + weights[name].contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


class Mortal(Cnn):
    """An image encoder whose process dies in training step `dies_at`, once; `marker` remembers that it did."""

    class Config(registry.Config):
        kind: str
        dies_at: int
        marker: str

    def __init__(self, config: Config, shape: Mapping[str, int], width: int) -> None:
        super().__init__(CnnConfig(channels=(8, 8)), shape, width)
        self.config, self.steps = config, 0

    def forward(self, image_BCHW: Tensor, lengths_B: Tensor | None = None) -> Tokens:
        self.steps += self.training
        if self.steps == self.config.dies_at:
            try:
                Path(self.config.marker).touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(image_BCHW, lengths_B)


def mortal(marker: Path, dies_at: int) -> dict[str, Any]:
    """Changes to `config` for a training whose process dies."""
    image = {"kind": "tests.tasks.training.example:Mortal", "dies_at": dies_at, "marker": str(marker)}
    return {"model": {"encoders": {"audio": {"kind": "cnn_lstm", "channels": [8, 8]}, "image": image, "text": "gru"}}}
