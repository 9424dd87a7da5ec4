"""Fusion by attention of each modality to the others (as in MulT, arXiv:1906.00295). Must not import ray or mlflow.

Shape suffixes: B samples, M modalities, T tokens that ask, S tokens that are asked, N heads, D width (of a head after `unflatten`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.models.blocks import FeedForward
from tasks.models.fusions.config import CrossAttentionConfig
from tasks.models.tokens import Tokens


class CrossAttention(nn.Module):
    """In each layer the tokens of a modality attend to those of all others, and to none of their own. Gives all tokens.

    A missing modality takes part by its learned token, as one that asks and as one that is asked.
    """

    def __init__(self, config: CrossAttentionConfig, modalities: tuple[str, ...], width: int) -> None:
        super().__init__()
        self.modalities = modalities
        self.modality_MD = nn.Parameter(torch.randn(len(modalities), width) * 0.02)
        self.layers = nn.ModuleList(
            nn.ModuleList(CrossBlock(width, config.num_heads, config.dropout) for _ in modalities) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> Tokens:  # noqa: ARG002 - the call of every fusion
        values = [tokens[modality].values_BTD + self.modality_MD[place] for place, modality in enumerate(self.modalities)]
        masks = [tokens[modality].mask_BT for modality in self.modalities]
        for blocks in cast(Iterable[nn.ModuleList], self.layers):
            asked = [(torch.cat(_others(values, place), 1), torch.cat(_others(masks, place), 1)) for place in range(len(values))]
            values = [block(asking_BTD, *others) for block, asking_BTD, others in zip(blocks, values, asked, strict=True)]
        return Tokens(self.norm(torch.cat(values, 1)), torch.cat(masks, 1)).masked()


class CrossBlock(nn.Module):
    """Attention to other tokens and a feed-forward part, each on normed input and added back."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm_asking = nn.LayerNorm(width)
        self.norm_asked = nn.LayerNorm(width)
        self.project_query = nn.Linear(width, width)
        self.project_kv = nn.Linear(width, 2 * width)
        self.project_out = nn.Linear(width, width)
        self.feed_forward = FeedForward(width, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, asking_BTD: Tensor, asked_BSD: Tensor, asked_BS: Tensor) -> Tensor:
        """Valid tokens alone are asked; each sample needs one."""
        query_BNTD = self.project_query(self.norm_asking(asking_BTD)).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        key_BNSD, value_BNSD = self.project_kv(self.norm_asked(asked_BSD)).unflatten(-1, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        mixed_BNTD = F.scaled_dot_product_attention(query_BNTD, key_BNSD, value_BNSD, attn_mask=asked_BS[:, None, None, :])
        attended_BTD: Tensor = self.feed_forward(asking_BTD + self.dropout(self.project_out(mixed_BNTD.transpose(1, 2).flatten(2))))
        return attended_BTD


def _others(each: list[Tensor], place: int) -> list[Tensor]:
    return [*each[:place], *each[place + 1 :]]
