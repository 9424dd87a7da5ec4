"""LoRA against its formula: the layer, its gradients, the merged weights, and every encoder that has linear layers.

Shape suffixes: B samples, R rank, I features in, O features out.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tasks.models.encoders import ENCODERS
from tasks.models.lora import DOWN, UP, LoraLinear, adapt, merged
from tests.tasks.models.encoders.example import encoder, values

LEFT_OUT = {"hf_image", "hf_text", "word_vectors"}
"""Kinds that begin with files."""


def layer(rank: int = 3, alpha: float = 6.0) -> LoraLinear:
    torch.manual_seed(0)
    part = nn.Sequential(nn.Linear(5, 4))
    assert adapt(part, rank, alpha, 0.0) == 1
    nn.init.normal_(part[0].lora_up_OR)
    assert isinstance(part[0], LoraLinear)
    return part[0]


def test_a_layer_gives_what_the_formula_says() -> None:
    given = layer()
    x_BI = torch.randn(7, 5)
    weight, bias, down, up = (
        each.detach().numpy().astype(np.float64) for each in (given.weight, given.bias, given.lora_down_RI, given.lora_up_OR)
    )
    expected = x_BI.numpy() @ (weight + 6.0 / 3 * up @ down).T + bias
    assert np.abs(given(x_BI).detach().numpy() - expected).max() < 1e-5


def test_a_step_moves_the_thin_matrices_by_the_closed_form_and_the_weights_not_at_all() -> None:
    given = layer()
    x_BI, wanted_BO = torch.randn(7, 5), torch.randn(7, 4)
    before = {name: value.detach().clone() for name, value in given.named_parameters()}
    optimizer = torch.optim.SGD([each for each in given.parameters() if each.requires_grad], lr=0.1)
    (given(x_BI) - wanted_BO).square().sum().backward()
    optimizer.step()
    x, down, up = x_BI.double().numpy(), before["lora_down_RI"].double().numpy(), before["lora_up_OR"].double().numpy()
    error_BO = x @ (before["weight"].double().numpy() + 2.0 * up @ down).T + before["bias"].double().numpy() - wanted_BO.double().numpy()
    gradient_OI = 2 * error_BO.T @ x  # of the whole weight; each thin matrix has it through the other, times alpha / rank
    expected = {"lora_up_OR": up - 0.1 * 2.0 * gradient_OI @ down.T, "lora_down_RI": down - 0.1 * 2.0 * up.T @ gradient_OI}
    for name, value in expected.items():
        assert np.abs(dict(given.named_parameters())[name].detach().numpy() - value).max() < 1e-4, name
    assert torch.equal(given.weight, before["weight"])
    assert torch.equal(given.bias, before["bias"])


@pytest.mark.parametrize("kind", sorted(set(ENCODERS) - LEFT_OUT))
def test_an_encoder_begins_as_it_was_and_gives_the_same_when_merged(kind: str) -> None:
    medium = ENCODERS[kind].config.media[0]
    whole, adapted, given = encoder(kind, medium), encoder(kind, medium), values(medium)
    plain = sum(type(module) is nn.Linear for module in whole.modules())
    assert adapt(adapted, 2, 4.0, 0.0) == plain
    begun = adapted.eval()(given.values, given.lengths).values_BTD
    assert (begun - whole(given.values, given.lengths).values_BTD).abs().max() < 1e-5  # torch's attention has another kernel when frozen
    for name, parameter in adapted.named_parameters():
        if name.endswith(UP):
            nn.init.normal_(parameter, std=0.1)
    for module in adapted.modules():
        if isinstance(module, LoraLinear):
            assert module.weight.requires_grad is False
    weights = merged(adapted.state_dict(), 4.0 / 2)
    assert not any(name.endswith((DOWN, UP)) for name in weights)
    whole.load_state_dict(weights)
    learned, saved = (each(given.values, given.lengths).values_BTD for each in (adapted, whole))
    assert (learned - saved).abs().max() < 1e-4
    assert not plain or (learned - begun).abs().max() > 1e-3


def test_dropout_touches_the_learned_product_alone() -> None:
    torch.manual_seed(0)
    part = nn.Sequential(nn.Linear(5, 4))
    adapt(part, 3, 6.0, 0.5)
    x_BI = torch.randn(7, 5)
    assert torch.equal(part.train()(x_BI), part.eval()(x_BI))
    nn.init.normal_(part[0].lora_up_OR)
    assert not torch.equal(part.train()(x_BI), part.eval()(x_BI))
