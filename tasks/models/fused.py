"""The fused model: encoders → tokens → fusion → trunk → heads → losses.

In: a batch's tensors. Out: what each head gives. Where `placement` says so, the tokens of each modality pass a trunk of their own before
the fusion. Must not import ray or mlflow.

Shape suffixes: B samples, M modalities (in the order of `modalities`), T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from tasks.contracts import Batch, ModalityBatch
from tasks.models.batch_normed import encode_present, moving
from tasks.models.config import ModelConfig
from tasks.models.contracts import Features, Head, Objective, Outputs, Present, Sequence, Target
from tasks.models.encoders import ENCODERS
from tasks.models.fusions import FUSIONS
from tasks.models.heads import HEADS
from tasks.models.names import slot
from tasks.models.objectives import OBJECTIVES
from tasks.models.targets import label_of, learns_from, needs, no_label
from tasks.models.tokens import Tokens, WeightedSum
from tasks.models.trunks import TRUNKS
from tasks.registry import implementation


class FusedModel(nn.Module):
    """Any subset of modalities in each sample; a missing one is a learned token.

    Every encoder runs on every batch, on zeros where a sample lacks the modality, so that all parameters take part in each
    backward pass and data-parallel training need not search for unused ones. One with batch norm trains on the samples that have the
    modality alone, so that zeros enter no statistics.
    """

    def __init__(self, config: ModelConfig, shapes: Mapping[str, Mapping[str, int]], labels: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__()
        self.config = config
        self.modalities: tuple[str, ...] = tuple(sorted(config.encoders))
        self.learns_from = {name: learns_from(config.heads[name]) for name in sorted(config.heads)}
        self.targets = {name: getattr(config.heads[name], "target", name) for name in self.learns_from}
        weighed = {**{name: config.heads[name] for name in self.learns_from}, **dict(sorted(config.objectives.items()))}
        self.loss_weights = {name: float(each.weight) for name, each in weighed.items()}
        self.judging = {name: self.loss_weights[name] for name, each in weighed.items() if not getattr(each, "fools", False)}
        """Loss → its weight, of those of which lower is better: epochs are chosen by them."""
        self.discriminators = tuple(f"objectives.{slot(name)}." for name in self.loss_weights if name not in self.judging)
        """How the names of their parameters begin: what is fooled, and no part of what predicts."""
        self.encoders = nn.ModuleDict()
        self.missing = nn.ParameterDict()
        for modality in self.modalities:
            encoder = config.encoders[modality]
            self.encoders[slot(modality)] = implementation(ENCODERS, encoder.kind)(encoder, shapes[modality], config.width)
            self.missing[slot(modality)] = nn.Parameter(torch.randn(config.width) * 0.02)
        self.norms = {modality: moving(self.encoders[slot(modality)]) for modality in self.modalities}
        """Modality → the batch norms of its encoder."""
        branches = self.modalities if config.branch_trunk else ()
        self.branches = nn.ModuleDict({slot(modality): _trunk(config.branch_trunk, config.width) for modality in branches})
        self.fusion = implementation(FUSIONS, config.fusion.kind)(config.fusion, self.modalities, config.width)
        self.trunk = _trunk(config.joint_trunk, config.width) if config.joint_trunk else nn.Identity()
        self.heads = nn.ModuleDict()
        for name in self.learns_from:
            head = config.heads[name]
            self.heads[slot(name)] = implementation(HEADS, head.kind)(head, name, labels[name], config.width)
        self.objectives = nn.ModuleDict()
        for name, objective in sorted(config.objectives.items()):
            label = labels.get(name, {"kind": "none"})
            built = implementation(OBJECTIVES, objective.kind)(objective, self.modalities, config.width, label)
            self.objectives[slot(name)] = built
        self.log_variances = nn.Parameter(torch.zeros(len(self.loss_weights))) if config.weighting == "uncertainty" else None
        self.resting = frozenset(name for name, parameter in self.named_parameters() if not parameter.requires_grad)
        """Parameters that never learn, such as those of an encoder with `tune: false`, or of a pooler that no token comes from."""

    def forward(self, inputs: Mapping[str, ModalityBatch], present_BM: Tensor) -> dict[str, Any]:
        """Head → its output. `present_BM` is in the order of `modalities`; see `present_BM`."""
        return self.answer(self.encode(inputs, present_BM), present_BM)

    def outputs(self, inputs: Mapping[str, ModalityBatch], present_BM: Tensor) -> Outputs:
        """What losses look at: the same, with what the model made of the batch on the way."""
        features = self.features(self.encode(inputs, present_BM), present_BM)
        return Outputs(features, self.heads_of(features))

    def encode(self, inputs: Mapping[str, ModalityBatch], present_BM: Tensor) -> dict[str, Tokens]:
        """Modality → tokens, behind its own trunk if it has one; a missing modality is one valid token, the learned one."""
        tokens = {}
        for place, modality in enumerate(self.modalities):
            present_B = present_BM[:, place]
            given = inputs[modality]
            present_B_ = present_B.view(-1, *[1] * (given.values.ndim - 1))
            values, encoder = given.values.masked_fill(~present_B_, 0), self.encoders[slot(modality)]
            if any(norm.training for norm in self.norms[modality]):
                encoded = encode_present(encoder, values, given.lengths, present_B)
            else:
                encoded = encoder(values, given.lengths)
            tokens[modality] = _or_missing(encoded, present_B, self.missing[slot(modality)])
        return {**tokens, **{name: self.branches[slot(name)](tokens[name]).masked() for name in tokens if slot(name) in self.branches}}

    def features(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> Features:
        """What heads see, of what `encode` gives."""
        return Features(tokens, self.trunk(self.fusion(tokens, present_BM)), present_BM, self.modalities)

    def answer(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> dict[str, Any]:
        """Head → its output, of what `encode` gives."""
        return self.heads_of(self.features(tokens, present_BM))

    def heads_of(self, features: Features) -> dict[str, Any]:
        return {name: self.head(name)(features) for name in self.learns_from}

    def head(self, name: str) -> Head:
        return cast(Head, self.heads[slot(name)])

    def objective(self, name: str) -> Objective:
        return cast(Objective, self.objectives[slot(name)])

    def present_BM(self, batch: Batch) -> Tensor:
        """A batch's `present` in this model's order of modalities."""
        if batch.modalities == self.modalities:
            return batch.present
        return batch.present[:, [batch.modalities.index(modality) for modality in self.modalities]]

    def target(self, name: str, batch: Batch) -> Target:
        """What a head learns from in this batch."""
        kind = self.learns_from[name]
        if kind == "label":
            return batch.labels[name]
        if kind == "nothing":
            return Present(self.present_BM(batch), self.modalities)
        given = batch.inputs[self.targets[name]]
        assert given.lengths is not None, "a config lets in modalities of tokens alone"
        return Sequence(given.values, given.lengths, batch.present[:, batch.modalities.index(self.targets[name])])

    def advance(self, done: float) -> None:
        """Tell objectives that change over a training which share of it is done."""
        for objective in self.objectives.values():
            if hasattr(objective, "advance"):
                cast(Any, objective).advance(done)

    def losses(self, outputs: Outputs, batch: Batch) -> dict[str, WeightedSum]:
        """Head or objective → loss, before its factor in `loss_weights`."""
        found = {name: self.head(name).loss(outputs.heads[name], self.target(name, batch), batch.weight) for name in self.learns_from}
        return found | {name: self.objective(name)(outputs, batch) for name in self.loss_weights if name not in found}

    def loss_weight(self, batch: Batch) -> dict[str, Tensor]:
        """Head or objective → weight of `losses`, which needs no outputs."""
        found = {name: self.head(name).loss_weight_B(self.target(name, batch), batch.weight).sum() for name in self.learns_from}
        return found | {name: self.objective(name).loss_weight(batch) for name in self.loss_weights if name not in found}

    def total(self, means: Mapping[str, Tensor], share: float) -> Tensor:
        """The number to descend: the weighted sum of mean losses.

        With `weighting: uncertainty` each is also multiplied by exp(-s), and s is added, the learned logarithm of its variance
        (arXiv:1705.07115, without its ½); a `share` of the global batch adds that share of s.
        """
        weighed = [self.loss_weights[name] * value for name, value in means.items()]
        if self.log_variances is not None:
            places = {name: place for place, name in enumerate(self.loss_weights)}
            variances = [self.log_variances[places[name]] for name in means]
            weighed = [torch.exp(-s) * value + share * s for s, value in zip(variances, weighed, strict=True)]
        return torch.stack(weighed).sum()

    def metrics(self, outputs: Outputs, batch: Batch) -> dict[str, dict[str, WeightedSum]]:
        """Head → metric → sums, for validation."""
        return {name: self.head(name).metrics(outputs.heads[name], self.target(name, batch), batch.weight) for name in self.learns_from}

    def predict(self, outputs: Mapping[str, Any]) -> dict[str, Tensor]:
        """Head → probabilities over the classes, the number in the label's own unit, or what its kind predicts."""
        return {name: self.head(name).predict(outputs[name]) for name in self.learns_from}


