"""Fusion through bottleneck tokens: MBT (arXiv:2107.00135). Must not import ray or mlflow.

Shape suffixes: B samples, M modalities, T tokens, K bottleneck tokens, D width.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from tasks.models.blocks import TransformerBlock
from tasks.models.fusions.config import BottleneckConfig
from tasks.models.tokens import Tokens


class Bottleneck(nn.Module):
    """In each layer a modality attends to itself and to K shared tokens; what the modalities make of these is averaged.

    So all that passes from one modality to another passes through K tokens, and attention costs grow with the longest modality instead of
    their sum. Gives the K tokens. A missing modality takes part by its learned token.
    """

    def __init__(self, config: BottleneckConfig, modalities: tuple[str, ...], width: int) -> None:
        super().__init__()
        self.modalities = modalities
        self.bottleneck_KD = nn.Parameter(torch.randn(config.tokens, width) * 0.02)
        self.layers = nn.ModuleList(
            nn.ModuleList(TransformerBlock(width, config.num_heads, config.dropout) for _ in modalities) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> Tokens:
        num_shared = len(self.bottleneck_KD)
        values = [tokens[modality].values_BTD for modality in self.modalities]
        shared_BKD = self.bottleneck_KD.expand(present_BM.shape[0], -1, -1).to(values[0].dtype)
        always_BK = torch.ones(shared_BKD.shape[:2], dtype=torch.bool, device=shared_BKD.device)
        masks = [torch.cat([always_BK, tokens[modality].mask_BT], 1) for modality in self.modalities]
        for blocks in cast(Iterable[nn.ModuleList], self.layers):
            both = [torch.cat([shared_BKD, own_BTD], 1) for own_BTD in values]
            after = [block(each_BTD, mask_BT) for block, each_BTD, mask_BT in zip(blocks, both, masks, strict=True)]
            shared_BKD = torch.stack([each_BTD[:, :num_shared] for each_BTD in after]).mean(0)
            values = [each_BTD[:, num_shared:] for each_BTD in after]
        return Tokens(self.norm(shared_BKD), always_BK)
