"""One example a kind of head: a config, what it learns from, and targets with a gap. The contract test runs over all of them.

Shape suffixes: B samples, M modalities, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from tasks.models.contracts import Features, Present, Sequence
from tasks.models.heads import HEADS
from tasks.models.tokens import Tokens
from tasks.registry import implementation
from tests.tasks.models.example import LABELS, MODALITIES

WIDTH = 16
NUM_SAMPLES = 4


@dataclass(frozen=True)
class Example:
    """A head, and targets of four samples of which the last has none."""

    label: dict[str, Any]
    """What `tasks.models.targets.described` says of it."""
    target: Callable[[], Any]
    settings: dict[str, Any] = field(default_factory=dict)
    """What its config needs."""
    sums_over_samples: bool = True
    """Whether the loss of a batch is the sum over its samples."""


NAN = torch.nan
THREE = ["a", "b", "c"]
TEXT = {"kind": "sequence", "modality": "text", "vocab_size": 20, "max_tokens": 6}
TEXTS = Sequence(
    torch.tensor([[4, 5, 19, 0], [7, 0, 0, 0], [2, 8, 9, 3], [0, 0, 0, 0]]),
    torch.tensor([3, 1, 4, 1]),
    torch.tensor([True, True, True, False]),
)
EXAMPLES: dict[str, Example] = {
    "classification": Example(LABELS["digit"], lambda: torch.tensor([0, 1, 2, -1])),
    "multi_label": Example(
        {"kind": "set", "classes": THREE, "separator": ";"},
        lambda: torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 1], [NAN, NAN, NAN]]),
    ),
    "regression": Example(LABELS["height"], lambda: torch.tensor([9.0, 10.0, 11.0, torch.nan])),
    "tagging": Example(
        {"kind": "tags", "classes": THREE},
        lambda: torch.tensor([[0, 1, 2], [2, -2, -1], [1, 1, 0], [-1, -1, -1]]),
        {"of": "text"},
    ),
    "localisation": Example(
        {"kind": "spans", "classes": THREE, "token_s": None},
        lambda: torch.tensor(
            [
                [[0, 0.1, 0.6], [2, 0.7, 0.9]],
                [[-1, 0, 0], [NAN, NAN, NAN]],
                [[1, 0.3, 0.4], [NAN, NAN, NAN]],
                [[NAN, NAN, NAN], [NAN, NAN, NAN]],
            ]
        ),
        {"of": "audio", "score_threshold": 0.0},
    ),
    "question_answering": Example(LABELS["digit"], lambda: torch.tensor([0, 1, 2, -1])),
    "retrieval": Example(
        {"kind": "none"},
        lambda: Present(torch.tensor([[True, True, True], [True, False, True], [True, True, True], [False, True, False]]), MODALITIES),
        {"between": ["text", "image", "audio"], "dim": 8},
        sums_over_samples=False,
    ),
    "anomaly": Example({"kind": "none"}, lambda: None),
    "ctc": Example(TEXT, lambda: TEXTS, {"target": "text", "of": "audio"}),
    "captioning": Example(TEXT, lambda: TEXTS, {"target": "text", "length_penalty": 0.5}),
}


def head_of(kind: str, **settings: Any) -> Any:
    """A head with seeded weights, in eval mode."""
    torch.manual_seed(0)
    example = EXAMPLES[kind]
    config = HEADS[kind].config(**{**example.settings, **settings})
    built: nn.Module = implementation(HEADS, kind)(config, "said", example.label, WIDTH)
    return built.eval()


def features(seed: int = 0, size: int = NUM_SAMPLES) -> Features:
    """Three modalities with 2, 4 and 5 places and a fused sequence of 3, the last place of each masked; all modalities present."""
    generator = torch.Generator().manual_seed(seed)

    def some(count: int) -> Tokens:
        mask_BT = torch.ones(size, count, dtype=torch.bool)
        mask_BT[:, -1] = False
        return Tokens(torch.randn(size, count, WIDTH, generator=generator), mask_BT).masked()

    towers = {"audio": some(5), "image": some(2), "text": some(4)}
    return Features(towers, some(3), torch.ones(size, 3, dtype=torch.bool), MODALITIES)


def rows(given: Any, chosen: slice) -> Any:
    """Some samples of features, outputs or targets, whatever they are made of."""
    if isinstance(given, torch.Tensor):
        return given[chosen]
    if isinstance(given, dict):
        return {name: rows(each, chosen) for name, each in given.items()}
    if isinstance(given, tuple) and hasattr(given, "_fields"):
        return type(given)(*(rows(each, chosen) for each in given))
    return given
