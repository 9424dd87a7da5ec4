"""Does `medley drift` keep quiet when nothing moved, and speak when something did: false alarms, detection, seconds.

Quiet: the demo's samples, one of each picture, are dealt into two halves at random, 200 times; an alarm is any feature of any modality
that is significant at alpha = 0.05, however small (level 0). Goal: the rate is at most 0.05, or not above it by more than chance allows
(the number of alarms is at most the 99th percentile of a binomial with that rate). Beside it the rate at the settings that the verb has
by default.

Detection: of 50 such deals of 100 samples a side, in how many the changed modality moved, and no other, at the default settings: pictures
darkened by a fifth, sounds 3 dB louder, captions without their second word. Goal: 0.9.

Seconds: one comparison of two sketches of 2,000 samples each; sketching 1,000 samples of the demo.
"""

from __future__ import annotations

import importlib
import io
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.stats import binom, binomtest

from benchmarks import measure
from benchmarks.medley import ROOT
from tasks.drift.compare import Settings, compare
from tasks.drift.measure import Sample, sketch_samples
from tasks.drift.samples import of_records
from tasks.drift.sketch import Sketch, from_bytes, to_bytes
from tasks.modalities import MODALITIES
from tasks.modalities.audio_header import read_header
from tasks.modalities.audio_samples import mono, wav_bytes

RESAMPLES, DETECTIONS = 200, 50
ALPHA = 0.05
SIDE = 100
"""Samples of each side of a detection."""
GOAL_DETECTED = 0.9


def run(rounds: int) -> dict[str, Any]:
    """Rates with Clopper and Pearson's 95 % intervals; seconds as medians over `rounds`."""
    with tempfile.TemporaryDirectory(prefix="medley-drift-") as folder:
        samples = demo(Path(folder))
    whole = sketched(samples)
    ratios: dict[str, Any] = {}
    for name, settings, bound in (("false_alarms", Settings(ALPHA, 0.0), ALPHA), ("false_alarms_by_default", Settings(), Settings().alpha)):
        alarms = sum(bool(compare(*halves(whole, seed), replace(settings, seed=seed)).moved) for seed in range(RESAMPLES))
        ratios[name] = rate(alarms, RESAMPLES, bound, ok=alarms <= binom.ppf(0.99, RESAMPLES, bound))
    for name, modality, change in SHIFTS:
        moved = sketched([change(sample) for sample in samples])
        found = [compare(*pair(whole, moved, seed), Settings(seed=seed)).moved for seed in range(DETECTIONS)]
        detected = sum(one == (modality,) for one in found)
        ratios[f"detected_{name}"] = rate(detected, DETECTIONS, GOAL_DETECTED, ok=detected / DETECTIONS >= GOAL_DETECTED)
    large = [resized(whole, 2000, seed) for seed in (0, 1)]
    sides = {"compare_s": lambda: timed(lambda: compare(*large)), "sketch_1000_s": lambda: timed(lambda: sketched(samples[:1000]))}
    seconds = measure.interleave(rounds, sides)
    ratios |= {name: measure.median(values) for name, values in seconds.items()}
    return {"name": "drift", "ok": all(entry["ok"] for entry in ratios.values()), "ratios": ratios}


def demo(folder: Path) -> list[Sample]:
    """One sample of each of the demo's pictures, as `prepare` stores them."""
    sys.path.insert(0, str(ROOT / "examples" / "digits"))
    try:
        module = importlib.import_module("corpus")
        source = module.DigitsSource(module.DigitsSource.Config(format="corpus:DigitsSource", seed=0), ROOT / "examples" / "digits")
        records = list(source.records(folder))
    finally:
        sys.path.pop(0)
    prepare = {name: entry.prepare().model_dump(mode="json") for name, entry in MODALITIES.items()}
    return list(of_records(records, folder, prepare, 20_000).samples)


def sketched(samples: Sequence[Sample]) -> Sketch:
    return from_bytes(to_bytes(sketch_samples(samples, len(samples), {"digit": "category"})), "in memory")


def halves(whole: Sketch, seed: int) -> tuple[Sketch, Sketch]:
    """Two samples of one distribution."""
    dealt = np.random.default_rng(seed).permutation(len(whole))
    return whole.rows(dealt[::2]), whole.rows(dealt[1::2])


def pair(whole: Sketch, moved: Sketch, seed: int) -> tuple[Sketch, Sketch]:
    """Some samples as they are, and others changed."""
    dealt = np.random.default_rng(seed).permutation(len(whole))
    return whole.rows(dealt[:SIDE]), moved.rows(dealt[SIDE : 2 * SIDE])


def resized(whole: Sketch, rows: int, seed: int) -> Sketch:
    return whole.rows(np.random.default_rng(seed).integers(0, len(whole), rows))


def timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def rate(number: int, of: int, goal: float, *, ok: bool) -> dict[str, Any]:
    bounds = binomtest(number, of).proportion_ci(0.95, method="exact")
    return measure.metric(number / of, float(bounds.low), float(bounds.high), goal=goal, ok=ok)


def darker(sample: Sample) -> Sample:
    """Pictures four fifths as bright."""
    buffer = io.BytesIO()
    Image.fromarray((np.asarray(Image.open(io.BytesIO(sample.members["image"]))) * 0.8).astype(np.uint8)).save(buffer, "PNG")
    return replace(sample, members={**sample.members, "image": buffer.getvalue()})


def louder(sample: Sample) -> Sample:
    """Sounds 3 dB louder, cut off at full scale."""
    header = read_header(sample.members["audio"])
    samples = mono(sample.members["audio"], header).astype(np.float64) * 10 ** (3 / 20)
    data = wav_bytes(np.clip(samples, -32_768, 32_767).astype(np.int16), header.rate_hz)
    return replace(sample, members={**sample.members, "audio": data})


def shorter(sample: Sample) -> Sample:
    """Captions without their second word."""
    words = sample.members["text"].decode().split()
    return replace(sample, members={**sample.members, "text": " ".join(words[:1] + words[2:]).encode()})


SHIFTS = (("darker", "image", darker), ("louder", "audio", louder), ("shorter", "text", shorter))
