"""Fusions, trunks and whole models can be exported once and then take batches of any size, with any modality missing.

Shape suffixes: B samples, M modalities, T tokens, D width.
"""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from tasks.contracts import ModalityBatch
from tasks.models.fused import build_model
from tasks.models.fusions import FUSIONS
from tasks.models.tokens import Tokens
from tasks.models.trunks import TRUNKS
from tests.tasks.models.example import LABELS, SHAPES, config, inputs
from tests.tasks.models.fusing import MODALITIES, WIDTH, all_present, fusion_of, tokens
from tests.tasks.models.test_trunks import trunk_of


class All(nn.Module):
    """Every part beside the others, so that one export shows them all."""

    def __init__(self) -> None:
        super().__init__()
        self.fusions = nn.ModuleList(fusion_of(kind) for kind in FUSIONS)
        self.trunks = nn.ModuleList(trunk_of(kind) for kind in TRUNKS)

    def forward(self, values: list[Tensor], masks: list[Tensor], present_BM: Tensor) -> list[Tensor]:
        given = {name: Tokens(*pair) for name, pair in zip(MODALITIES, zip(values, masks, strict=True), strict=True)}
        fused = [fusion(given, present_BM).mean_BD() for fusion in self.fusions]
        return [*fused, *(trunk(given["audio"]).mean_BD() for trunk in self.trunks)]


def arguments(size: int) -> tuple[list[Tensor], list[Tensor], Tensor]:
    given = tokens(size)
    return [given[name].values_BTD for name in MODALITIES], [given[name].mask_BT for name in MODALITIES], all_present(size)


@pytest.mark.filterwarnings("ignore:The tensor attributes .*_flat_weights")  # torch's own, of its recurrent layers
def test_fusions_and_trunks_are_exported_for_batches_of_any_size() -> None:
    any_size = {0: Dim("B", min=1, max=64)}
    model = All().eval()
    exported = torch.export.export(model, arguments(4), dynamic_shapes=([any_size] * 3, [any_size] * 3, any_size)).module()
    for size in (1, 7):
        for expected, found in zip(model(*arguments(size)), exported(*arguments(size)), strict=True):
            assert found.shape == (size, WIDTH)
            torch.testing.assert_close(found, expected)


class Whole(nn.Module):
    """A fused model as tensors see it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.model = build_model(config(), SHAPES, LABELS)

    def forward(self, values: dict[str, Tensor], lengths: dict[str, Tensor], present_BM: Tensor) -> dict[str, Tensor]:
        given = {name: ModalityBatch(values[name], lengths.get(name)) for name in self.model.modalities}
        return self.model.predict(self.model(given, present_BM))


def of_model(size: int, present: list[bool], spoiled: float = 0.0) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """`spoiled` stands where a modality is missing."""
    given = inputs(size)
    values = {
        name: given[name].values if there or not given[name].values.is_floating_point() else torch.full_like(given[name].values, spoiled)
        for name, there in zip(given, present, strict=True)
    }
    lengths = {name: each.lengths for name, each in given.items() if each.lengths is not None}
    return values, lengths, torch.tensor([present] * size)


@pytest.mark.filterwarnings("ignore:The tensor attributes .*_flat_weights")  # torch's own, of its recurrent layers
def test_an_exported_model_answers_for_a_missing_modality_as_the_model_does() -> None:
    any_size = {0: Dim("B", min=1, max=64)}
    model = Whole().eval()
    example = of_model(4, [True, True, True])
    shapes = (dict.fromkeys(example[0], any_size), dict.fromkeys(example[1], any_size), any_size)
    exported = torch.export.export(model, example, dynamic_shapes=shapes).module()
    answers = []
    for present in itertools.product([True, False], repeat=3):
        for size in (1, 7):
            expected = model(*of_model(size, list(present)))
            found = exported(*of_model(size, list(present), spoiled=torch.nan))
            for head, answer in expected.items():
                torch.testing.assert_close(found[head], answer)
        answers.append(expected["digit"])
    assert all(not torch.equal(one, other) for one, other in itertools.combinations(answers, 2)), "each subset has an answer of its own"
