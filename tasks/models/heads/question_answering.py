"""Head that answers a question about other modalities. Must not import ray or mlflow.

Shape suffixes: B samples, T tokens of the question, S tokens of the others, D width, K answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tasks.models.contracts import Features
from tasks.models.fusions.cross_attention import CrossBlock
from tasks.models.heads.classification import Classification
from tasks.models.heads.config_labels import QuestionAnsweringConfig


class QuestionAnswering(Classification):
    """Answers are classes, as in VQA (arXiv:1505.00468). Tokens of the question attend to those of all other modalities, and their mean,
    with what the fusion made of the sample, is what the answer is read from. A missing modality takes part by its learned token.
    """

    def __init__(self, config: QuestionAnsweringConfig, name: str, label: Mapping[str, Any], width: int) -> None:
        super().__init__(config, name, label, width)
        self.question = config.question
        self.blocks = nn.ModuleList(CrossBlock(width, config.num_heads, config.dropout) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.together = nn.Linear(width, width)

    def forward(self, features: Features) -> Tensor:
        """Float32 logits BK."""
        asking, others = features.towers[self.question], [features.towers[name] for name in features.modalities if name != self.question]
        values_BTD = asking.values_BTD
        asked_BSD, asked_BS = torch.cat([each.values_BTD for each in others], 1), torch.cat([each.mask_BT for each in others], 1)
        for block in self.blocks:
            values_BTD = block(values_BTD, asked_BSD, asked_BS)
        answered = asking._replace(values_BTD=self.norm(values_BTD)).masked()
        logits_BK: Tensor = self.linear(answered.mean_BD() + self.together(features.fused.mean_BD()))
        return logits_BK.float()
