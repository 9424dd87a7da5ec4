"""Trainings in processes of their own: killed at any step, and two ranks beside one. No ray.

One interpreter imports torch and forks a child for each attempt, since importing takes longer than training.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tasks.contracts import Artifact
from tasks.training import state
from tests.conftest import ROOT
from tests.tasks.training.example import digest, final_weights

FORKED = """
import os, signal, sys
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed as dist

from tasks.training.loop import train_model
from tasks.training.ranks import Ranks, connected
from tasks.training.run import Job
from tests.tasks.training.example import config, mortal

shards, folder = Path(sys.argv[1]), Path(sys.argv[2])


def fork(action):
    child = os.fork()
    if child:
        return child
    try:
        action()
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def ended(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def train(name, dies_at, threads=1, ranks=None):
    work_dir = folder / name
    work_dir.mkdir(exist_ok=True)
    chosen = config(**mortal(folder / f"{name}.died", dies_at), checkpoint_every={"steps": 3})
    train_model(Job(chosen, shards, work_dir, seed=7, threads=threads), ranks or Ranks())


def rank(name, number, action):
    meet = f"file://{folder}/{name}.rendezvous"
    dist.init_process_group("gloo", init_method=meet, rank=number, world_size=2, timeout=timedelta(seconds=60))
    action(name, connected(torch.device("cpu")))
    dist.destroy_process_group()


def train_calm(name, ranks):
    work_dir = folder / name
    work_dir.mkdir(exist_ok=True)
    still = {"dropout": 0.0}
    model = {
        "encoders": {"image": {"kind": "cnn", "channels": [8, 8], **still}, "text": {"kind": "gru", **still}},
        "fusion": {"kind": "concat", **still}, "trunk": {"kind": "mlp", **still},
    }
    tuned = {
        "fine_tune": {"freeze": ["missing"], "unfreeze": {"encoders.image": 2}, "rates": {"heads": 2.0}},
        "lora": {"parts": ["trunk"], "rank": 2},
        "ema": {"decay": 0.9},
    }
    comparing = {
        "model": {**model, "heads": {"height": "regression"}, "objectives": {
            "belong": {"kind": "matching", "negatives": "hard"}, "alike": "adversarial",
            "near": {"kind": "domain_coral", "domain": "shade"}, "far": {"kind": "domain_adversarial", "domain": "shade"},
        }, "weighting": "uncertainty"},
        "policy": "adversarial",
    }
    strange = {"model": {**model, "heads": {"strange": "anomaly"}, "objectives": {"near": "alignment"}}}
    changes = {"tuned": tuned, "comparing": comparing, "strange": strange}.get(name.partition("-")[0], {})
    chosen = config(**{"model": model, "read": {"image": {"size": [8, 8]}, "text": {"max_tokens": 12}}, **changes})
    train_model(Job(chosen, shards, work_dir, seed=7), ranks)
"""

KILLED = """
for threads in (1, 2):
    assert ended(fork(lambda: train(f"whole-{threads}", 0, threads))) == 0
for name, dies_at, threads in (("at-5", 5, 1), ("at-14", 14, 1), ("at-11-threads", 11, 2)):
    assert ended(fork(lambda: train(name, dies_at, threads))) == -signal.SIGKILL
    assert ended(fork(lambda: train(name, dies_at, threads))) == 0
"""

RANKS = """
for kind in ("", "tuned-", "comparing-", "strange-"):
    assert ended(fork(lambda: train_calm(f"{kind}one", Ranks()))) == 0
    children = [fork(lambda: rank(f"{kind}two", number, train_calm)) for number in range(2)]
    assert [ended(child) for child in children] == [0, 0]
"""


def forked(script: str, shards: Artifact, folder: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", FORKED + script, str(shards.path), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr


def test_a_run_killed_at_any_step_ends_with_the_same_weights_bit_for_bit(shards: Artifact, tmp_path: Path) -> None:
    forked(KILLED, shards, tmp_path)
    expected = {threads: digest(final_weights(tmp_path / f"whole-{threads}")) for threads in (1, 2)}
    for name, threads in (("at-5", 1), ("at-14", 1), ("at-11-threads", 2)):
        assert (tmp_path / f"{name}.died").exists()
        assert digest(final_weights(tmp_path / name)) == expected[threads], name


def test_two_ranks_train_as_one_does(shards: Artifact, tmp_path: Path) -> None:
    forked(RANKS, shards, tmp_path)
    for kind in ("", "tuned-", "comparing-", "strange-"):
        one, two = final_weights(tmp_path / f"{kind}one"), final_weights(tmp_path / f"{kind}two")
        for name, value in one.items():
            assert (two[name] - value).abs().max() < 1e-3, name
    alone, together = (state.newest(tmp_path / name / state.FOLDER, lambda _: None) for name in ("one", "two"))
    assert alone is not None
    assert together is not None
    for name, metrics in alone.progress.val.items():
        for metric, value in metrics.items():
            assert abs(together.progress.val[name][metric] - value) < 1e-2 * max(1.0, abs(value))
    assert together.facts == {"threads": 1, "world_size": 2}
