"""Objectives that need a label or the inputs, from the shards to a model folder that opens by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.contracts import Artifact
from tasks.errors import LabelError
from tasks.models.load import load_model
from tasks.shards.read import ShardSet
from tasks.train import train
from tasks.training.checks import check_shards
from tests.tasks.training.example import config, context

HEIGHT = {"height": {"kind": "regression", "label": "height"}}
FAR = {"kind": "domain_adversarial", "domain": "shade"}


def adapted(**objectives: Any) -> Any:
    return config(model={"heads": HEIGHT, "objectives": objectives}, epochs=1)


@pytest.mark.parametrize("kind", ["domain_adversarial", "domain_coral"])
def test_a_domain_that_the_shards_lack_is_refused_before_training(shards: Artifact, kind: str) -> None:
    with pytest.raises(
        LabelError, match=r"objective 'far' has no label 'shades' in the shards; did you mean 'shade'\?; labels there are: "
    ):
        check_shards(adapted(far={"kind": kind, "domain": "shades"}), ShardSet.open(shards.path), 1)


def test_a_model_with_objectives_of_labels_and_inputs_is_written_and_opens_by_itself(shards: Artifact, tmp_path: Path) -> None:
    chosen = adapted(far=FAR, one={"kind": "multimodal_vae", "dim": 4, "cells": 2}, near="matching")
    (tmp_path / "out").mkdir()
    summary = train(chosen, {"shards": shards}, tmp_path / "out", context(tmp_path))
    assert summary["val"].keys() == {"height", "far", "one", "near"}
    description = json.loads((tmp_path / "out" / "model.json").read_text())
    assert description["labels"].keys() == {"height"}  # what the model answers; evaluation and serving go by it
    assert description["objectives"].keys() == {"far", "one"}
    assert description["objectives"]["far"]["column"] == "shade"
    loaded = load_model(tmp_path / "out")
    assert loaded.labels.keys() == {"height"}
    assert {name.split(".")[1] for name in loaded.model.state_dict() if name.startswith("objectives.")} == {"far_", "one_", "near_"}
