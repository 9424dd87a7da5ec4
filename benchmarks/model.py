"""What the fused model and its training loop cost over the bare modules, and what saves memory.

Goals: forward, losses and backward of the fused model over the very same modules called by hand, at most 1 ms of processor time a step;
gradient checkpointing keeps at most 0.40 of the bytes for the backward pass, bfloat16 at most 0.70. Reported: the same for a whole step of
the loop over a bare PyTorch step with the same modules and optimizer, the time that checkpointing costs, and, where there is a GPU, the
throughput of `model_gpu`. Both sides run on one thread, in turns, and give the same outputs and gradients first. Needs neither ray nor
mlflow.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import measure, model_gpu
from benchmarks.fused import as_run, batch_of, built
from tasks.contracts import Batch
from tasks.models.contracts import Features
from tasks.models.fused import FusedModel
from tasks.models.names import slot
from tasks.models.recompute import recompute_layers
from tasks.training.loop import train_step

TURNS, STEPS = 10, 4
"""In a round each side has so many turns of so many steps: short ones, so that a neighbour's load hits both sides alike."""
OVERHEAD_GOAL_MS, CHECKPOINTED_GOAL, BFLOAT16_GOAL = 1.0, 0.40, 0.70
SMALL: dict[str, Any] = {
    "encoders": {"audio": "cnn_lstm", "image": "cnn", "text": "gru"},
    "fusion": "attention",
    "heads": {"digit": "classification"},
    "width": 64,
}
"""The demo's model: so small that what is around the modules shows."""
DEEP: dict[str, Any] = {
    "encoders": {"image": {"kind": "vit", "patch": 4, "layers": 8}, "text": {"kind": "transformer", "layers": 8}},
    "fusion": "sequence",
    "trunk": {"kind": "transformer", "layers": 4},
    "heads": {"digit": "classification"},
    "width": 64,
}
"""A model of many blocks, as those whose activations fill a memory."""


def run(rounds: int) -> dict[str, Any]:
    """Milliseconds over the bare modules, shares of bytes, and what the GPU gives where there is one."""
    with _one_thread():
        ratios = {**overheads(rounds), **memory(rounds)}
    why_not = model_gpu.why_not()
    if why_not:
        print(f"model: images/s and MFU are not measured: {why_not}", file=sys.stderr)
    else:
        ratios |= model_gpu.measured(rounds, model_gpu.VIT_B_32, torch.device("cuda"))
    return {"name": "model", "ok": all(entry["ok"] for entry in ratios.values()), "ratios": ratios}


# ---- the same modules, by hand -----------------------------------------------------------------------------------------


