"""The head that embeds: towers that know nothing of each other, losses over pairs, and R@1 inside a batch.

Shape suffixes: B samples, M modalities, E numbers of an embedding.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from tasks.models.alignments import ALIGNMENTS
from tasks.models.contracts import Features, Present
from tasks.models.fused import FusedModel, build_model
from tasks.models.heads.config_retrieval import RetrievalConfig, in_batch
from tasks.models.heads.retrieval import Embedded
from tasks.models.tokens import Tokens
from tests.tasks.models.example import LABELS, MODALITIES, SHAPES, batch, config, inputs
from tests.tasks.models.heading import WIDTH, features, head_of

FINDS_PAIRS = ("contrastive", "siglip", "margin", "cca")
BETWEEN = ["text", "image", "audio"]


def model_with(**settings: Any) -> FusedModel:
    torch.manual_seed(0)
    heads = {"found": {"kind": "retrieval", "between": BETWEEN, "dim": 8, **settings}}
    return build_model(config(heads=heads), SHAPES, {**LABELS, "found": {"kind": "none"}}).eval()


def everything(size: int) -> Present:
    return Present(torch.ones(size, 3, dtype=torch.bool), MODALITIES)


def test_an_embedding_has_unit_length_in_the_order_of_the_names_and_is_zero_where_there_is_nothing() -> None:
    head, given = head_of("retrieval"), features()
    given.present_BM[1, 0] = given.present_BM[3, 2] = False
    found_BME = head.predict(head(given))
    assert found_BME.shape == (4, 3, 8)
    torch.testing.assert_close(found_BME.norm(dim=-1), given.present_BM.float())
    image_BE = head.towers.projections["image_"](given.towers["image"].mean_BD())
    torch.testing.assert_close(found_BME[:, 1], F.normalize(image_BE, dim=-1))


def test_an_embedding_knows_nothing_of_the_other_modalities_nor_of_the_fusion() -> None:
    head, given, other = head_of("retrieval"), features(), features(seed=1)
    changed = given._replace(towers={**other.towers, "image": given.towers["image"]}, fused=other.fused)
    assert torch.equal(head.predict(head(changed))[:, 1], head.predict(head(given))[:, 1])
    assert not torch.allclose(head.predict(head(changed))[:, 0], head.predict(head(given))[:, 0])


def test_the_loss_is_the_mean_of_the_alignment_over_the_pairs_that_samples_have() -> None:
    head, given = head_of("retrieval"), features(size=6)
    present = everything(6)
    present.present_BM[0, 1] = present.present_BM[5, 0] = present.present_BM[5, 1] = False
    weight_B = torch.tensor([1.0, 1, 0, 1, 1, 1])
    total, weight = head.loss(head(given), present, weight_B)
    expected, count = 0.0, 0
    for one, other in itertools.combinations(range(3), 2):
        rows = torch.nonzero(present.present_BM[:, one] & present.present_BM[:, other] & (weight_B > 0)).squeeze(1)
        values_BME = head(given).values_BME[rows]
        expected += float(head.alignment(values_BME[:, one], values_BME[:, other], torch.ones(len(rows))).total.detach())
        count += len(rows)
    assert float(total.detach()) == pytest.approx(expected, rel=1e-5)
    assert weight == count == head.loss_weight_B(present, weight_B).sum()


def test_r1_in_a_batch_is_counted_both_ways_among_the_samples_that_have_both() -> None:
    head, size = head_of("retrieval"), 30
    generator = torch.Generator().manual_seed(0)
    values_BME = torch.randn(size, 1, 8, generator=generator) + 0.9 * torch.randn(size, 3, 8, generator=generator)
    present = everything(size)
    present.present_BM[:5, 0] = False
    weight_B = (torch.arange(size) < 26).float()
    metrics = head.metrics(Embedded(values_BME, present.present_BM), present, weight_B)
    assert ("loss", *metrics) == RetrievalConfig(between=BETWEEN).measures
    for query, found in itertools.permutations(range(3), 2):
        rows = [row for row in range(26) if row >= 5 or 0 not in (query, found)]
        unit = F.normalize(values_BME[rows], dim=-1).numpy()
        hits = (unit[:, query] @ unit[:, found].T).argmax(1) == np.arange(len(rows))
        total, weight = metrics[in_batch(MODALITIES[query], MODALITIES[found])]
        assert weight == len(rows)
        assert float(total) == hits.sum()
        assert 0.2 < hits.mean() < 1


def test_r1_of_embeddings_that_are_all_the_same_is_chance() -> None:
    head = head_of("retrieval")
    metrics = head.metrics(Embedded(torch.ones(5, 3, 8), torch.ones(5, 3, dtype=torch.bool)), everything(5), torch.ones(5))
    for total, weight in metrics.values():
        assert float(total / weight) == pytest.approx(1 / 5)


@pytest.mark.parametrize("kind", FINDS_PAIRS)
def test_what_an_alignment_learns_finds_partners_that_it_has_never_seen(kind: str) -> None:
    """Two modalities see the same hidden vector, each turned in a way of its own."""
    torch.manual_seed(0)
    turned = torch.linalg.qr(torch.randn(2, WIDTH, WIDTH))[0]

    def seen(size: int) -> Features:
        hidden_BD = torch.randn(size, WIDTH)
        towers = {
            name: Tokens((hidden_BD @ turn)[:, None], torch.ones(size, 1, dtype=torch.bool))
            for name, turn in zip("ab", turned, strict=True)
        }
        return Features(towers, towers["a"], torch.ones(size, 2, dtype=torch.bool), ("a", "b"))

    head = head_of("retrieval", between=["a", "b"], dim=8, loss={"kind": kind}).train()
    present, weight_B = Present(torch.ones(64, 2, dtype=torch.bool), ("a", "b")), torch.ones(64)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.02)
    for _ in range(150):
        total, weight = head.loss(head(seen(64)), present, weight_B)
        optimizer.zero_grad()
        (total / weight).backward()
        optimizer.step()
    head.eval()
    with torch.no_grad():
        total, weight = head.metrics(head(seen(64)), present, weight_B)[in_batch("a", "b")]
    assert float(total / weight) > 0.9


@pytest.mark.parametrize("kind", ALIGNMENTS)
def test_gradients_reach_every_encoder_and_every_parameter_has_one(kind: str) -> None:
    fused, given = model_with(loss=kind).train(), batch(6)
    outputs = fused.outputs(given.inputs, given.present)
    torch.autograd.backward(fused.losses(outputs, given)["found"].total)
    for modality in MODALITIES:
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in fused.encoders[f"{modality}_"].parameters()), modality
    without = [name for name, parameter in fused.named_parameters() if parameter.grad is None]
    assert without == []
    fusion = [parameter.grad.abs().sum() for parameter in fused.fusion.parameters() if parameter.grad is not None]
    assert float(torch.stack(fusion).sum()) == 0


@pytest.mark.parametrize("kind", ALIGNMENTS)
def test_a_batch_of_one_and_one_modality_alone_are_embedded_and_cost_a_number(kind: str) -> None:
    fused, usual = model_with(loss=kind).train(), batch(6)
    fused.losses(fused.outputs(usual.inputs, usual.present), usual)  # what CCA compares in is learned from batches
    for size, columns in ((1, [True, True, True]), (3, [False, True, False])):
        given = batch(size)
        given.present[:] = torch.tensor(columns)
        outputs = fused.outputs(given.inputs, given.present)
        total, weight = fused.losses(outputs, given)["found"]
        assert total.isfinite()
        assert weight == fused.loss_weight(given)["found"] == (3 if size == 1 else 0)
        embedded_BME = fused.predict(outputs.heads)["found"]
        torch.testing.assert_close(embedded_BME.norm(dim=-1), given.present.float())


@pytest.mark.parametrize("kind", ALIGNMENTS)
def test_a_saved_head_gives_the_same_embeddings_bit_for_bit(kind: str) -> None:
    fused, given = model_with(loss=kind).train(), batch(6)
    torch.autograd.backward(fused.losses(fused.outputs(given.inputs, given.present), given)["found"].total)
    saved = {name: value.clone() for name, value in fused.state_dict().items()}
    other = model_with(loss=kind)
    torch.nn.init.zeros_(next(other.parameters()))
    other.load_state_dict(saved)
    present_BM = torch.ones(4, 3, dtype=torch.bool)
    with torch.inference_mode():
        one, two = (each.eval().predict(each(inputs(), present_BM))["found"] for each in (fused, other))
    assert torch.equal(one, two)


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(ValidationError, match="'text' stands there more than once; name each modality once"):
        RetrievalConfig(between=("text", "image", "text"))
    with pytest.raises(ValidationError, match="at least 2 items"):
        RetrievalConfig(between=("text",))
