"""Fusion by messages along a graph of modalities and tokens. Must not import ray or mlflow.

Shape suffixes: B samples, M modalities, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tasks.models.fusions.config import GraphConfig
from tasks.models.tokens import Tokens, present_or_all_BM


class Graph(nn.Module):
    """Each modality is a node, joined to the nodes of its tokens and to every other modality. Gives the nodes of the modalities.

    In a layer, a node takes the mean of its neighbours' messages, one matrix for each kind of edge, and adds to itself what it makes of it:

        modality:  m ← m + GELU(A m + B mean(its tokens) + C mean(other modalities)), normed
        token:     t ← t + GELU(U t + V m), normed

    A missing modality is left out: its node has no edges, and its token is masked.
    """

    def __init__(self, config: GraphConfig, modalities: tuple[str, ...], width: int) -> None:
        super().__init__()
        self.modalities = modalities
        self.modality_MD = nn.Parameter(torch.randn(len(modalities), width) * 0.02)
        self.to_modalities = nn.ModuleList(_ToModalities(width, config.dropout) for _ in range(config.layers))
        self.to_tokens = nn.ModuleList(_ToTokens(width, config.dropout) for _ in range(config.layers - 1))

    def forward(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> Tokens:
        edges_BM = present_or_all_BM(present_BM)
        given = [tokens[modality] for modality in self.modalities]
        node_BMD = self.modality_MD.expand(present_BM.shape[0], -1, -1).to(given[0].values_BTD.dtype)
        for layer, to_modalities in enumerate(self.to_modalities):
            before_BMD = node_BMD
            node_BMD = to_modalities(before_BMD, torch.stack([each.mean_BD() for each in given], 1), edges_BM)
            if layer < len(self.to_tokens):
                update = self.to_tokens[layer]
                given = [Tokens(update(each.values_BTD, before_BMD[:, place]), each.mask_BT) for place, each in enumerate(given)]
        return Tokens(node_BMD, edges_BM).masked()


class _ToModalities(nn.Module):
    """What the nodes of the modalities make of their neighbours."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.own = nn.Linear(width, width)
        self.of_tokens = nn.Linear(width, width, bias=False)
        self.of_modalities = nn.Linear(width, width, bias=False)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, node_BMD: Tensor, token_mean_BMD: Tensor, edges_BM: Tensor) -> Tensor:
        edges_BM1 = edges_BM[..., None].to(node_BMD.dtype)
        others_BM1 = edges_BM1.sum(1, keepdim=True) - edges_BM1
        others_BMD = ((node_BMD * edges_BM1).sum(1, keepdim=True) - node_BMD * edges_BM1) / others_BM1.clamp(min=1)
        message_BMD = self.own(node_BMD) + self.of_tokens(token_mean_BMD) + self.of_modalities(others_BMD)
        changed_BMD: Tensor = self.norm(node_BMD + self.dropout(nn.functional.gelu(message_BMD)))
        return changed_BMD


class _ToTokens(nn.Module):
    """What the nodes of a modality's tokens make of its node."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.own = nn.Linear(width, width)
        self.of_modality = nn.Linear(width, width, bias=False)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, values_BTD: Tensor, node_BD: Tensor) -> Tensor:
        message_BTD = self.own(values_BTD) + self.of_modality(node_BD)[:, None]
        changed_BTD: Tensor = self.norm(values_BTD + self.dropout(nn.functional.gelu(message_BTD)))
        return changed_BTD
