"""Checkpoints: everything a training needs to go on, bit for bit. In and out: a folder. Must not import ray or mlflow.

    checkpoints/step-000000124/
        model.safetensors  optimizer.safetensors     tensors, no pickle
        policy.safetensors                           what the policy has beside the model, if anything
        average.safetensors                          the moving average of the weights, if there is one
        checkpoint.json                              written last: position, scalars, and the sha256 of each

What is not stored because it is a pure function of the step: the learning rate (`schedule.share`), the order of samples (§ loader)
and the random numbers (`loop.step_seed` seeds them anew for each step and rank). So a checkpoint fits any number of ranks.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tasks.contracts import FORMAT_VERSION, Json
from tasks.errors import CorruptArtifact
from tasks.file_digest import sha256_of

FOLDER, INDEX = "checkpoints", "checkpoint.json"
MODEL, OPTIMIZER, POLICY = "model.safetensors", "optimizer.safetensors", "policy.safetensors"
AVERAGE = "average.safetensors"
KEPT_NEWEST = 2


@dataclass
class Progress:
    """Where a training is: the same on every rank. All of it stands in the checkpoint."""

    epoch: int = 0
    step: int = 0
    """Steps done of `epoch`."""
    steps: int = 0
    """Optimizer steps done in all."""
    samples: int = 0
    seconds: float = 0.0
    """Time spent in training steps, validation and checkpoints, over all resumes."""
    train_seconds: float = 0.0
    """The part of it spent in training steps."""
    lines: int = 0
    """Metric lines written."""
    window: dict[str, list[float]] = field(default_factory=dict)
    """Head → sum and weight of the loss since the last metric line, over all ranks."""
    running: dict[str, list[float]] = field(default_factory=dict)
    """The same since the epoch began."""
    train: dict[str, float] = field(default_factory=dict)
    """Losses of the last whole epoch."""
    val: dict[str, dict[str, float]] = field(default_factory=dict)
    """Head → metric → value of the last validation."""
    best: dict[str, Json] | None = None
    """The best validation so far: `epoch`, `steps`, `loss`, `val`."""
    finished: bool = False


def save(root: Path, tensors: dict[str, dict[str, Tensor]], optimizer: dict[str, Any], progress: Progress, facts: dict[str, Json]) -> Path:
    """Write a checkpoint and make it visible in one move; then drop all but the newest two and the best.

    `tensors`: file → state dict, `MODEL` among them. `optimizer`: its state dict. `facts`: threads and ranks, for people and for notes.
    """
    target = root / f"step-{progress.steps:09d}"
    scratch = root / ".writing"  # one process writes; what a killed one left is overwritten
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    moments, scalars = _split(optimizer["state"])
    files = {name: _write_tensors(scratch / name, each) for name, each in {**tensors, OPTIMIZER: moments}.items()}
    index = {
        "format": FORMAT_VERSION,
        "progress": asdict(progress),
        "facts": facts,
        "files": files,
        "optimizer": {"scalars": scalars, "groups": optimizer["param_groups"]},
    }
    _write(scratch / INDEX, json.dumps(index).encode())
    _sync(scratch)
    shutil.rmtree(target, ignore_errors=True)
    scratch.rename(target)
    _sync(root)
    _prune(root, progress)
    return target


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files were found whole."""

    path: Path
    progress: Progress
    facts: dict[str, Json]
    optimizer_index: dict[str, Json]

    def model(self) -> dict[str, Tensor]:
        return dict(load_file(self.path / MODEL))

    def average(self) -> dict[str, Tensor] | None:
        """The moving average of the weights; None where the training has none."""
        return dict(load_file(self.path / AVERAGE)) if (self.path / AVERAGE).exists() else None

    def policy(self) -> dict[str, Tensor]:
        """Empty where the policy has nothing of its own."""
        return dict(load_file(self.path / POLICY)) if (self.path / POLICY).exists() else {}

    def optimizer(self) -> dict[str, Any]:
        """A state dict as `torch.optim.Optimizer.load_state_dict` takes it."""
        state: dict[int, dict[str, Any]] = {int(place): dict(values) for place, values in self.optimizer_index["scalars"].items()}
        for name, tensor in load_file(self.path / OPTIMIZER).items():
            place, _, key = name.partition(".")
            state.setdefault(int(place), {})[key] = tensor
        groups = [
            {name: tuple(value) if name == "betas" else value for name, value in group.items()} for group in self.optimizer_index["groups"]
        ]
        return {"state": state, "param_groups": groups}


def read(path: Path) -> Checkpoint:
    """Open one checkpoint. Raises CorruptArtifact when a file is missing or its bytes are not those that were written."""
    try:
        index = json.loads((path / INDEX).read_bytes())
        for name, sha256 in index["files"].items():
            if sha256_of(path / name) != sha256:
                raise CorruptArtifact(f"checkpoint {path.name}: {name} does not have the bytes that were written")
        checkpoint = Checkpoint(path, Progress(**index["progress"]), index["facts"], index["optimizer"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CorruptArtifact(f"checkpoint {path.name} cannot be read: {error}") from error
    if index["format"] > FORMAT_VERSION:
        raise CorruptArtifact(f"checkpoint {path.name} has format {index['format']}, this Medley reads up to {FORMAT_VERSION}; upgrade it")
    return checkpoint


def newest(root: Path, note: Callable[[str], None]) -> Checkpoint | None:
    """The newest whole checkpoint. Torn ones are named by `note` and removed."""
    for path in sorted(root.glob("step-*"), reverse=True):
        try:
            return read(path)
        except CorruptArtifact as error:
            note(f"{error}; going on from the one before it")
            shutil.rmtree(path, ignore_errors=True)
    return None


def at(root: Path, steps: int) -> Path:
    """Where the checkpoint after `steps` optimizer steps lies."""
    return root / f"step-{steps:09d}"


def _prune(root: Path, progress: Progress) -> None:
    kept = set(sorted(root.glob("step-*"))[-KEPT_NEWEST:])
    if progress.best:
        kept.add(at(root, progress.best["steps"]))
    for path in root.glob("step-*"):
        if path not in kept:
            shutil.rmtree(path, ignore_errors=True)


def _split(state: dict[int, dict[str, Any]]) -> tuple[dict[str, Tensor], dict[int, dict[str, Json]]]:
    """An optimizer's state as tensors `place.key` and plain numbers."""
    tensors: dict[str, Tensor] = {}
    scalars: dict[int, dict[str, Json]] = {}
    for place, values in state.items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{place}.{key}"] = value
            else:
                scalars.setdefault(place, {})[key] = value
    return tensors, scalars


def _write_tensors(path: Path, tensors: dict[str, Tensor]) -> str:
    """Returns the file's sha256. Every tensor is copied, since safetensors refuses shared memory (tied weights)."""
    save_file({name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}, path)
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    return sha256_of(path)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def parameter_groups(model: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay, vectors (norms, biases, single tokens) do not."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
