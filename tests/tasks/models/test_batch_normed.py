"""Batch norm sees what is there: hidden and missing pictures enter no statistics, and a batch with none or one of them works.

Shape suffixes: B samples, M modalities.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from tasks.contracts import ModalityBatch
from tasks.models.fused import FusedModel, build_model
from tasks.models.recompute import recompute_layers
from tests.tasks.models import example

SIZE = 6


def model(**image: Any) -> FusedModel:
    torch.manual_seed(0)
    given = {
        "image": {"kind": "cnn", "channels": [8, 8], "norm": "batch", "dropout": 0.0, **image},
        "text": {"kind": "gru", "dropout": 0.0},
    }
    return build_model(example.config(encoders=given), example.SHAPES, example.LABELS).train()


def present(count: int) -> torch.Tensor:
    """All texts, and the first pictures."""
    present_BM = torch.ones(SIZE, 2, dtype=torch.bool)
    present_BM[count:, 0] = False
    return present_BM


def tokens(fused: FusedModel, size: int, present_BM: torch.Tensor) -> torch.Tensor:
    given = example.inputs(SIZE)
    first = {name: ModalityBatch(each.values[:size], None if each.lengths is None else each.lengths[:size]) for name, each in given.items()}
    return fused.encode(first, present_BM)["image"].values_BTD


def statistics(fused: FusedModel) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in fused.encoders["image_"].named_buffers()}


@pytest.mark.parametrize("recomputed", [False, True])
def test_pictures_that_are_not_there_are_in_no_statistics(recomputed: bool) -> None:
    some, alone = model(), model()
    if recomputed:
        recompute_layers(some)
    found, expected = tokens(some, SIZE, present(3)), tokens(alone, 3, present(3)[:3])
    torch.testing.assert_close(found[:3], expected)
    found.square().sum().backward()
    before = statistics(alone)
    assert all(torch.allclose(value, before[name]) for name, value in statistics(some).items())
    assert all(parameter.grad is not None for parameter in some.encoders["image_"].parameters())


def test_with_all_of_them_it_is_the_encoder_on_the_batch_to_the_last_bit() -> None:
    whole = model()
    encoder = copy.deepcopy(whole.encoders["image_"])
    assert torch.equal(tokens(whole, SIZE, present(SIZE)), encoder(example.inputs(SIZE)["image"].values).values_BTD)


@pytest.mark.parametrize("kind", ["cnn", "tests.tasks.training.own:Normed"])
@pytest.mark.parametrize("recomputed", [False, True])
@pytest.mark.parametrize("count", [0, 1])
def test_a_batch_with_none_or_one_moves_no_statistics_and_reaches_every_weight(kind: str, recomputed: bool, count: int) -> None:
    if kind == "cnn":
        few = model()
    else:
        torch.manual_seed(0)
        config = example.config(encoders={"image": {"kind": kind}, "text": {"kind": "gru", "dropout": 0.0}})
        few = build_model(config, example.SHAPES, example.LABELS).train()
    if recomputed:
        recompute_layers(few)
    before = statistics(few)
    tokens(few, SIZE, present(count)).square().sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in statistics(few).items())
    assert all(parameter.grad is not None for parameter in few.encoders["image_"].parameters())
    assert all(module.training for module in few.modules())


def test_a_frozen_one_is_called_on_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    still = model()
    still.encoders["image_"].eval()
    sizes: list[int] = []
    still.encoders["image_"].register_forward_hook(lambda module, given, output: sizes.append(len(given[0])))
    tokens(still, SIZE, present(2))
    assert sizes == [SIZE]
