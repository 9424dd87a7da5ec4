"""Tokens of three modalities, and fusions over them.

Shape suffixes: B samples, M modalities, T tokens, D width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tasks.models.blocks import Pool
from tasks.models.fusions import FUSIONS
from tasks.models.fusions.concat import Concat
from tasks.models.tokens import Tokens
from tasks.registry import implementation

WIDTH = 8
MODALITIES = ("audio", "image", "text")
COUNTS = {"audio": 5, "image": 2, "text": 4}


def tokens(size: int = 3, seed: int = 0) -> dict[str, Tokens]:
    """Every sample keeps its first token of each modality; which of the others are valid differs, with holes in between."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for modality, count in COUNTS.items():
        mask_BT = torch.rand(size, count, generator=generator) < 0.6
        mask_BT[:, 0] = True
        found[modality] = Tokens(torch.randn(size, count, WIDTH, generator=generator), mask_BT).masked()
    return found


def fusion_of(kind: str, modalities: tuple[str, ...] = MODALITIES, **settings: Any) -> Any:
    """In eval mode, the same weights each time."""
    torch.manual_seed(0)
    return implementation(FUSIONS, kind)(FUSIONS[kind].config(kind=kind, **settings), modalities, WIDTH).eval()


def all_present(size: int = 3) -> Tensor:
    return torch.ones(size, 3, dtype=torch.bool)


def pooled(pool: Pool | Concat, given: dict[str, Tokens], modalities: tuple[str, ...] = MODALITIES) -> list[Tensor]:
    """Modality by modality and sample by sample, what `Pool` promises: a softmax over valid tokens in each part of the width."""
    vectors = []
    for score, modality in zip(pool.scores, modalities, strict=True):
        rows = []
        for values_TD, mask_T in zip(*given[modality], strict=True):
            valid_TD = values_TD[mask_T]
            weights_TN = score(valid_TD).softmax(0)
            num_parts = weights_TN.shape[1]
            parts = [(weights_TN[:, n, None] * part_TP).sum(0) for n, part_TP in enumerate(valid_TD.chunk(num_parts, 1))]
            rows.append(torch.cat(parts))
        vectors.append(torch.stack(rows))
    return vectors
