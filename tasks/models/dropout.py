"""Modality dropout: which modalities of a sample a training step hides. Must not import ray or mlflow.

Shape suffixes: B samples, M modalities.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

CHANCE_BYTES = 4


def drop_modalities(present_BM: Tensor, keys: Sequence[str], *, seed: int, epoch: int | Sequence[int], rate: float) -> Tensor:
    """`present_BM` with some modalities hidden, each with chance `rate`; the last one of a sample stays.

    A pure function of (seed, epoch, key): the same for every worker, batch and resume. `epoch` is that of all samples or of each.
    `present_BM` lies on the CPU.
    """
    if rate == 0:
        return present_BM
    epochs = [epoch] * len(keys) if isinstance(epoch, int) else epoch
    chances = [_chances(key, seed, of_key, present_BM.shape[1]) for key, of_key in zip(keys, epochs, strict=True)]
    chance_BM = torch.tensor(chances, dtype=torch.float64)
    chance_BM = torch.where(present_BM, chance_BM, -1.0)
    kept_BM = chance_BM >= rate
    spared_BM = chance_BM == chance_BM.max(1, keepdim=True).values
    return present_BM & torch.where(kept_BM.any(1, keepdim=True), kept_BM, spared_BM)


def _chances(key: str, seed: int, epoch: int, count: int) -> list[float]:
    """`count` numbers in [0, 1) drawn for a sample in an epoch."""
    digest = hashlib.shake_128(f"{seed}/{epoch}/{key}".encode()).digest(count * CHANCE_BYTES)
    words = (digest[start : start + CHANCE_BYTES] for start in range(0, len(digest), CHANCE_BYTES))
    return [int.from_bytes(word) / 2 ** (8 * CHANCE_BYTES) for word in words]
