"""A tiny model with one objective, `aligned`, and a batch that has its label."""

from __future__ import annotations

from typing import Any

import torch

from tasks.contracts import Batch
from tasks.models.fused import FusedModel, build_model
from tasks.models.targets import described
from tests.tasks.models.example import LABELS, SHAPES, batch, config

PLACE = {"kind": "category", "values": ["here", "there"], "classes": ["here", "there"]}
"""A label that objectives may learn from."""


def model_with(kind: str, **settings: Any) -> FusedModel:
    """In eval mode, half of the training done."""
    torch.manual_seed(0)
    made = config(objectives={"aligned": {"kind": kind, **settings}})
    fused = build_model(made, SHAPES, described(made.heads, {**LABELS, "place": PLACE}, SHAPES, made.objectives)).eval()
    fused.advance(0.5)
    return fused


def placed_batch(size: int = 6) -> Batch:
    """Samples here and there in turn."""
    given = batch(size)
    given.labels["aligned"] = torch.arange(size) % 2
    return given
