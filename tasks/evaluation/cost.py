"""What a model costs on this machine: parameters, bytes of its weights, and how long one sample takes.

In: loaded models, their folders, and stored samples. Out: `cost` and `baseline_cost` of `report.json`. It alone differs between two
evaluations of the same key, so nothing else of a report may depend on it.

    parameters           numbers that were learned
    size_bytes           of the weights' file
    latency_ms           {p50, p95} of single calls, one sample each
    batch_size           1
    machine              processor, CPUs and GPU, never a name of a host
    measured, calls, warm_up, threads      what was timed, and how

A call begins with the bytes of a sample's members as the shards hold them, in memory, and ends with the answers of all heads: decoding,
making tensors, the whole network. What preparing source files takes (`prepare` of the shard step) and reading from a disk are not in it.
All models take turns call by call, each as often first as last, so that whatever else the machine does meets them alike.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tasks.contracts import ModalityBatch
from tasks.models.load import WEIGHTS, LoadedModel
from tasks.shards.read import ShardSet

MEASURED = "one sample from stored bytes to answers: decoding, tensors and the whole model"
WARM_UP = 10
"""Calls of each model that are not counted: the first ones fill caches and choose kernels."""
NUM_SAMPLES = 32
"""Different samples that take turns, spread evenly over the split."""

Members = Mapping[str, bytes]


def cost_facts(
    models: Sequence[tuple[LoadedModel, Path]], shard_set: ShardSet, split: str, calls: int, before_call: Callable[[], None]
) -> list[dict[str, Any]]:
    """The cost of each model. `before_call` may raise to stop."""
    samples = _samples(shard_set, split)
    seconds: list[list[float]] = [[] for _ in models]
    for number in range(WARM_UP + calls):
        members = samples[number % len(samples)]
        for at in range(len(models))[:: -1 if number % 2 else 1]:
            before_call()
            start = time.perf_counter()
            predict_one(models[at][0], members)
            if number >= WARM_UP:
                seconds[at].append(time.perf_counter() - start)
    return [_facts(loaded, path, taken) for (loaded, path), taken in zip(models, seconds, strict=True)]


def predict_one(loaded: LoadedModel, members: Members) -> dict[str, torch.Tensor]:
    """Head → its answer on one sample, on the CPU."""
    device = next(loaded.model.parameters()).device
    inputs = {}
    for name in loaded.model.modalities:
        reader, data = loaded.readers[name], members.get(name)
        given = reader.collate([None if data is None else reader.read(data)])
        inputs[name] = ModalityBatch(given.values.to(device), None if given.lengths is None else given.lengths.to(device))
    present_BM = torch.tensor([[name in members for name in loaded.model.modalities]], device=device)
    with torch.inference_mode():
        outputs = loaded.model.predict(loaded.model(inputs, present_BM))
    return {head: output.cpu() for head, output in outputs.items()}


def machine() -> str:
    """What computes here, in words; no name of a host."""
    words = [processor(), f"{os.cpu_count() or 1} CPUs"]
    if torch.cuda.is_available():
        words.append(torch.cuda.get_device_name())
    return ", ".join(words)


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's own name where Linux tells it, else its architecture."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return " ".join(named[0].split()) if named and named[0] else platform.machine() or "unknown processor"


def _samples(shard_set: ShardSet, split: str) -> list[Members]:
    count = shard_set.num_samples(split)
    positions = np.unique(np.linspace(0, count - 1, min(NUM_SAMPLES, count)).astype(int))
    return [sample.members for sample in shard_set.samples(split, positions.tolist())]


def _facts(loaded: LoadedModel, path: Path, seconds: Sequence[float]) -> dict[str, Any]:
    p50, p95 = np.quantile(np.asarray(seconds) * 1000, [0.5, 0.95])
    return {
        "parameters": sum(parameter.numel() for parameter in loaded.model.parameters()),
        "size_bytes": (path / WEIGHTS).stat().st_size,
        "latency_ms": {"p50": round(float(p50), 3), "p95": round(float(p95), 3)},
        "batch_size": 1,
        "machine": machine(),
        "measured": MEASURED,
        "calls": len(seconds),
        "warm_up": WARM_UP,
        "threads": torch.get_num_threads(),
    }
