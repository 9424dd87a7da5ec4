"""The benchmark of the model would notice other work, and its part for a GPU runs, in small, on a CPU and without ray and mlflow."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from benchmarks import model, model_gpu
from benchmarks.fused import SHAPES, as_run, batch_of, built
from tasks.training.loop import train_step
from tests.conftest import ROOT

TINY = "Sizes(16, 8, 1, 16, 2, 1, 16, 2, 40, 8, batch=4, steps=1)"
DRY_RUN = f"""
import sys
sys.modules["ray"] = sys.modules["mlflow"] = None
import torch
from benchmarks.model_gpu import Sizes, measured
found = measured(2, {TINY}, torch.device("cpu"), backend="aot_eager")
assert found["medley_images_per_s"]["median"] > 0, found
print(sorted(found))
"""


def test_both_sides_do_the_same_work_and_another_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = model.hand_losses
    model.agree(built(model.SMALL), batch_of(model.SMALL, 3))
    monkeypatch.setattr(model, "hand_losses", lambda net, batch: (bare(net, batch)[0], 2 * bare(net, batch)[1]))
    with pytest.raises(RuntimeError, match="other gradients"):
        model.agree(built(model.SMALL), batch_of(model.SMALL, 3))
    monkeypatch.setattr(model, "hand_losses", lambda net, batch: (bare(net, batch)[0] + 1, bare(net, batch)[1]))
    with pytest.raises(RuntimeError, match="other outputs"):
        model.agree(built(model.SMALL), batch_of(model.SMALL, 3))


def test_every_side_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    found = model.overheads(2, turns=2, steps=1)
    assert found["bare_ms"]["median"] > 0
    assert found["fused_minus_hand_ms"]["goal"] == 1.0
    small = {"encoders": {"text": {"kind": "transformer", "layers": 3}}, "fusion": "mean", "trunk": "mlp", "width": 16}
    monkeypatch.setattr(model, "DEEP", {**model.DEEP, **small})
    shares = model.memory(1, size=2)
    assert shares["checkpointing_bytes"]["median"] < 1
    assert shares["bfloat16_bytes"]["median"] < 1


def test_saved_bytes_are_those_that_autograd_keeps() -> None:
    values = torch.zeros(1000, requires_grad=True)
    assert model.saved_bytes(lambda: values.exp()) == 4000
    assert model.saved_bytes(lambda: (values.exp() * 2).exp()) == 8000
    assert model.saved_bytes(lambda: values + 1) == 0


def test_a_step_of_the_loop_moves_the_weights() -> None:
    run, batch = as_run(model.SMALL, 4), batch_of(model.SMALL, 4)
    before = run.model.state_dict()["heads.digit_.linear.weight"].clone()
    for _ in range(3):
        train_step(run, batch)
    assert run.progress.steps == 3
    assert run.progress.samples == 12
    assert not torch.equal(before, run.model.state_dict()["heads.digit_.linear.weight"])
    assert batch.inputs["text"].values.shape == (4, SHAPES["text"]["max_tokens"])


def test_the_part_for_a_gpu_runs_in_small_without_ray_and_mlflow() -> None:
    done = subprocess.run([sys.executable, "-c", DRY_RUN], cwd=ROOT, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "medley_images_per_s" in done.stdout


def test_operations_are_counted_and_the_peak_is_the_makers(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = model_gpu.Sizes(16, 8, 1, 16, 2, 1, 16, 2, 40, 8, batch=4, steps=1)
    shapes = {"image": {"channels": 3, "height": 16, "width": 16}, "text": {"vocab_size": 40, "max_tokens": 8}}
    run = as_run(model_gpu.recipe(sizes), 4, shapes=shapes)
    tokens = 4 * (16 / 8) ** 2
    patches = 3 * 2 * tokens * (3 * 8 * 8) * 16  # forward, gradient of the weights; none of the pictures
    assert model_gpu.step_operations(run, batch_of(model_gpu.recipe(sizes), 4, shapes)) > 2 / 3 * patches
    assert model_gpu.peak_flops(torch.device("cpu")) is None
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H100 80GB HBM3")
    assert model_gpu.peak_flops(torch.device("cuda")) == 989e12


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no GPU" in model_gpu.why_not()
