"""Images a second and MFU of ViT-B/32 with a text Transformer, learned contrastively, beside open_clip's step on the same shapes.

In: sizes and a device. Out: metrics. Both sides run in bfloat16 under torch.compile on batches that lie on the device, in turns, in one
run: our side is a whole step of the training loop. MFU is the model's own floating-point operations over what the card is sold with; it
counts what torch counts in one forward and backward pass, so that nothing computed again helps. Goal: as many images a second as
open_clip's step. Needs neither ray nor mlflow; open_clip is looked for and left out with a sentence.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import measure
from benchmarks.fused import as_run, batch_of
from benchmarks.peers.clip_step import open_clip_step
from benchmarks.peers.installed import installed
from tasks.models.batches import to_device
from tasks.models.compiled import compile_parts
from tasks.training.loop import train_step
from tasks.training.run import Run

PEAK_FLOPS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "A10": 125e12}
"""Part of a card's name → dense bfloat16 operations a second, by its maker's data sheet (SXM where there are several)."""
OPEN_CLIP_GOAL = 1.0


@dataclass(frozen=True)
class Sizes:
    """Both towers. The text tower's width is the model's and the embedding's."""

    image_px: int
    patch_px: int
    image_layers: int
    image_width: int
    image_heads: int
    text_layers: int
    width: int
    text_heads: int
    vocab: int
    context: int
    batch: int
    steps: int
    """In a round."""


VIT_B_32 = Sizes(224, 32, 12, 768, 12, 12, 512, 8, 49408, 77, batch=512, steps=10)
"""The sizes of ViT-B-32 in open_clip."""


def why_not() -> str:
    """Why there is no number here, as a sentence; empty where there is a GPU."""
    return "" if torch.cuda.is_available() else "there is no GPU that torch can use on this machine"


def recipe(sizes: Sizes) -> dict[str, Any]:
    """The model as a recipe has it."""
    vit = {
        "kind": "vit",
        "patch": sizes.patch_px,
        "layers": sizes.image_layers,
        "hidden": sizes.image_width,
        "num_heads": sizes.image_heads,
        "feed_forward": 4 * sizes.image_width,
        "dropout": 0.0,
    }
    text = {"kind": "transformer", "layers": sizes.text_layers, "num_heads": sizes.text_heads, "expansion": 4, "dropout": 0.0}
    return {
        "encoders": {"image": vit, "text": text},
        "fusion": {"kind": "mean", "dropout": 0.0},
        "trunk": {"kind": "mlp", "layers": 0},
        "heads": {"match": {"kind": "retrieval", "between": ["image", "text"], "dim": sizes.width}},
        "width": sizes.width,
        "modality_dropout": 0.0,
    }


def measured(rounds: int, sizes: Sizes, device: torch.device, *, backend: str = "inductor") -> dict[str, Any]:
    """Images a second, MFU where the card's peak is known, and the ratio to open_clip's step where it is installed."""
    shapes = {
        "image": {"channels": 3, "height": sizes.image_px, "width": sizes.image_px},
        "text": {"vocab_size": sizes.vocab, "max_tokens": sizes.context},
    }
    run = as_run(recipe(sizes), sizes.batch, device, shapes=shapes, precision="bfloat16")
    batch = to_device(batch_of(recipe(sizes), sizes.batch, shapes), device)
    operations = step_operations(run, batch)
    compile_parts(run.model, backend)
    sides: dict[str, Callable[[], Any]] = {"medley": lambda: train_step(run, batch)}
    peers = installed({"open_clip": ("open_clip", open_clip_step)})
    for name, make in peers.items():
        sides[name] = make(dataclasses.asdict(sizes), batch.inputs["image"].values, batch.inputs["text"].values, backend)
    if not peers:
        print("model: open_clip is not in this environment, so its step is not beside ours; pip install open_clip_torch", file=sys.stderr)
    for side in sides.values():  # compiles, and lets the allocator find its sizes
        _rate(side, sizes, device)
    rates = measure.interleave(rounds, {name: lambda side=side: _rate(side, sizes, device) for name, side in sides.items()})
    ratios = {f"{name}_images_per_s": measure.median(values) for name, values in rates.items()}
    peak = peak_flops(device)
    if peak:
        ratios["medley_mfu"] = measure.median([rate / sizes.batch * operations / peak for rate in rates["medley"]])
    if "open_clip" in rates:
        pairs = [mine / theirs for mine, theirs in zip(rates["medley"], rates["open_clip"], strict=True)]
        ratios["medley_of_open_clip"] = measure.median(pairs, goal=OPEN_CLIP_GOAL, sense="at least")
    return ratios


def step_operations(run: Run, batch: Any) -> int:
    """Floating-point operations of one forward and backward pass, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        train_step(run, batch)
    return int(counter.get_total_flops())


def peak_flops(device: torch.device) -> float | None:
    """What the card is sold with; None for one that is not in the table, and for a CPU."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((flops for part, flops in PEAK_FLOPS.items() if part in name), None)


def _rate(side: Callable[[], Any], sizes: Sizes, device: torch.device) -> float:
    _wait(device)
    begun = time.perf_counter()
    for _ in range(sizes.steps):
        side()
    _wait(device)
    return sizes.batch * sizes.steps / (time.perf_counter() - begun)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