def hand_losses(model: FusedModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """Output and loss of the one head, by its modules alone: for a batch in which every sample has everything."""
    tokens = {name: model.encoders[slot(name)](batch.inputs[name].values, batch.inputs[name].lengths) for name in model.modalities}
    fused = model.trunk(model.fusion(tokens, batch.present))
    output: Tensor = model.head("digit")(Features(tokens, fused, batch.present, model.modalities))
    return output, F.cross_entropy(output, batch.labels["digit"])


def fused_losses(model: FusedModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """The same through the model."""
    outputs = model.outputs(batch.inputs, model.present_BM(batch))
    means = {name: loss.total / loss.weight for name, loss in model.losses(outputs, batch).items()}
    return outputs.heads["digit"], model.total(means, 1.0)


def overheads(rounds: int, turns: int = TURNS, steps: int = STEPS) -> dict[str, Any]:
    """Milliseconds of processor time a step, over those of the bare side of the same round."""
    small, large = batch_of(SMALL, 8), batch_of(SMALL, 64)
    model = built(SMALL)
    agree(model, small)

    def passes(losses: Callable[[FusedModel, Batch], tuple[Tensor, Tensor]]) -> None:
        losses(model, small)[1].backward()
        model.zero_grad(set_to_none=True)

    run, bare = as_run(SMALL, 64), _bare_step(as_run(SMALL, 64).model, large)
    sides: dict[str, Callable[[], Any]] = {
        "hand": lambda: passes(hand_losses),
        "fused": lambda: passes(fused_losses),
        "bare": bare,
        "loop": lambda: train_step(run, large),
    }
    for side in sides.values():
        side()
    each = measure.interleave(rounds * turns, {name: lambda side=side: _cpu_ms(side, steps) for name, side in sides.items()})
    spent = {name: np.asarray(values).reshape(rounds, turns).mean(1).tolist() for name, values in each.items()}
    return {
        "fused_minus_hand_ms": measure.median(_minus(spent, "fused", "hand"), goal=OVERHEAD_GOAL_MS),
        "hand_ms": measure.median(spent["hand"]),
        "loop_minus_bare_ms": measure.median(_minus(spent, "loop", "bare")),
        "bare_ms": measure.median(spent["bare"]),
    }


def agree(model: FusedModel, batch: Batch) -> None:
    """Raises RuntimeError unless both sides give the same output to the last bit, and the same gradients up to rounding."""
    found = []
    for losses in (hand_losses, fused_losses):
        torch.manual_seed(0)
        output, loss = losses(model, batch)
        loss.backward()
        found.append(
            (output.detach(), {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None})
        )
        model.zero_grad(set_to_none=True)
    (one, mine), (other, theirs) = found
    if not torch.equal(one, other):
        raise RuntimeError(f"the two sides give other outputs, up to {(one - other).abs().max():.3g} apart: they are not the same work")
    for name, gradient in mine.items():
        if not torch.allclose(gradient, theirs[name], rtol=1e-4, atol=1e-6):
            raise RuntimeError(f"the two sides give other gradients for {name}: they are not the same work")


def _bare_step(model: FusedModel, batch: Batch) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)

    def step() -> None:
        hand_losses(model, batch)[1].backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _cpu_ms(side: Callable[[], Any], steps: int) -> float:
    begun = time.process_time()
    for _ in range(steps):
        side()
    return 1000 * (time.process_time() - begun) / steps


def _minus(spent: dict[str, list[float]], one: str, other: str) -> list[float]:
    return [mine - theirs for mine, theirs in zip(spent[one], spent[other], strict=True)]


# ---- what is kept for the backward pass --------------------------------------------------------------------------------


def memory(rounds: int, size: int = 16) -> dict[str, Any]:
    """Bytes kept for the backward pass, as shares of those of the plain float32 pass; and the time of checkpointing, as a multiple."""
    batch = batch_of(DEEP, size)
    plain, checkpointed = built(DEEP), built(DEEP)
    recompute_layers(checkpointed)

    def kept(model: FusedModel, halved: bool) -> float:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=halved):
            return float(saved_bytes(lambda: fused_losses(model, batch)))

    def step(model: FusedModel) -> Callable[[], None]:
        return lambda: fused_losses(model, batch)[1].backward()

    whole = kept(plain, False)
    shares = {
        "checkpointing_bytes": (kept(checkpointed, False), CHECKPOINTED_GOAL),
        "bfloat16_bytes": (kept(plain, True), BFLOAT16_GOAL),
        "both_bytes": (kept(checkpointed, True), None),
    }
    spent = measure.interleave(rounds, {name: lambda model=model: _cpu_ms(step(model), 2) for name, model in _pair(plain, checkpointed)})
    times = [mine / theirs for mine, theirs in zip(spent["checkpointed"], spent["plain"], strict=True)]
    found = {name: measure.metric(value / whole, value / whole, value / whole, goal=goal) for name, (value, goal) in shares.items()}
    return {**found, "plain_megabytes": measure.metric(whole / 1e6, whole / 1e6, whole / 1e6), "checkpointing_time": measure.median(times)}


def _pair(plain: FusedModel, checkpointed: FusedModel) -> list[tuple[str, FusedModel]]:
    return [("plain", plain), ("checkpointed", checkpointed)]


def saved_bytes(step: Callable[[], Any]) -> int:
    """Bytes of all storages that autograd keeps for the backward pass, each once, parameters left out."""
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage  # held, so that no other storage takes its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        step()
    return sum(storage.nbytes() for storage in kept.values())


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
