"""Fusions and trunks can be exported once and then take batches of any size.

Shape suffixes: B samples, M modalities, T tokens, D width.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from tasks.models.fusions import FUSIONS
from tasks.models.tokens import Tokens
from tasks.models.trunks import TRUNKS
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
