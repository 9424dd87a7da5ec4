"""Heads that learn from a modality, objectives and policies in a real training: they learn, resume exactly, and are refused in time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from tasks.contracts import Artifact
from tasks.errors import Stopped
from tasks.training import state
from tasks.training.channel import request_stop
from tasks.training.combinations import COMBINATIONS
from tasks.training.loop import train_model
from tasks.training.ranks import Ranks
from tasks.training.run import Job
from tests.tasks.training.example import config, digest, final_weights

SAYS = {"kind": "tests.tasks.models.own:Says", "target": "text"}
WITHOUT_TEXT = {"audio": {"kind": "cnn_lstm", "channels": [8, 8]}, "image": {"kind": "cnn", "channels": [8, 8]}}
PSEUDO_LABELS = {"kind": "pseudo_labels", "strong": {"image": {"flip": 0.5, "erase": 0.5}}, "threshold": 0.4, "warmup": 0.3}
REPTILE = {"kind": "reptile", "tasks": "shade", "inner_steps": 2}
SEEN = {"kind": "multi_label", "positive_weights": "balanced", "loss": "focal"}
NUMBER_ALONE = {"heads": {"height": "regression"}}
WRITTEN = {"kind": "ctc", "target": "text", "of": "audio", "weight": 0.5}
TOLD = {"kind": "captioning", "target": "text", "num_heads": 2, "label_smoothing": 0.1}
METHODS: dict[str, dict[str, Any]] = {
    "retrieval": {"model": {"heads": {"found": {"kind": "retrieval", "between": ["text", "image", "audio"], "dim": 3, "loss": "cca"}}}},
    "a modality as target": {"model": {"encoders": WITHOUT_TEXT, "heads": {"shade": "classification", "said": SAYS}}},
    "an objective": {"model": {"objectives": {"near": "alignment"}, "weighting": "uncertainty"}},
    "a latent": {"model": {"objectives": {"one": {"kind": "multimodal_vae", "warmup": 0.5, "subsets": "all_each_and_random"}}}},
    "domains": {"model": {**NUMBER_ALONE, "objectives": {"far": {"kind": "domain_adversarial", "domain": "shade"}, "near": "matching"}}},
    "turns": {"policy": {"kind": "adversarial", "discriminator_steps": 2}, "model": {"objectives": {"alike": "adversarial"}}},
    "sets and tags": {"model": {"heads": {"seen": SEEN, "characters": {"kind": "tagging", "of": "text"}}}},
    "spans and strangers": {"model": {"heads": {"events": {"kind": "localisation", "of": "audio"}, "strange": "anomaly"}}},
    "answers": {"model": {"heads": {"said": {"kind": "question_answering", "label": "shade", "class_weights": "balanced"}}}},
    "texts": {"model": {"encoders": WITHOUT_TEXT, "heads": {"written": WRITTEN, "told": TOLD}}, "accumulate": 2},
    "labels of its own": {"policy": PSEUDO_LABELS},
    "several tasks": {"policy": REPTILE},
    "frozen, unfrozen and slower parts": {
        "model": {"encoders": {**WITHOUT_TEXT, "text": "transformer"}},
        "fine_tune": {"freeze": ["missing"], "unfreeze": {"encoders.image": 2}, "rates": {"heads": 2.0}, "layer_decay": 0.7},
    },
    "LoRA and a moving average": {
        "model": {"encoders": {**WITHOUT_TEXT, "text": "transformer"}},
        "lora": {"parts": ["encoders.text"], "rank": 2, "dropout": 0.2},
        "ema": {"decay": 0.9},
    },
}
"""Name → changes to the usual training."""
ALIKE = {"objectives": {"alike": "adversarial"}}
NORMED = {"encoders": {"image": {"kind": "cnn", "norm": "batch"}}}
REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"accumulate": 2, "model": {"objectives": {"near": "alignment"}}},
        (
            "`accumulate` (2) cuts a batch into parts, and the loss of 'near' compares the samples of a batch and would see each part "
            "alone; set `accumulate: 1`, lower `batch_size` to save memory, or leave that loss out"
        ),
    ),
    ({"accumulate": 9}, "`accumulate` (9) cuts a batch into more parts than it has samples, `batch_size` (8); lower it"),
    (
        {"batch_size": 1, "streams": 1, "model": {"heads": {"found": {"kind": "retrieval", "between": ["text", "image"]}}}},
        (
            "the loss of 'found' compares the samples of a batch, and `batch_size` is 1; give larger batches, of tens of samples, or leave "
            "that loss out"
        ),
    ),
    (
        {"model": {"objectives": {"near": {"kind": "alignment", "dim": 4, "loss": "cca"}}}},
        (
            "`batch_size` (8) is at most twice the `dim` (4) of 'near', whose loss is `cca`, and in so few samples any two sets of numbers "
            "correlate in full, so that nothing would be learned; lower that `dim`, to a tenth of `batch_size` or less, or give larger "
            "batches"
        ),
    ),
    (
        {"accumulate": 2, "model": NORMED},
        (
            "`accumulate` (2) cuts a batch into parts, and `norm: batch` of the encoder of image would norm each part by itself; set "
            "`accumulate: 1`, or `norm: group`"
        ),
    ),
    (
        {"policy": "adversarial", "model": {"objectives": {"near": "matching"}}},
        (
            "policy 'adversarial' moves discriminators and the model in turn, and no objective of this model has a discriminator; add an "
            "`adversarial` or `domain_adversarial` objective, or leave the policy out"
        ),
    ),
    (
        {"policy": "adversarial", "model": ALIKE, "lora": {"parts": ["objectives"]}},
        (
            "policy 'adversarial' moves the discriminator of objective 'alike', and `lora.parts` names objectives, which holds its weights "
            "still; leave it out there, or take another policy"
        ),
    ),
    (
        {"policy": PSEUDO_LABELS, "model": {"heads": {"height": "regression"}}},
        (
            "policy 'pseudo_labels' learns what a head is sure of, and no head of this model chooses a class with a probability; add one "
            "such as a `classification`, or leave the policy out"
        ),
    ),
    (
        {"policy": {**PSEUDO_LABELS, "heads": ["height"]}},
        (
            "policy 'pseudo_labels': `heads` names 'height', which is not in `model.heads` or chooses no class; name those of this model "
            "that do (shade), or leave `heads` out for all of them"
        ),
    ),
    (
        {"policy": PSEUDO_LABELS, "model": {"encoders": {"text": "gru"}}},
        (
            "policy 'pseudo_labels': `strong` varies image, which has no encoder, so that it changes nothing; vary one of those in "
            "`encoders` (text), or add an encoder for it"
        ),
    ),
    (
        {"policy": "distillation", "model": {"heads": {"seen": SEEN}}},
        (
            "policy 'distillation' brings heads near to the teacher's, and no head of this model can be compared; those that can are of "
            "the kinds `classification`, `regression`: add one that the teacher has too, or leave the policy out"
        ),
    ),
    (
        {"policy": {"kind": "distillation", "heads": ["size"]}},
        (
            "policy 'distillation': `heads` names 'size', which is not in `model.heads` or not of the kinds that can be compared, "
            "`classification`, `regression`; name those of this model that are (height, shade), or leave `heads` out for all of them"
        ),
    ),
    (
        {"policy": REPTILE, "model": {"objectives": {"near": "alignment"}}},
        (
            "policy 'reptile' steps on a few samples of one task, and the loss of 'near' compares the samples of a batch, of which there "
            "are too few; leave that loss out, or take another policy"
        ),
    ),
    (
        {"policy": REPTILE, "model": NORMED},
        (
            "policy 'reptile' steps on a few samples of one task, and `norm: batch` of the encoder of image would norm by these alone; set "
            "`norm: group`, or take another policy"
        ),
    ),
    (
        {"policy": REPTILE, "clip": 0.5},
        "policy 'reptile' steps by `inner_rate` and `outer_rate` and does not use `clip`, which is set; leave it out",
    ),
    (
        {"policy": REPTILE, "fine_tune": {"rates": {"encoders": 0.1}}},
        (
            "policy 'reptile' steps by `inner_rate` and `outer_rate`, the same for all parts, and `fine_tune` sets rates of parts or "
            "layers; leave these out, or take another policy"
        ),
    ),
    (
        {"lora": {"parts": ["encoders"]}, "fine_tune": {"unfreeze": {"encoders.image": 2}}},
        (
            "`lora` adapts what `fine_tune` freezes (encoders.image), and its own weights are frozen anyway; leave it out of `freeze` and "
            "`unfreeze`, or out of `lora.parts`"
        ),
    ),
    (
        {"fine_tune": {"unfreeze": {"encoders.image": 3}}},
        (
            "`fine_tune.unfreeze` lets encoders.image learn from epoch 3 on, and the last one is 2, so that it would never learn; name an "
            "earlier one, or put the part into `freeze`"
        ),
    ),
    (
        {"fine_tune": {"freeze": ["encoders", "missing", "fusion", "trunk"], "unfreeze": {"heads": 2}}},
        (
            "`fine_tune` freezes every part of the model, so that nothing would learn in the first epoch; leave one out of `freeze` and "
            "`unfreeze`"
        ),
    ),
]


def run_to_the_end(shards: Artifact, folder: Path, changes: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    train_model(Job(config(**changes), shards.path, folder, seed=7), Ranks())


@pytest.mark.parametrize("method", METHODS)
def test_a_method_learns_and_goes_on_where_it_was_stopped_bit_for_bit(shards: Artifact, tmp_path: Path, method: str) -> None:
    run_to_the_end(shards, tmp_path / "whole", METHODS[method])
    run_to_the_end_stopped(shards, tmp_path / "parts", METHODS[method])
    assert digest(final_weights(tmp_path / "parts")) == digest(final_weights(tmp_path / "whole"))
    assert digest(averages(tmp_path / "parts")) == digest(averages(tmp_path / "whole"))
    final = state.newest(tmp_path / "whole" / state.FOLDER, lambda _: None)
    assert final is not None
    assert all(torch.tensor(value).isfinite() for value in final.progress.train.values())
    assert final.progress.train.keys() >= {name for name in final.progress.val if "loss" in final.progress.val[name]}


def averages(folder: Path) -> dict[str, torch.Tensor]:
    """The moving average of the newest checkpoint, if there is one."""
    final = state.newest(folder / state.FOLDER, lambda _: None)
    assert final is not None
    return final.average() or {}


def run_to_the_end_stopped(shards: Artifact, folder: Path, changes: dict[str, Any]) -> None:
    """Stopped after its first step, then run again."""
    folder.mkdir()
    request_stop(folder)
    with pytest.raises(Stopped):
        run_to_the_end(shards, folder, changes)
    for path in folder.glob("*stop*"):
        path.unlink()
    run_to_the_end(shards, folder, changes)


@pytest.mark.parametrize(("changes", "sentence"), REFUSED)
def test_a_training_that_cannot_work_is_refused_with_a_way_out(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(f"Value error, {sentence} [")):
        config(**changes)


def test_every_row_of_the_table_is_told_in_these_tests() -> None:
    assert len(REFUSED) == len(COMBINATIONS)
