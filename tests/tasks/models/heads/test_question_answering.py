"""The answer depends on the question and on what it is about, and learning finds which of the others' tokens is asked for."""

from __future__ import annotations

import torch
from torch import Tensor

from tasks.models.contracts import Features
from tasks.models.heads.config_labels import QuestionAnsweringConfig
from tasks.models.heads.question_answering import QuestionAnswering
from tasks.models.tokens import Tokens, single
from tests.tasks.models.example import LABELS

WIDTH = 16


def head_of() -> QuestionAnswering:
    torch.manual_seed(0)
    return QuestionAnswering(QuestionAnsweringConfig(dropout=0.0), "answer", LABELS["digit"], WIDTH)


def asked(size: int, seed: int) -> tuple[Features, Tensor]:
    """A picture of four tokens, each a place and one of three colours; the text names a place, and the answer is the colour there.

    The fused tokens say nothing, so that there is no way but to look.
    """
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randn(7, WIDTH, generator=torch.Generator().manual_seed(1))
    colour_BT = torch.randint(0, 3, (size, 4), generator=generator)
    place_B = torch.randint(0, 4, (size,), generator=generator)
    image = Tokens(codes[colour_BT] + codes[3:], torch.ones(size, 4, dtype=torch.bool))
    towers = {"image": image, "text": single(codes[3 + place_B])}
    present_BM = torch.ones(size, 2, dtype=torch.bool)
    return Features(towers, single(torch.zeros(size, WIDTH)), present_BM, ("image", "text")), colour_BT[range(size), place_B]


def test_the_head_learns_to_look_where_the_question_points() -> None:
    head = head_of()
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-2)
    for step in range(150):
        given, answer_B = asked(64, step)
        loss = head.loss(head(given), answer_B, torch.ones(64))
        (loss.total / loss.weight).backward()
        optimizer.step()
        optimizer.zero_grad()
    given, answer_B = asked(256, 1000)
    right, of = head.metrics(head(given), answer_B, torch.ones(256))["accuracy"]
    assert right / of > 0.9


def test_the_question_and_each_of_the_others_reach_the_answer() -> None:
    head, (given, _) = head_of(), asked(4, 0)
    towers = {name: Tokens(tokens.values_BTD.clone().requires_grad_(), tokens.mask_BT) for name, tokens in given.towers.items()}
    fused = Tokens(given.fused.values_BTD.clone().requires_grad_(), given.fused.mask_BT)
    head(given._replace(towers=towers, fused=fused)).square().sum().backward()
    for tokens in (*towers.values(), fused):
        assert tokens.values_BTD.grad is not None
        assert (tokens.values_BTD.grad.abs().sum((1, 2)) > 0).all()