def build_model(config: ModelConfig, shapes: Mapping[str, Mapping[str, int]], labels: Mapping[str, Mapping[str, Any]]) -> FusedModel:
    """A model with random weights from torch's global generator.

    `shapes`: modality → its reader's shape. `labels`: head or objective → what it learns from, as `targets.described` has it. Raises
    InputError when an encoder does not suit its modality and LabelError when a label is missing or of the other kind.
    """
    for name, head in config.heads.items():
        if name not in labels:
            raise no_label(name, label_of(name, head) or name, labels)
    for name, objective in config.objectives.items():
        if needs(objective) == "label" and name not in labels:
            raise no_label(name, objective.label, labels, "objective")
    return FusedModel(config, shapes, labels)


def _or_missing(encoded: Tokens, present_B: Tensor, missing_D: Tensor) -> Tokens:
    first_T = torch.arange(encoded.mask_BT.shape[1], device=present_B.device) == 0
    values_BTD = torch.where(present_B[:, None, None], encoded.values_BTD, missing_D.to(encoded.values_BTD.dtype))
    return Tokens(values_BTD, torch.where(present_B[:, None], encoded.mask_BT, first_T)).masked()


def _trunk(config: Any, width: int) -> nn.Module:
    return cast(nn.Module, implementation(TRUNKS, config.kind)(config, width))
