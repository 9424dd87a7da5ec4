"""Spans: overlap and the loss of ends by closed forms, suppression beside the plain definition, tokens to spans, and learning."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.ops import distance_box_iou_loss, nms

from tasks.models.contracts import Features
from tasks.models.heads.config_labels import LocalisationConfig
from tasks.models.heads.focal import binary_focal
from tasks.models.heads.localisation import Localisation, Located
from tasks.models.heads.spans import OUTSIDE, UNKNOWN, assign, distance_loss, matches, overlap, suppress
from tasks.models.tokens import Tokens

NAN = torch.nan
LABEL = {"kind": "spans", "classes": ["low", "high"], "token_s": None}


def head_of(**settings: Any) -> Localisation:
    torch.manual_seed(0)
    return Localisation(LocalisationConfig(of="audio", **settings), "events", LABEL, 16)


def some_spans(count: int, seed: int = 0) -> Tensor:
    """Class, start, end and score, the best first."""
    generator = torch.Generator().manual_seed(seed)
    start = torch.rand(count, generator=generator) * 10
    end = start + 0.1 + torch.rand(count, generator=generator) * 4
    class_ = torch.randint(0, 3, (count,), generator=generator).float()
    return torch.stack([class_, start, end, torch.rand(count, generator=generator).sort(descending=True).values], 1)


def boxes(start: Tensor, end: Tensor) -> Tensor:
    """The spans as boxes of height 1."""
    return torch.stack([start, torch.zeros_like(start), end, torch.ones_like(end)], -1)


def test_overlap_is_intersection_over_union() -> None:
    one, other = torch.tensor([[0.0, 4], [0, 4], [0, 1], [2, 2]]), torch.tensor([[2.0, 6], [0, 4], [3, 4], [2, 2]])
    assert overlap(*one.T, *other.T).tolist() == pytest.approx([1 / 3, 1, 0, 0])


@pytest.mark.parametrize("most", [0.0, 0.3, 0.7, 1.0])
def test_suppression_equals_torchvisions_and_the_plain_definition(most: float) -> None:
    spans = some_spans(60)
    kept: list[Tensor] = []
    for span in spans:
        rivals = [float(overlap(span[1], span[2], other[1], other[2])) for other in kept if other[0] == span[0]]
        if all(rival <= most for rival in rivals):
            kept.append(span)
    found = spans[suppress(spans, most)]
    torch.testing.assert_close(found, torch.stack(kept))
    apart = spans[:, 1:3] + 100 * spans[:, :1]  # classes where they cannot meet
    theirs = nms(boxes(apart[:, 0], apart[:, 1]), spans[:, 3], most)
    torch.testing.assert_close(found, spans[theirs.sort().values])


def test_suppression_of_nothing_keeps_nothing() -> None:
    assert suppress(torch.zeros(0, 4), 0.5).tolist() == []


def test_the_loss_of_ends_is_1_less_diou() -> None:
    one, other = some_spans(20, 1), some_spans(20, 2)
    iou = overlap(one[:, 1], one[:, 2], other[:, 1], other[:, 2])
    outer = torch.maximum(one[:, 2], other[:, 2]) - torch.minimum(one[:, 1], other[:, 1])
    middles = (one[:, 1:3].mean(1) - other[:, 1:3].mean(1)).square()
    found = distance_loss(one[:, 1], one[:, 2], other[:, 1], other[:, 2])
    torch.testing.assert_close(found, 1 - iou + middles / outer.square())
    # torchvision's is of boxes, whose diagonal counts the height, 1: as flat as can be, the two are one
    flat = 1e4 * torch.stack([one[:, 1], one[:, 2], other[:, 1], other[:, 2]])
    torch.testing.assert_close(found, distance_box_iou_loss(boxes(flat[0], flat[1]), boxes(flat[2], flat[3])), atol=1e-4, rtol=1e-4)


def test_a_token_lies_in_the_shortest_span_around_its_middle() -> None:
    spans_BS3 = torch.tensor([[[0.0, 1, 6], [1, 2, 4], [-1, 6, 8], [0, 8.6, 8.9], [NAN, NAN, NAN]]])
    mask_BT = torch.ones(1, 10, dtype=torch.bool)
    mask_BT[0, 9] = False
    lies = assign(spans_BS3, mask_BT, torch.arange(10)[None] + 0.5)
    assert lies.class_BT.tolist() == [[OUTSIDE, 0, 1, 1, 0, 0, UNKNOWN, UNKNOWN, 0, OUTSIDE]]
    assert lies.start_BT[0, [1, 2, 8]].tolist() == pytest.approx([1, 2, 8.6])
    assert lies.end_BT[0, [1, 2, 8]].tolist() == pytest.approx([6, 4, 8.9])


def test_without_spans_or_behind_the_end_no_token_lies_in_any() -> None:
    spans_BS3 = torch.tensor([[[-1.0, 0, 0]], [[NAN, NAN, NAN]], [[1, 7.0, 9.0]]])
    lies = assign(spans_BS3, torch.ones(3, 4, dtype=torch.bool), torch.arange(4)[None].expand(3, -1) + 0.5)
    assert (lies.class_BT == OUTSIDE).all()


def test_matches_give_each_true_span_to_the_best_score_that_fits() -> None:
    true = torch.tensor([[0.0, 0, 2], [1, 4, 6], [-1, 7, 9], [NAN, NAN, NAN]])
    found = torch.tensor([[0.0, 0, 2, 0.5], [0, 0, 1.9, 0.9], [1, 4, 4.5, 0.8], [0, 4, 6, 0.7], [-1, -1, -1, -1]])
    assert matches(found, true) == (1, 4, 2)
    assert matches(found[:0], true) == (0, 0, 2)
    assert matches(found, true[2:]) == (0, 4, 0)


def located(logits_BTK: Tensor, start: list[float], end: list[float], count: int) -> Located:
    mask_BT = (torch.arange(len(start)) < count)[None]
    place_BT = mask_BT.cumsum(1) - 0.5
    return Located(logits_BTK, torch.tensor([start]), torch.tensor([end]), place_BT, mask_BT)


@pytest.mark.parametrize("boundary", ["iou", "l1"])
def test_the_loss_is_its_formula(boundary: Any) -> None:
    head = head_of(boundary=boundary, boundary_weight=2.0)
    logits_BTK = torch.randn(1, 5, 2, generator=torch.Generator().manual_seed(3))
    output = located(logits_BTK, [0.0, 0.5, 1, 2, 0], [2.0, 2.5, 3, 3, 0], 4)
    spans_BS3 = torch.tensor([[[1, 0.25, 0.75]]])  # of four tokens: the second and the third
    target_TK = torch.tensor([[0.0, 0], [0, 1], [0, 1], [0, 0]])
    alpha_TK = torch.where(target_TK > 0, 0.25, 0.75)
    scores = (alpha_TK * binary_focal(logits_BTK[0, :4], target_TK, 2.0)).sum()
    if boundary == "iou":
        ends = sum(1 - shared / union + (apart / outer) ** 2 for shared, union, apart, outer in ((1.5, 2.5, 0.5, 2.5), (2, 2, 0, 2)))
    else:
        ends = (0.5 + 0.5) / 2 + 0.0
    found = head.loss(output, spans_BS3, torch.tensor([3.0]))
    torch.testing.assert_close(found.total, 3 * (scores + 2 * ends) / 2)
    assert found.weight == 3


def test_a_token_in_a_span_of_a_class_that_training_lacks_counts_neither_way() -> None:
    head, logits_BTK = head_of(), torch.zeros(1, 2, 2)
    spans_BS3 = torch.tensor([[[-1, 0.0, 0.5]]])
    expected = head.loss(located(logits_BTK, [0.0, 1], [1.0, 2], 2), spans_BS3, torch.ones(1))
    logits_BTK[0, 0] = 5
    assert head.loss(located(logits_BTK, [0.0, 1], [1.0, 2], 2), spans_BS3, torch.ones(1)) == expected


@pytest.mark.parametrize(("token_s", "scale"), [(None, 0.25), (0.1, 0.1)])
def test_what_is_given_is_in_the_labels_unit_the_best_first(token_s: float | None, scale: float) -> None:
    logits_BTK = torch.tensor([[[-9.0, -9], [-9, 2.0], [-9, 3.0], [1.0, -9], [9, 9]]])
    output = located(logits_BTK, [0.0, 0.9, 1, 3, 0], [2.0, 3.1, 3, 7, 9], 4)
    found = head_of(token_s=token_s, max_spans=3).predict(output)
    expected = [[1, scale, 3 * scale, 1 / (1 + math.exp(-3))], [0, 3 * scale, 4 * scale, 1 / (1 + math.exp(-1))], [-1] * 4]
    torch.testing.assert_close(found, torch.tensor([expected]))


def test_a_sample_that_lacks_the_modality_has_no_spans_and_adds_nothing() -> None:
    tokens = Tokens(torch.randn(2, 1, 16), torch.ones(2, 1, dtype=torch.bool))
    given = Features({"audio": tokens}, tokens, torch.tensor([[False], [True]]), ("audio",))
    head = head_of(score_threshold=0.0)
    output, spans_BS3 = head(given), torch.tensor([[[0, 0.0, 1.0]], [[0, 0.0, 1.0]]])
    assert (head.predict(output)[0] == -1).all()
    assert head.predict(output)[1, 0, 3] > 0
    assert head.loss(output, spans_BS3, torch.tensor([1.0, 0.0])) == (0.0, 1.0)


def test_the_head_learns_where_spans_are() -> None:
    head = head_of(layers=1)
    generator = torch.Generator().manual_seed(5)
    code_KD = torch.randn(3, 16, generator=generator)

    def drawn(size: int) -> tuple[Features, Tensor]:
        start_B = torch.randint(0, 10, (size,), generator=generator)
        end_B = start_B + torch.randint(2, 7, (size,), generator=generator)
        class_B = torch.randint(0, 2, (size,), generator=generator)
        inside_BT = (torch.arange(16) >= start_B[:, None]) & (torch.arange(16) < end_B[:, None])
        values_BTD = code_KD[torch.where(inside_BT, class_B[:, None], 2)] + 0.3 * torch.randn(size, 16, 16, generator=generator)
        tokens = Tokens(values_BTD, torch.ones(size, 16, dtype=torch.bool))
        spans_BS3 = torch.stack([class_B, start_B / 16, end_B / 16], 1)[:, None]
        return Features({"audio": tokens}, tokens, torch.ones(size, 1, dtype=torch.bool), ("audio",)), spans_BS3

    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-2)
    for _ in range(150):
        given, spans_BS3 = drawn(16)
        loss = head.loss(head(given), spans_BS3, torch.ones(16))
        (loss.total / loss.weight).backward()
        optimizer.step()
        optimizer.zero_grad()
    given, spans_BS3 = drawn(64)
    right, of = head.metrics(head.eval()(given), spans_BS3, torch.ones(64))["f1"]
    assert right / of > 0.8
