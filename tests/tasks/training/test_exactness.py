"""What a training learns does not depend on how its batches are cut: into parts, or over ranks. Labels have gaps; there is no dropout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tasks.contracts import Artifact
from tasks.training.loop import train_step
from tasks.training.ranks import Ranks
from tasks.training.run import Job, start
from tests.tasks.training.example import config, final_weights
from tests.tasks.training.test_processes import forked

STILL = {"dropout": 0.0}
CALM = {
    "encoders": {"image": {"kind": "cnn", "channels": [8, 8], **STILL}, "text": {"kind": "gru", **STILL}},
    "fusion": {"kind": "concat", **STILL},
    "trunk": {"kind": "mlp", **STILL},
}
READ = {"image": {"size": [8, 8]}, "text": {"max_tokens": 12}}
HEADS_OF_LABELS = {
    "seen": {"kind": "multi_label", "loss": "focal", "positive_weights": "balanced"},
    "characters": {"kind": "tagging", "of": "text"},
    "events": {"kind": "localisation", "of": "text"},
    "strange": "anomaly",
}
STRONG = {"image": {"flip": 0.5, "shift": 0.2}}
METHODS: dict[str, dict[str, Any]] = {
    "uncertainty": {"model": {"weighting": "uncertainty"}},
    "labels": {"model": {"heads": HEADS_OF_LABELS}},
    "texts": {
        "model": {
            "encoders": {"audio": {"kind": "cnn_lstm", "channels": [8, 8], **STILL}, "image": CALM["encoders"]["image"]},
            "heads": {
                "written": {"kind": "ctc", "target": "text", "of": "audio"},
                "told": {"kind": "captioning", "target": "text", "num_heads": 2, **STILL},
            },
        },
        "optimizer": {"eps": 1e-5},  # no key's bias changes what is attended to: without it AdamW makes steps of their rounding
    },
    "pseudo_labels": {"policy": {"kind": "pseudo_labels", "strong": STRONG, "threshold": 0.34, "warmup": 0.5}},
    "reptile": {
        "model": {"weighting": "uncertainty"},
        "policy": {"kind": "reptile", "tasks": "shade", "inner_steps": 2, "inner": "sgd", "inner_rate": 0.02},
    },
}
RANKS = """
import json

def train_method(name, ranks):
    work_dir = folder / name
    work_dir.mkdir(exist_ok=True)
    train_model(Job(config(**methods[name.partition("-")[0]]), shards.absolute(), work_dir, seed=7), ranks)

methods = json.loads((folder / "methods.json").read_text())
for method in methods:
    assert ended(fork(lambda: train_method(f"{method}-one", Ranks()))) == 0
    children = [fork(lambda: rank(f"{method}-two", number, train_method)) for number in range(2)]
    assert [ended(child) for child in children] == [0, 0]
"""


def changes(method: str, **more: Any) -> dict[str, Any]:
    """`method` without dropout; every eleventh sample lacks one label."""
    given = METHODS[method]
    return {**given, "model": {**CALM, **given.get("model", {})}, "read": READ, "epochs": 1, **more}


@pytest.mark.parametrize("method", METHODS)
def test_parts_of_a_batch_learn_what_the_whole_does(shards: Artifact, tmp_path: Path, method: str) -> None:
    runs = []
    for parts in (1, 3):
        work_dir = tmp_path / str(parts)
        work_dir.mkdir()
        run = start(Job(config(**changes(method, accumulate=parts)), shards.path, work_dir, seed=7), Ranks())
        begun = {name: value.clone() for name, value in run.policy.state_dict().items()}
        for batch in run.train.epoch(0):
            train_step(run, batch)
        runs.append(run.policy.state_dict())
        assert any(not torch.equal(begun[name], value) for name, value in runs[-1].items())
    for name, value in runs[0].items():
        torch.testing.assert_close(runs[1][name], value, rtol=1e-3, atol=2e-5, msg=name)


def test_two_ranks_learn_what_one_does_by_every_method(shards: Artifact, tmp_path: Path) -> None:
    (tmp_path / "methods.json").write_text(json.dumps({method: changes(method) for method in METHODS}))
    forked(RANKS, shards, tmp_path)
    for method in METHODS:
        begun = start(Job(config(**changes(method)), shards.path, tmp_path, seed=7), Ranks()).model.state_dict()
        one, two = final_weights(tmp_path / f"{method}-one"), final_weights(tmp_path / f"{method}-two")
        assert distance(two, one) < 0.02 * distance(one, begun), method


def distance(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    return float(torch.stack([(value - other[name]).square().sum() for name, value in one.items()]).sum().sqrt())
