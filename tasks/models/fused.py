"""The fused model: encoders → tokens → fusion → trunk → heads.

In: a batch's tensors. Out: one tensor a head. Where `placement` says so, the tokens of each modality pass a trunk of their own before the
fusion. Must not import ray or mlflow.

Shape suffixes: B samples, M modalities (in the order of `modalities`), T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from tasks.contracts import Batch, ModalityBatch
from tasks.errors import LabelError
from tasks.models.config import ModelConfig
from tasks.models.encoders import ENCODERS
from tasks.models.fusions import FUSIONS
from tasks.models.heads import HEADS
from tasks.models.tokens import Tokens, WeightedSum
from tasks.models.trunks import TRUNKS
from tasks.registry import closest, implementation


class Head(Protocol):
    """What a head can do beside being a module. `target_B` and `weight_B` are a batch's label and weight."""

    def __call__(self, tokens: Tokens) -> Tensor: ...

    def loss(self, output: Tensor, target_B: Tensor, weight_B: Tensor) -> WeightedSum: ...

    def loss_weight_B(self, target_B: Tensor, weight_B: Tensor) -> Tensor:
        """What each sample counts in `loss`: its sum is the loss's weight, known before the model runs."""

    def metrics(self, output: Tensor, target_B: Tensor, weight_B: Tensor) -> dict[str, WeightedSum]: ...

    def predict(self, output: Tensor) -> Tensor: ...


class FusedModel(nn.Module):
    """Any subset of modalities in each sample; a missing one is a learned token.

    Every encoder runs on every batch, on zeros where a sample lacks the modality, so that all parameters take part in each
    backward pass and data-parallel training need not search for unused ones.
    """

    def __init__(self, config: ModelConfig, shapes: Mapping[str, Mapping[str, int]], labels: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__()
        self.modalities: tuple[str, ...] = tuple(sorted(config.encoders))
        self.loss_weights = {name: float(config.heads[name].weight) for name in sorted(config.heads)}
        self.encoders = nn.ModuleDict()
        self.missing = nn.ParameterDict()
        for modality in self.modalities:
            encoder = config.encoders[modality]
            self.encoders[_slot(modality)] = implementation(ENCODERS, encoder.kind)(encoder, shapes[modality], config.width)
            self.missing[_slot(modality)] = nn.Parameter(torch.randn(config.width) * 0.02)
        branches = self.modalities if config.branch_trunk else ()
        self.branches = nn.ModuleDict({_slot(modality): _trunk(config.branch_trunk, config.width) for modality in branches})
        self.fusion = implementation(FUSIONS, config.fusion.kind)(config.fusion, self.modalities, config.width)
        self.trunk = _trunk(config.joint_trunk, config.width) if config.joint_trunk else nn.Identity()
        self.heads = nn.ModuleDict()
        for name in self.loss_weights:
            head = config.heads[name]
            self.heads[_slot(name)] = implementation(HEADS, head.kind)(head, name, labels[name], config.width)

    def forward(self, inputs: Mapping[str, ModalityBatch], present_BM: Tensor) -> dict[str, Tensor]:
        """Head → its output. `present_BM` is in the order of `modalities`; see `present_BM`."""
        return self.answer(self.encode(inputs, present_BM), present_BM)

    def encode(self, inputs: Mapping[str, ModalityBatch], present_BM: Tensor) -> dict[str, Tokens]:
        """Modality → tokens, behind its own trunk if it has one; a missing modality is one valid token, the learned one."""
        tokens = {}
        for place, modality in enumerate(self.modalities):
            present_B = present_BM[:, place]
            given = inputs[modality]
            present_B_ = present_B.view(-1, *[1] * (given.values.ndim - 1))
            encoded = self.encoders[_slot(modality)](given.values.masked_fill(~present_B_, 0), given.lengths)
            tokens[modality] = _or_missing(encoded, present_B, self.missing[_slot(modality)])
        return {**tokens, **{name: self.branches[_slot(name)](tokens[name]).masked() for name in tokens if _slot(name) in self.branches}}

    def answer(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> dict[str, Tensor]:
        """Head → its output, of what `encode` gives."""
        fused = self.trunk(self.fusion(tokens, present_BM))
        return {name: self.head(name)(fused) for name in self.loss_weights}

    def head(self, name: str) -> Head:
        return cast(Head, self.heads[_slot(name)])

    def present_BM(self, batch: Batch) -> Tensor:
        """A batch's `present` in this model's order of modalities."""
        if batch.modalities == self.modalities:
            return batch.present
        return batch.present[:, [batch.modalities.index(modality) for modality in self.modalities]]

    def losses(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, WeightedSum]:
        """Head → loss, before its factor in `loss_weights`."""
        return {name: self.head(name).loss(outputs[name], batch.labels[name], batch.weight) for name in self.loss_weights}

    def loss_weight(self, batch: Batch) -> dict[str, Tensor]:
        """Head → weight of `losses`, which needs no outputs."""
        return {name: self.head(name).loss_weight_B(batch.labels[name], batch.weight).sum() for name in self.loss_weights}

    def metrics(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, dict[str, WeightedSum]]:
        """Head → metric → sums, for validation."""
        return {name: self.head(name).metrics(outputs[name], batch.labels[name], batch.weight) for name in self.loss_weights}

    def predict(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Head → probabilities over the classes, or the number in the label's own unit."""
        return {name: self.head(name).predict(outputs[name]) for name in self.loss_weights}


def build_model(config: ModelConfig, shapes: Mapping[str, Mapping[str, int]], labels: Mapping[str, Mapping[str, Any]]) -> FusedModel:
    """A model with random weights from torch's global generator.

    `shapes`: modality → its reader's shape. `labels`: label → its entry in shards.json. Raises InputError when an encoder does not
    suit its modality and LabelError when a head's label is missing or of the other kind.
    """
    for name in config.heads:
        if name not in labels:
            raise no_label(name, labels)
    return FusedModel(config, shapes, labels)


def no_label(name: str, labels: Mapping[str, Any]) -> LabelError:
    """The error of a head without its label, with the labels there are."""
    there = ", ".join(sorted(labels)) or "none"
    return LabelError(f"head {name!r} has no label of its name in the shards{closest(name, list(labels))}; labels there are: {there}")


def _or_missing(encoded: Tokens, present_B: Tensor, missing_D: Tensor) -> Tokens:
    first_T = torch.arange(encoded.mask_BT.shape[1], device=present_B.device) == 0
    values_BTD = torch.where(present_B[:, None, None], encoded.values_BTD, missing_D.to(encoded.values_BTD.dtype))
    return Tokens(values_BTD, torch.where(present_B[:, None], encoded.mask_BT, first_T)).masked()


def _trunk(config: Any, width: int) -> nn.Module:
    return cast(nn.Module, implementation(TRUNKS, config.kind)(config, width))


def _slot(name: str) -> str:
    """A name inside a ModuleDict: never one of its own attributes (a label may be called `type`) and without dots."""
    return f"{name.replace('.', '/')}_"
