"""Tiny inputs for models: every encoder's kind of tensor, labels of both kinds, and a batch.

Shape suffixes: B samples, C channels, H height, W width, T steps, F features, M modalities.
"""

from __future__ import annotations

from typing import Any

import torch

from tasks.contracts import Batch, ModalityBatch
from tasks.models.config import ModelConfig

SHAPES: dict[str, dict[str, int]] = {
    "audio": {"features": 12},
    "image": {"channels": 3, "height": 8, "width": 8},
    "text": {"vocab_size": 20, "max_tokens": 6},
}
LABELS: dict[str, dict[str, Any]] = {
    "digit": {"kind": "category", "values": ["a", "b", "c"], "classes": ["a", "b", "c"]},
    "height": {"kind": "number", "mean": 10.0, "std": 2.0},
}
MODALITIES = tuple(sorted(SHAPES))


def config(**changes: Any) -> ModelConfig:
    """All three modalities, both kinds of head, no dropout."""
    still = {"dropout": 0.0}
    return ModelConfig.model_validate(
        {
            "encoders": {
                "audio": {"kind": "cnn_lstm", "channels": [8, 8], **still},
                "image": {"kind": "cnn", "channels": [8, 16], **still},
                "text": {"kind": "gru", **still},
            },
            "fusion": {"kind": "attention", **still},
            "trunk": {"kind": "mlp", **still},
            "heads": {"digit": "classification", "height": "regression"},
            "width": 16,
            "modality_dropout": 0.0,
            **changes,
        }
    )


def inputs(size: int = 4, seed: int = 0) -> dict[str, ModalityBatch]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "audio": ModalityBatch(torch.randn(size, 9, 12, generator=generator), torch.randint(1, 10, (size,), generator=generator)),
        "image": ModalityBatch(torch.randn(size, 3, 8, 8, generator=generator)),
        "text": ModalityBatch(torch.randint(0, 20, (size, 6), generator=generator), torch.randint(1, 7, (size,), generator=generator)),
    }


def batch(size: int = 4, seed: int = 0) -> Batch:
    """All modalities present, all labels known."""
    generator = torch.Generator().manual_seed(seed + 1)
    return Batch(
        keys=[f"k{number}" for number in range(size)],
        inputs=inputs(size, seed),
        present=torch.ones(size, 3, dtype=torch.bool),
        modalities=MODALITIES,
        labels={"digit": torch.randint(0, 3, (size,), generator=generator), "height": torch.rand(size, generator=generator) * 4 + 8},
        weight=torch.ones(size),
    )
