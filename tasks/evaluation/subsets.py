"""Subsets of modalities: their names, and what a model may see of a sample.

A subset is named by its modalities, sorted and joined: `audio+image`. Masking never touches tensors of media, only `present`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def subset_name(modalities: Iterable[str]) -> str:
    return "+".join(sorted(modalities))


def subset_members(name: str) -> tuple[str, ...]:
    return tuple(name.split("+"))


def all_subsets(modalities: Iterable[str]) -> list[str]:
    """Names of the 2^m - 1 non-empty subsets: singles first, the full set last, sorted among equals."""
    names = sorted(modalities)
    return [subset_name(chosen) for size in range(1, len(names) + 1) for chosen in combinations(names, size)]


def mask_present(present_BM: torch.Tensor, modalities: Sequence[str], name: str) -> torch.Tensor:
    """`present_BM` with every modality outside the subset absent; columns are in the order of `modalities`."""
    members = set(subset_members(name))
    kept = present_BM.new_tensor([modality in members for modality in modalities])
    return present_BM & kept
