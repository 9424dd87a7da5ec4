"""Every entry of every registry of parts keeps the promises that the fused model counts on; encoders, heads, losses and policies have
files of their own."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tasks.models.alignments import ALIGNMENTS
from tasks.models.encoders import ENCODERS
from tasks.models.fused import build_model
from tasks.models.fusions import FUSIONS
from tasks.models.heads import HEADS
from tasks.models.objectives import OBJECTIVES
from tasks.models.policies import POLICIES
from tasks.models.tokens import Tokens
from tasks.models.trunks import TRUNKS
from tasks.registry import Registry, identity, implementation
from tests.tasks.models.example import LABELS, SHAPES, config, inputs

WIDTH = 16
REGISTRIES = {
    "encoders": ENCODERS,
    "fusions": FUSIONS,
    "trunks": TRUNKS,
    "heads": HEADS,
    "objectives": OBJECTIVES,
    "alignments": ALIGNMENTS,
    "policies": POLICIES,
}


def tokens(seed: int = 0, size: int = 4) -> dict[str, Tokens]:
    """Tokens of three modalities with 2, 4 and 5 places, the last place of each masked."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for modality, count in (("audio", 5), ("image", 2), ("text", 4)):
        mask_BT = torch.ones(size, count, dtype=torch.bool)
        mask_BT[:, -1] = False
        found[modality] = Tokens(torch.randn(size, count, WIDTH, generator=generator), mask_BT).masked()
    return found


def fusion_of(kind: str) -> Any:
    torch.manual_seed(0)
    return implementation(FUSIONS, kind)(FUSIONS[kind].config(), ("audio", "image", "text"), WIDTH).eval()


@pytest.mark.parametrize("family", REGISTRIES)
def test_each_config_is_tagged_by_its_kind(family: str) -> None:
    registry: Registry = REGISTRIES[family]
    for kind, entry in registry.items():
        assert entry.config.model_fields["kind"].default == kind
        assert identity(registry, kind) == {"kind": kind, "version": entry.version}


@pytest.mark.parametrize("kind", FUSIONS)
def test_masked_tokens_have_no_influence_on_a_fusion(kind: str) -> None:
    fusion, present_BM = fusion_of(kind), torch.ones(4, 3, dtype=torch.bool)
    expected = fusion(tokens(), present_BM)
    changed = tokens()
    for modality, (values_BTD, mask_BT) in changed.items():
        changed[modality] = Tokens(torch.where(mask_BT[..., None], values_BTD, 5.0), mask_BT)
    found = fusion(changed, present_BM)
    torch.testing.assert_close(found.values_BTD, expected.values_BTD)
    assert not torch.equal(fusion(tokens(seed=1), present_BM).values_BTD, expected.values_BTD)


@pytest.mark.parametrize("kind", FUSIONS)
def test_a_fusion_takes_its_modalities_in_any_order_of_keys(kind: str) -> None:
    fusion, present_BM = fusion_of(kind), torch.ones(4, 3, dtype=torch.bool)
    turned = dict(reversed(tokens().items()))
    torch.testing.assert_close(fusion(turned, present_BM).values_BTD, fusion(tokens(), present_BM).values_BTD)


@pytest.mark.parametrize("kind", FUSIONS)
def test_a_fusion_gives_every_sample_a_valid_token_of_the_width(kind: str) -> None:
    fused = fusion_of(kind)(tokens(), torch.ones(4, 3, dtype=torch.bool))
    assert fused.values_BTD.shape == (4, fused.mask_BT.shape[1], WIDTH)
    assert fused.mask_BT.any(1).all()


@pytest.mark.parametrize("kind", TRUNKS)
def test_a_trunk_keeps_width_and_does_not_let_masked_tokens_through(kind: str) -> None:
    torch.manual_seed(0)
    trunk = implementation(TRUNKS, kind)(TRUNKS[kind].config(), WIDTH).eval()
    given = tokens()["audio"]
    changed = Tokens(torch.where(given.mask_BT[..., None], given.values_BTD, 5.0), given.mask_BT)
    found = trunk(given)
    assert found.values_BTD.shape == given.values_BTD.shape
    torch.testing.assert_close(trunk(changed).masked().values_BTD, found.masked().values_BTD)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_gradients_reach_every_parameter_whatever_is_missing(fusion: str) -> None:
    torch.manual_seed(0)
    model = build_model(config(fusion={"kind": fusion, "dropout": 0.0}), SHAPES, LABELS)
    for present in ([[True, True, True], [True, False, True]], [[True, False, False], [True, False, False]]):
        model.zero_grad()
        outputs = model(inputs(2), torch.tensor(present))
        (outputs["digit"].square().sum() + outputs["height"].square().sum()).backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None)
