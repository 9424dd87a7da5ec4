"""Texts as token ids, as heads that say them learn and give them. Must not import ray or mlflow.

Shape suffixes: B samples, S tokens of a text.
"""

from __future__ import annotations

from collections.abc import Sequence as Listed

import torch
from torch import Tensor

from tasks.modalities.config import SPECIAL_TOKENS
from tasks.models.contracts import Sequence

PAD, BEGIN, END = (SPECIAL_TOKENS.index(name) for name in ("<pad>", "<bos>", "<eos>"))


def said_alone(target: Sequence) -> tuple[Tensor, Tensor]:
    """Ids BS, padded with 0, and their number B, 0 where the sample has no text; without begin and end, which the reader may have added."""
    ids_BS = target.values_BT
    inside_BS = torch.arange(ids_BS.shape[1], device=ids_BS.device) < target.lengths_B[:, None]
    said_BS = inside_BS & (ids_BS != PAD) & (ids_BS != BEGIN) & (ids_BS != END) & target.present_B[:, None]
    order_BS = said_BS.int().argsort(dim=1, descending=True, stable=True)
    packed_BS = torch.where(said_BS, ids_BS, PAD).gather(1, order_BS)
    return packed_BS, said_BS.sum(1)


def padded_BS(texts: Listed[Listed[int]]) -> Tensor:
    """Int64, padded with 0, at least one wide."""
    longest = max((len(text) for text in texts), default=0)
    return torch.tensor([[*text, *[PAD] * (max(longest, 1) - len(text))] for text in texts], dtype=torch.int64)
