"""Head that says what happens in a recording, and from when to when. Must not import ray or mlflow.

As in ActionFormer (arXiv:2202.07925), without its pyramid: each token gives a score for each class and its distances to both ends of the
span that it lies in, without anchors. Lengths are counted in tokens inside and turned into the label's unit outside.

Shape suffixes: B samples, T tokens, S spans, D width, C channels, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.models.contracts import Features
from tasks.models.heads.class_weights import classes_in
from tasks.models.heads.config_labels import LocalisationConfig
from tasks.models.heads.focal import binary_focal
from tasks.models.heads.spans import OUTSIDE, UNKNOWN, Assigned, assign, distance_loss, matches, suppress
from tasks.models.tokens import Tokens, WeightedSum

RARE = 0.01
"""What scores are at first: most tokens lie in no span, and would otherwise make up the whole gradient (arXiv:1708.02002)."""
LONGEST = 1e4
"""Tokens that a distance may have."""
LEAST_SCORE = 0.05
"""Of a span that is predicted at all: average precision ranks also what is too unlikely to be given, as detection does."""
CANDIDATES = 200
"""Spans of a sample with the best scores, which suppression chooses among."""


class Located(NamedTuple):
    """What each token says."""

    logits_BTK: Tensor
    """Float32."""
    start_BT: Tensor
    end_BT: Tensor
    """In tokens from the beginning of the recording."""
    place_BT: Tensor
    """The middle of each token; 0.5 for the first."""
    mask_BT: Tensor
    """Bool: tokens that there are; none where a sample lacks the modality."""


class Localisation(nn.Module):
    """Scores and distances from tokens, convolved among neighbours, and from what all modalities say together.

    Each sample that has a label counts one, its loss being divided by its tokens in spans, so that the weight is known before the model
    says how many tokens there are. A sample that lacks the modality adds 0.
    """

    def __init__(self, config: LocalisationConfig, name: str, label: Mapping[str, Any], width: int) -> None:
        super().__init__()
        self.config = config
        num_classes = len(classes_in(name, label, "a localisation", "spans"))
        self.together = nn.Linear(width, width)
        self.scores = _Neighbours(width, config.layers, num_classes)
        self.distances = _Neighbours(width, config.layers, 2)
        nn.init.constant_(self.scores.last.bias, -math.log(1 / RARE - 1))

    def forward(self, features: Features) -> Located:
        tokens = features.towers[self.config.of]
        mask_BT = tokens.mask_BT & features.present_B(self.config.of)[:, None]
        seen = Tokens(tokens.values_BTD + self.together(features.fused.mean_BD())[:, None], tokens.mask_BT).masked()
        logits_BTK, logarithm_BT2 = self.scores(seen).float(), self.distances(seen).float()
        distance_BT2 = logarithm_BT2.clamp(max=math.log(LONGEST)).exp()
        place_BT = tokens.mask_BT.cumsum(1) - 0.5
        return Located(logits_BTK, place_BT - distance_BT2[..., 0], place_BT + distance_BT2[..., 1], place_BT, mask_BT)

    def loss(self, output: Located, spans_BS3: Tensor, weight_B: Tensor) -> WeightedSum:
        """Focal loss of all scores and the loss of the ends where there is a span, over the number of tokens in spans."""
        lies = assign(self._in_tokens(spans_BS3, output.mask_BT), output.mask_BT, output.place_BT)
        inside_BT = lies.class_BT >= 0
        counted_BT = output.mask_BT & (lies.class_BT != UNKNOWN)
        target_BTK = F.one_hot(lies.class_BT - OUTSIDE, output.logits_BTK.shape[-1] - OUTSIDE)[..., -OUTSIDE:].float()
        alpha_BTK = torch.where(target_BTK > 0, self.config.alpha, 1 - self.config.alpha)
        score_BT = (alpha_BTK * binary_focal(output.logits_BTK, target_BTK, self.config.gamma)).sum(2)
        total_B = (score_BT * counted_BT).sum(1) + self.config.boundary_weight * (self._ends(output, lies) * inside_BT).sum(1)
        mean_B = total_B / inside_BT.sum(1).clamp(min=1)
        weight_B = self.loss_weight_B(spans_BS3, weight_B)
        return WeightedSum((mean_B * weight_B).sum(), weight_B.sum())

    def loss_weight_B(self, spans_BS3: Tensor, weight_B: Tensor) -> Tensor:
        """What each sample counts in the loss: known before the model runs."""
        return weight_B * ~spans_BS3[:, 0, 0].isnan()

    def metrics(self, output: Located, spans_BS3: Tensor, weight_B: Tensor) -> dict[str, WeightedSum]:
        """F1 of spans over all samples; one is right that overlaps a true one of its class by at least half, each true one once."""
        weight_B = self.loss_weight_B(spans_BS3, weight_B)
        found_BS4 = given(self.predict(output), self.config.score_threshold)
        counts_B3 = torch.tensor([matches(found, true) for found, true in zip(found_BS4, spans_BS3, strict=True)], device=weight_B.device)
        right_B, said_B, true_B = counts_B3.unbind(1)
        return {"f1": WeightedSum((2 * right_B * weight_B).sum(), ((said_B + true_B) * weight_B).sum())}

    @torch.no_grad()
    def predict(self, output: Located) -> Tensor:
        """B S 4: class, start, end and score, best first, in the label's unit; S is `max_spans`, rows of -1 = none.

        Also of spans whose score is below `score_threshold`: see `given`.
        """
        count_B = output.mask_BT.sum(1)
        found_BS4 = output.logits_BTK.new_full((len(count_B), self.config.max_spans, 4), -1.0)
        for row in range(len(count_B)):
            spans_S4 = self._best(output, row)
            kept_S4 = spans_S4[suppress(spans_S4, self.config.overlap)][: self.config.max_spans]
            unit = 1 / count_B[row].clamp(min=1) if self.config.token_s is None else self.config.token_s
            kept_S4[:, 1:3] *= unit
            found_BS4[row, : len(kept_S4)] = kept_S4
        return found_BS4

    def _best(self, output: Located, row: int) -> Tensor:
        """S 4, in tokens, of all scores that are high enough, the best first."""
        score_TK = output.logits_BTK[row].sigmoid() * output.mask_BT[row, :, None]
        best = score_TK.flatten().sort(descending=True, stable=True)
        high, least = best.values[:CANDIDATES], min(self.config.score_threshold, LEAST_SCORE)
        chosen = best.indices[:CANDIDATES][(high >= least) & (high > 0)]
        token, class_ = chosen // score_TK.shape[1], chosen % score_TK.shape[1]
        end = output.mask_BT[row].sum().float()
        ends = [each[row, token].clamp(min=0).minimum(end) for each in (output.start_BT, output.end_BT)]
        return torch.stack([class_.float(), *ends, score_TK.flatten()[chosen]], 1)

    def _ends(self, output: Located, lies: Assigned) -> Tensor:
        if self.config.boundary == "iou":
            return distance_loss(output.start_BT, output.end_BT, lies.start_BT, lies.end_BT)
        length_BT = (lies.end_BT - lies.start_BT).clamp(min=1e-6)
        return ((output.start_BT - lies.start_BT).abs() + (output.end_BT - lies.end_BT).abs()) / length_BT

    def _in_tokens(self, spans_BS3: Tensor, mask_BT: Tensor) -> Tensor:
        unit_B = mask_BT.sum(1).float() if self.config.token_s is None else torch.full_like(spans_BS3[:, 0, 0], 1 / self.config.token_s)
        scale_B3 = torch.stack([torch.ones_like(unit_B), unit_B, unit_B], 1)
        return spans_BS3 * scale_B3[:, None]


def given(found_BS4: Tensor, threshold: float) -> Tensor:
    """The same spans with rows of -1 in place of those below the threshold."""
    return torch.where(found_BS4[..., 3:] >= threshold, found_BS4, -1.0)


class _Neighbours(nn.Module):
    """Convolutions over three tokens each, and a layer; padding is zero before each, as beyond the end."""

    def __init__(self, width: int, layers: int, num_outputs: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv1d(width, width, 3, padding=1) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers))
        self.last = nn.Linear(width, num_outputs)

    def forward(self, tokens: Tokens) -> Tensor:
        for convolve, norm in zip(self.convolutions, self.norms, strict=True):
            values_BTD = F.gelu(norm(convolve(tokens.values_BTD.transpose(1, 2)).transpose(1, 2)))
            tokens = Tokens(values_BTD, tokens.mask_BT).masked()
        output: Tensor = self.last(tokens.values_BTD)
        return output
