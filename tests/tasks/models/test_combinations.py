"""What cannot work together is told in words when a recipe is checked, and what works is let through."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from tasks.models.combinations import COMBINATIONS
from tasks.models.fused import build_model
from tasks.models.fusions import FUSIONS
from tasks.models.trunks import TRUNKS
from tests.tasks.models.example import LABELS, SHAPES, config

ONE_ENCODER = {"encoders": {"text": "gru"}}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"width": 18}, "`width` (18) is not a multiple of the fusion's `num_heads` (4); change one of them"),
    (
        {"width": 18, "fusion": "graph", "trunk": "transformer"},
        "`width` (18) is not a multiple of the trunk's `num_heads` (4); change one of them",
    ),
    (
        {"width": 18, "fusion": "graph", "placement": "hybrid", "branch": "transformer"},
        "`width` (18) is not a multiple of the branch's `num_heads` (4); change one of them",
    ),
    (
        {"width": 15, "fusion": "sequence", "trunk": "rnn", "encoders": {"text": "text_cnn"}},
        "an `rnn` that reads both ways halves `width`, which is odd: 15; give an even `width`, or set `bidirectional: false`",
    ),
    (
        {"fusion": "film", **ONE_ENCODER},
        "fusion 'film' is between modalities, and there is one encoder; add another, or take fusion 'attention'",
    ),
    (
        {"fusion": {"kind": "film", "by": "video"}},
        "fusion 'film': `by` is 'video', which has no encoder; name one of those in `encoders`, or add an encoder for it",
    ),
    (
        {"trunk": "cnn"},
        (
            "fusion 'attention' gives one token, and trunk 'cnn' reads a sequence of them; take fusion 'sequence', trunk 'mlp', or "
            "`placement: late`, where the trunk reads the tokens of each modality"
        ),
    ),
    (
        {"branch": "rnn"},
        (
            "`branch` is the trunk of each modality in `placement: hybrid`, and the placement is 'early'; leave `branch` out, or set "
            "`placement: hybrid`"
        ),
    ),
    (
        {"width": 15, "fusion": "sequence", "encoders": {"text": "gru"}},
        (
            "`width` is odd (15), and what reads both ways halves it: the encoder of text (gru); give an even `width`, or set "
            "`bidirectional: false`"
        ),
    ),
    (
        {"encoders": {"text": {"kind": "transformer", "num_heads": 3}, "image": {"kind": "vit", "num_heads": 2}}},
        "`width` (16) is not a multiple of the `num_heads` (3) of the encoder of text; change one of them",
    ),
    (
        {"heads": {"digit": {"kind": "tests.tasks.models.own:Weightless"}}},
        (
            "head 'digit' (tests.tasks.models.own:Weightless) has a `Config` without `weight`, the factor of its loss in the sum of "
            "losses; give it one, `weight: float = 1.0`"
        ),
    ),
    (
        {"objectives": {"digit": "alignment"}},
        "'digit' names a head and an objective, and each loss needs its own; rename it in `objectives`",
    ),
    (
        {"objectives": {"near": {"kind": "alignment", "between": ["video", "text"]}}},
        (
            "objective 'near' names 'video' in `between`, which has no encoder; name some of those in `encoders` (audio, image, text), or "
            "add an encoder for it"
        ),
    ),
    (
        {"objectives": {"near": "alignment"}, **ONE_ENCODER},
        "objective 'near' is between modalities, and there is one encoder; add another, or leave the objective out",
    ),
    (
        {"objectives": {"near": {"kind": "alignment", "between": ["text"]}}},
        "objective 'near' has one modality in `between`, and it takes two or more; add another, or leave `between` out for all of them",
    ),
    (
        {"heads": {"found": {"kind": "retrieval", "between": ["video", "text"]}}},
        (
            "head 'found' names 'video' in `between`, which has no encoder; name some of those in `encoders` (audio, image, text), or add "
            "an encoder for it"
        ),
    ),
    (
        {"heads": {"said": {"kind": "tests.tasks.models.own:Says", "target": "text"}}},
        (
            "head 'said' learns to say text, which the model is fed with, so that it would only copy it; take another `target`, or leave "
            "the encoder of text out"
        ),
    ),
    (
        {"heads": {"digit": {"kind": "tagging", "of": "sound"}}},
        (
            "head 'digit' reads the tokens of 'sound', which has no encoder; name one of those in `encoders` (audio, image, text), or add "
            "an encoder for it"
        ),
    ),
    (
        {"encoders": {"text": "embedding_bag"}, "heads": {"digit": {"kind": "tagging", "of": "text"}}},
        (
            "head 'digit' (tagging) reads the tokens of text one after the other, and encoder 'embedding_bag' makes one of all; take an "
            "encoder that gives a token for each step, such as `gru`"
        ),
    ),
    (
        {"heads": {"digit": {"kind": "localisation", "of": "image"}}},
        (
            "head 'digit' (localisation) follows the tokens of image in time, where they do not follow each other; set `of` to an encoded "
            "modality that runs in time (audio, text), or take another kind of head"
        ),
    ),
    (
        {"heads": {"digit": "question_answering"}, **ONE_ENCODER},
        "head 'digit' answers questions about other modalities, and there is one encoder; add another, or take a `classification`",
    ),
    (
        {"heads": {"digit": {"kind": "question_answering", "num_heads": 3}}},
        "`width` (16) is not a multiple of the `num_heads` (3) of head 'digit'; change one of them",
    ),
    (
        {"fusion": "voting", "heads": {"digit": {"kind": "tagging", "of": "text"}}},
        (
            "fusion 'voting' gives a vote for each modality, and head 'digit' (tagging) does something else with the votes than to count "
            "them; take another fusion, or heads `classification`, `multi_label` and `regression` alone"
        ),
    ),
    (
        {"heads": {"strange": "anomaly"}},
        (
            "a head `anomaly` looks at features that something else must shape, and the model learns nothing else; add a head that learns "
            "from a label or a modality, or an objective"
        ),
    ),
    (
        {"weighting": "uncertainty", "objectives": {"near": {"kind": "alignment", "loss": "mmd"}}},
        (
            "`weighting: uncertainty` weighs a loss the more the smaller it is, and that of 'near' (`mmd`) goes below zero and would weigh "
            "more without end; set `weighting: fixed` and a `weight`, or take another loss"
        ),
    ),
    (
        {"objectives": {"moved": {"kind": "domain_coral", "domain": "digit"}}},
        (
            "objective 'moved' makes the model forget the label 'digit', its `domain`, and head 'digit' learns that label; name another "
            "label in one of them, or leave one of them out"
        ),
    ),
    (
        {"fusion": "voting", "trunk": "transformer"},
        (
            "fusion 'voting' gives a vote for each modality, and trunk 'transformer' would mix them; set `placement: late`, or take trunk "
            "'mlp', which leaves each vote alone"
        ),
    ),
    (
        {"fusion": {"kind": "voting", "weighted": True}},
        (
            "fusion 'voting' with `weighted: true` scales the votes for the heads, and with `placement: early` a trunk stands between; set "
            "`placement: late`, or leave `weighted` out"
        ),
    ),
]


@pytest.mark.parametrize(("changes", "sentence"), REFUSED)
def test_a_combination_that_cannot_work_is_refused_with_a_way_out(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(f"Value error, {sentence} [")):
        config(**changes)


def test_every_row_of_the_table_is_told_in_these_tests() -> None:
    assert len(REFUSED) == len(COMBINATIONS)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ValidationError, match=r"multiple of the fusion's .*; .*`branch` is the trunk"):
        config(width=18, branch="mlp")


def test_what_the_table_lets_through_can_be_built() -> None:
    built = 0
    for fusion, trunk, placement in itertools.product(FUSIONS, TRUNKS, ("early", "late", "hybrid")):
        try:
            chosen = config(fusion=fusion, trunk=trunk, placement=placement)
        except ValidationError:
            continue
        with torch.device("meta"):
            build_model(chosen, SHAPES, LABELS)
        built += 1
    assert (
        built == len(FUSIONS) * (len(TRUNKS) + 2) + 2 * 3 * 5
    )  # late: all; else: `mlp`, and five fusions that give a sequence to the others


def test_parts_of_the_users_own_go_with_everything() -> None:
    own = {"image": {"kind": "tests.tasks.models.own:Mean"}}
    assert config(encoders=own, fusion="sequence", trunk="cnn").encoders["image"].kind == own["image"]["kind"]


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 15, "fusion": "sequence", "encoders": {"text": {"kind": "gru", "bidirectional": False}, "audio": "tcn"}},
        {"encoders": {"image": "regions"}, "heads": {"digit": {"kind": "tagging", "of": "image"}}},
        {"encoders": {"text": {"kind": "text_cnn", "pool": False}}, "heads": {"digit": {"kind": "tagging", "of": "text"}}},
        {"encoders": {"image": {"kind": "tests.tasks.models.own:Mean"}}, "heads": {"digit": {"kind": "localisation", "of": "image"}}},
    ],
)
def test_what_is_near_to_a_row_and_can_work_is_let_through(changes: dict[str, Any]) -> None:
    config(**changes)


def test_each_part_that_a_row_is_about_is_named() -> None:
    heads = {name: {"kind": "tagging", "of": "video"} for name in ("one", "other")}
    with pytest.raises(ValidationError, match=r"head 'one' reads the tokens of 'video'.*; head 'other' reads the tokens of 'video'"):
        config(heads=heads)
