"""Gradient checkpointing: less is kept for the backward pass, and nothing else changes, to the last bit."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tasks.models.config import ModelConfig
from tasks.models.encoders import ENCODERS
from tasks.models.fused import FusedModel, build_model
from tasks.models.fusions import FUSIONS
from tasks.models.recompute import recompute_layers
from tests.tasks.models import example
from tests.tasks.models.encoders import example as media

KINDS = [kind for kind in ENCODERS if kind not in ("hugging_face_image", "hugging_face_text", "word_vectors") and not kind.startswith("hf")]
DEEP: dict[str, Any] = {
    "encoders": {"image": {"kind": "resnet"}, "text": {"kind": "transformer", "layers": 3}, "audio": {"kind": "conformer", "layers": 2}},
    "fusion": "sequence",
    "trunk": {"kind": "transformer", "layers": 3},
}

LIGHT: dict[str, Any] = {"image": {"kind": "cnn", "channels": [8, 8]}, "text": {"kind": "transformer", "layers": 2}}


def saved_bytes(step: Any) -> int:
    """Bytes of the storages that autograd keeps between the forward and the backward pass, parameters left out."""
    storages: dict[int, int] = {}

    def kept(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(kept, lambda tensor: tensor):
        step()
    return sum(storages.values())


def trained(model: FusedModel, seed: int = 3) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor | None], Tensor]:
    """State, gradients and the next random number after two forward and backward passes in training mode."""
    torch.manual_seed(seed)
    model.train()
    batch = example.batch()
    for _ in range(2):
        losses = model.losses(model.outputs(batch.inputs, model.present_BM(batch)), batch)
        sum(loss.total for loss in losses.values()).backward()
    return model.state_dict(), {name: parameter.grad for name, parameter in model.named_parameters()}, torch.rand(1)


def with_dropout(**changes: Any) -> FusedModel:
    torch.manual_seed(1)
    heads = {"digit": "classification", "height": "regression"}
    config = ModelConfig.model_validate({**DEEP, "heads": heads, "width": 16, **changes})
    return build_model(config, example.SHAPES, example.LABELS)


def equal(one: Mapping[str, Tensor | None], other: Mapping[str, Tensor | None]) -> bool:
    return one.keys() == other.keys() and all(
        (mine is None and theirs is None) or (mine is not None and theirs is not None and torch.equal(mine, theirs))
        for mine, theirs in ((one[name], other[name]) for name in one)
    )


@pytest.mark.parametrize(
    "changes", [{}, {"placement": "hybrid"}, *({"encoders": LIGHT, "fusion": kind, "trunk": "mlp"} for kind in FUSIONS)], ids=str
)
def test_gradients_statistics_and_random_numbers_are_the_same_to_the_last_bit(changes: dict[str, Any]) -> None:
    plain, again = with_dropout(**changes), with_dropout(**changes)
    assert recompute_layers(again) >= 4
    for one, other in zip(trained(plain), trained(again), strict=True):
        assert torch.equal(one, other) if isinstance(one, Tensor) else equal(one, other)


@pytest.mark.parametrize(("kind", "given"), [*((kind, {}) for kind in KINDS), ("cnn", {"norm": "batch"})])
def test_every_encoder_can_be_computed_again(kind: str, given: dict[str, Any]) -> None:
    medium = ENCODERS[kind].config.media[0]
    found = []
    for recomputed in (False, True):
        encoder = media.encoder(kind, medium, **given).train()
        model = with_dropout()
        model.encoders["image"] = encoder
        if recomputed:
            recompute_layers(model)
        torch.manual_seed(0)
        batch = media.values(medium)
        encoder(batch.values, batch.lengths).values_BTD.square().sum().backward()
        found.append((encoder.state_dict(), {name: parameter.grad for name, parameter in encoder.named_parameters()}))
    assert equal(found[0][0], found[1][0])
    assert equal(found[0][1], found[1][1])


def test_it_keeps_less_for_the_backward_pass() -> None:
    batch = example.batch(size=16)
    kept = []
    for recomputed in (False, True):
        model = with_dropout().train()
        if recomputed:
            recompute_layers(model)
        kept.append(saved_bytes(lambda model=model: model.outputs(batch.inputs, model.present_BM(batch))))
    assert kept[1] < 0.35 * kept[0]


def test_a_layer_is_a_block_and_a_part_without_blocks_is_one_layer() -> None:
    model = with_dropout(encoders={"text": {"kind": "transformer", "layers": 3}}, fusion="mean", trunk={"kind": "mlp", "layers": 2})
    assert recompute_layers(model) == 3 + 1 + 2


def test_nothing_is_computed_twice_where_there_is_no_gradient() -> None:
    model = with_dropout()
    recompute_layers(model)
    calls = []
    model.trunk.blocks[0].register_forward_hook(lambda *_: calls.append(1))
    batch = example.batch()
    with torch.no_grad():
        model.train().outputs(batch.inputs, model.present_BM(batch))
    model.eval().outputs(batch.inputs, model.present_BM(batch)).heads["height"].sum().backward()
    assert len(calls) == 2


def test_a_copy_computes_its_own_layers_again() -> None:
    model = with_dropout()
    recompute_layers(model)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    _, gradients, _ = trained(other)
    assert all(parameter.grad is None for parameter in model.parameters())
    _, expected, _ = trained(with_dropout())
    assert equal(gradients, expected)


def test_what_torch_compiles_next_keeps_the_activations_of_batch_norm() -> None:
    encoders = {"image": {"kind": "cnn", "channels": [8, 8], "norm": "batch"}, "text": {"kind": "transformer", "layers": 2}}
    counts = [recompute_layers(with_dropout(encoders=encoders), compiled=compiled) for compiled in (False, True)]
    assert counts[0] - counts[1] == 2
