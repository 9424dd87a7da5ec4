"""Head that tags every token of one modality. Must not import ray or mlflow.

Shape suffixes: B samples, T tokens, G tags of the label, D width, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.models.contracts import Features
from tasks.models.heads.class_weights import classes_in
from tasks.models.heads.config_labels import TaggingConfig
from tasks.models.tokens import WeightedSum

PADDING = -1


class TokenLogits(NamedTuple):
    """What is said of each token."""

    logits_BTK: Tensor
    """Float32."""
    mask_BT: Tensor
    """Bool: tokens that there are; none where a sample lacks the modality."""


class Tagging(nn.Module):
    """Logits of a token from the token itself and from what all modalities say together.

    Each sample with a known tag counts one: its loss is the mean over its tokens, so that the weight is known before the model says how
    many tokens there are. A sample that lacks the modality has none, and adds 0.
    """

    def __init__(self, config: TaggingConfig, name: str, label: Mapping[str, Any], width: int) -> None:
        super().__init__()
        self.of, self.stretch, self.label_smoothing = config.of, config.align == "stretch", config.label_smoothing
        num_classes = len(classes_in(name, label, "a tagging", "tags"))
        self.linear = nn.Linear(width, num_classes)
        self.together = nn.Linear(width, num_classes, bias=False)

    def forward(self, features: Features) -> TokenLogits:
        tokens = features.towers[self.of]
        logits_BTK = self.linear(tokens.values_BTD) + self.together(features.fused.mean_BD())[:, None]
        return TokenLogits(logits_BTK.float(), tokens.mask_BT & features.present_B(self.of)[:, None])

    def loss(self, output: TokenLogits, tags_BG: Tensor, weight_B: Tensor) -> WeightedSum:
        """Cross-entropy. Padding, tags that training lacks and tokens without a tag count nothing."""
        tag_BT = token_tags(output.mask_BT, tags_BG, stretch=self.stretch)
        known_BT = tag_BT >= 0
        each_BT = F.cross_entropy(
            output.logits_BTK.transpose(1, 2), tag_BT.clamp(min=0), reduction="none", label_smoothing=self.label_smoothing
        )
        mean_B = (each_BT * known_BT).sum(1) / known_BT.sum(1).clamp(min=1)
        weight_B = self.loss_weight_B(tags_BG, weight_B)
        return WeightedSum((mean_B * weight_B).sum(), weight_B.sum())

    def loss_weight_B(self, tags_BG: Tensor, weight_B: Tensor) -> Tensor:
        """What each sample counts in the loss: known before the model runs."""
        return weight_B * (tags_BG >= 0).any(1)

    def metrics(self, output: TokenLogits, tags_BG: Tensor, weight_B: Tensor) -> dict[str, WeightedSum]:
        """Share of tagged tokens that are right, and of samples with as many tags as tokens: far below 1, `align: token` is off."""
        tag_BT = token_tags(output.mask_BT, tags_BG, stretch=self.stretch)
        known_BT = tag_BT >= 0
        right_BT = (output.logits_BTK.argmax(-1) == tag_BT) & known_BT
        tagged_B = self.loss_weight_B(tags_BG, weight_B) * output.mask_BT.any(1)
        return {
            "accuracy": WeightedSum((right_BT.sum(1) * weight_B).sum(), (known_BT.sum(1) * weight_B).sum()),
            "matched": WeightedSum((self._match_B(output, tags_BG) * tagged_B).sum(), tagged_B.sum()),
        }

    def unreachable_B(self, output: TokenLogits, tags_BG: Tensor) -> Tensor:
        """Bool: who has tags and not as many tokens, where these are taken one by one, of samples that have any."""
        return (tags_BG >= 0).any(1) & output.mask_BT.any(1) & ~self._match_B(output, tags_BG) & (not self.stretch)

    def _match_B(self, output: TokenLogits, tags_BG: Tensor) -> Tensor:
        return output.mask_BT.sum(1) == (tags_BG != PADDING).sum(1)

    def predict(self, output: TokenLogits) -> Tensor:
        """Int64 BT: the class of each token, -1 where there is none."""
        return output.logits_BTK.argmax(-1).masked_fill(~output.mask_BT, PADDING)


def token_tags(mask_BT: Tensor, tags_BG: Tensor, *, stretch: bool) -> Tensor:
    """Int64 BT: the tag of each valid token, in their order; below 0 where there is none.

    With `stretch`, the token whose middle is at the share s of the sequence has the tag at s of the tags.
    """
    place_BT = mask_BT.cumsum(1) - 1
    count_B1 = (tags_BG != PADDING).sum(1, keepdim=True)
    if stretch:
        place_BT = (2 * place_BT + 1) * count_B1 // (2 * mask_BT.sum(1, keepdim=True)).clamp(min=1)
    there_BT = mask_BT & (place_BT < count_B1)
    tag_BT = tags_BG.gather(1, place_BT.clamp(min=0, max=tags_BG.shape[1] - 1))
    return torch.where(there_BT, tag_BT, PADDING)
