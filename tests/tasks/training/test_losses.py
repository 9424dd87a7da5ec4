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
METHODS: dict[str, dict[str, Any]] = {
    "a modality as target": {"model": {"encoders": WITHOUT_TEXT, "heads": {"shade": "classification", "said": SAYS}}},
    "an objective": {"model": {"objectives": {"near": "alignment"}, "weighting": "uncertainty"}},
}
"""Name → changes to the usual training."""
REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"accumulate": 2, "model": {"objectives": {"near": "alignment"}}},
        (
            "`accumulate` (2) cuts a batch into parts, and a loss that compares the samples of a batch would see each part alone; "
            "set `accumulate: 1`, lower `batch_size` to save memory, or leave that loss out"
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
    final = state.newest(tmp_path / "whole" / state.FOLDER, lambda _: None)
    assert final is not None
    assert all(torch.tensor(value).isfinite() for value in final.progress.train.values())
    assert final.progress.train.keys() == {name for name in final.progress.val if "loss" in final.progress.val[name]}


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
