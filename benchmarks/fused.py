"""Models, batches and runs of the training loop made from a config alone, for benchmarks of the model. Imports neither ray nor mlflow."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch

from tasks.contracts import Batch, ModalityBatch
from tasks.models.config import ModelConfig
from tasks.models.contracts import Setting
from tasks.models.fused import FusedModel, build_model
from tasks.models.policies import POLICIES
from tasks.models.targets import described
from tasks.registry import implementation
from tasks.training import state
from tasks.training.channel import Journal
from tasks.training.config import TrainConfig
from tasks.training.ranks import Ranks
from tasks.training.run import Job, Run

SHAPES: dict[str, dict[str, int]] = {
    "audio": {"features": 40},
    "image": {"channels": 3, "height": 32, "width": 32},
    "text": {"vocab_size": 512, "max_tokens": 32},
}
LABELS: dict[str, dict[str, Any]] = {"digit": {"kind": "category", "values": list("0123456789"), "classes": list("0123456789")}}
FRAMES = 60


def built(model: dict[str, Any], shapes: dict[str, dict[str, int]] | None = None) -> FusedModel:
    """A model with the weights of seed 0, in training mode."""
    config = ModelConfig.model_validate(model)
    labels = described(config.heads, LABELS, shapes or SHAPES)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_model(config, shapes or SHAPES, labels).train()


def batch_of(model: dict[str, Any], size: int, shapes: dict[str, dict[str, int]] | None = None) -> Batch:
    """Random numbers of the readers' shapes; every sample has every modality in its whole length, and a label."""
    generator = torch.Generator().manual_seed(0)
    modalities = tuple(sorted(model["encoders"]))
    return Batch(
        keys=[f"sample{number}" for number in range(size)],
        inputs={name: _values(name, (shapes or SHAPES)[name], size, generator) for name in modalities},
        present=torch.ones(size, len(modalities), dtype=torch.bool),
        modalities=modalities,
        labels={"digit": torch.randint(0, 10, (size,), generator=generator)},
        weight=torch.ones(size),
        epochs=[0] * size,
    )


def as_run(model: dict[str, Any], batch_size: int, device: torch.device | None = None, **training: Any) -> Run:
    """A training between two steps, as the loop has it, that was never read a sample: for `train_step` on batches of one's own."""
    shapes = training.pop("shapes", SHAPES)
    config = TrainConfig.model_validate({"model": model, "batch_size": batch_size, "streams": 1, "epochs": 1000, **training})
    ranks = Ranks(device=device or torch.device("cpu"))

    def autocast() -> torch.autocast:
        return torch.autocast(ranks.device.type, dtype=torch.bfloat16, enabled=config.precision == "bfloat16")

    setting = Setting(autocast, 0, 1_000_000)
    policy = implementation(POLICIES, config.policy.kind)(config.policy, built(model, shapes), setting).to(ranks.device)
    groups = state.parameter_groups(policy, config.optimizer.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=config.optimizer.learning_rate, betas=config.optimizer.betas, eps=config.optimizer.eps)
    steps = cast(Any, SimpleNamespace(steps_per_epoch=1000))
    folder = Path("/nonexistent")
    return Run(Job(config, folder, folder, seed=0), ranks, policy.model, policy, policy, optimizer, steps, None, Journal(folder))


def _values(name: str, shape: dict[str, int], size: int, generator: torch.Generator) -> ModalityBatch:
    if name == "image":
        return ModalityBatch(torch.randn(size, shape["channels"], shape["height"], shape["width"], generator=generator))
    if name == "text":
        ids = torch.randint(4, shape["vocab_size"], (size, shape["max_tokens"]), generator=generator)
        return ModalityBatch(ids, torch.full((size,), shape["max_tokens"]))
    return ModalityBatch(torch.randn(size, FRAMES, shape["features"], generator=generator), torch.full((size,), FRAMES))
