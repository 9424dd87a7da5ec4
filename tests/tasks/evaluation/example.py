"""A made-up evaluation that looks like a real one: 600 digits seen, heard and captioned, a class head and a number head."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile
from PIL import Image

from tasks.contracts import Artifact
from tasks.evaluate import SlicingConfig
from tasks.evaluation.cost import MEASURED
from tasks.evaluation.intervals import Bootstrap
from tasks.evaluation.page.cards import Card, make_card
from tasks.evaluation.page.choose import choose
from tasks.evaluation.page.comparison import Changed, compared_card, render_comparison
from tasks.evaluation.page.curves import charts
from tasks.evaluation.page.render import render_page, scatters
from tasks.evaluation.page.sides import changed_sides
from tasks.evaluation.predict import HeadPredictions, Predictions
from tasks.evaluation.report import baseline_facts, baseline_values, notes, score_heads
from tasks.evaluation.slices import Sliced, cut, score_slices
from tasks.evaluation.subsets import all_subsets, subset_members

MODALITIES = ("audio", "image", "text")
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CLASSES = tuple("0123456789")
BOOTSTRAP = Bootstrap(resamples=400)
STRENGTH = {"audio": 1.6, "image": 1.9, "text": 1.5}


@dataclass
class Example:
    predictions: Predictions
    labels: dict[str, Any]
    groups: Any
    baseline: Predictions
    classes: tuple[str, ...]

    def members(self, at: int) -> dict[str, bytes]:
        present = self.predictions.present[at]
        digit = int(self.labels["digit"][at])
        made = {"audio": sound(digit, at), "image": picture(digit, at), "text": f"a handwritten {WORDS[digit % 10]}".encode()}
        return {name: made[name] for name, here in zip(MODALITIES, present, strict=True) if here}


def example(num_samples: int = 600, classes: tuple[str, ...] = CLASSES, seed: int = 0) -> Example:
    rng = np.random.default_rng(seed)
    digit_N = rng.integers(0, len(classes), num_samples)
    present = rng.random((num_samples, len(MODALITIES))) > 0.03
    present[:, 1] |= ~present.any(axis=1)
    evidence = {
        name: STRENGTH[name] * present[:, [place]] * (np.eye(len(classes))[digit_N] * 2.2 + rng.normal(size=(num_samples, len(classes))))
        for place, name in enumerate(MODALITIES)
    }
    height_N = 2.0 * digit_N + rng.normal(size=num_samples)
    digit, height = {}, {}
    for subset in all_subsets(MODALITIES):
        logits = sum(evidence[name] for name in subset_members(subset))
        digit[subset] = logits.argmax(axis=1)
        height[subset] = height_N + rng.normal(size=num_samples) * 4 / len(subset_members(subset))
    probability = np.exp(logits - logits.max(axis=1, keepdims=True))
    probability = (probability / probability.sum(axis=1, keepdims=True)).astype(np.float32)
    keys = [f"digits/pair_{at:05d}" for at in range(num_samples)]
    labels = {"digit": digit_N.copy(), "height": height_N}
    labels["digit"][::97] = -1
    heads = {"digit": HeadPredictions(digit, classes, probability), "height": HeadPredictions(height)}
    weak = np.where(rng.random(num_samples) < 0.09, rng.integers(0, len(classes), num_samples), digit_N)
    other = {
        "digit": HeadPredictions({"audio+image+text": weak}, classes, probability),
        "height": HeadPredictions({"audio+image+text": height_N + rng.normal(size=num_samples) * 2}),
    }
    groups = np.asarray([f"picture_{at // 3}" for at in range(num_samples)])
    return Example(
        Predictions(keys, MODALITIES, present, heads),
        labels,
        groups,
        Predictions(keys, MODALITIES, present, other),
        classes,
    )


def report_of(made: Example, heads: tuple[str, ...] = ("digit", "height"), **changed: Any) -> dict[str, Any]:
    """The content of `report.json`."""
    model = Artifact("model", "4f1c" * 16, path=None, step="model")  # type: ignore[arg-type]
    rival = Artifact("model", "77ab" * 16, path=None, reference="models:/digits/3")  # type: ignore[arg-type]
    sliced = slices_of(made)
    scored = score_heads(made.predictions, made.labels, made.groups, made.baseline, BOOTSTRAP, num_bins=15)
    steps = [
        ("corpus", "ingest", {}, "cached"),
        ("shards", "shard", {"corpus": "corpus"}, "cached"),
        ("model", "train", {"shards": "shards"}, "ran"),
        ("report", "evaluate", {"model": "model", "shards": "shards", "baseline": "models:/digits@champion"}, "running"),
        ("version", "register", {"model": "model", "report": "report"}, ""),
        ("champion", "promote", {"version": "version", "report": "report"}, ""),
    ]
    report = {
        "format": 1,
        "split": "test",
        "samples": len(made.predictions.keys),
        "groups": int(np.unique(made.groups).size),
        "confidence": 0.95,
        "resamples": 400,
        "seed": 0,
        "modalities": list(MODALITIES),
        "model": {"key": model.key, "step": "model", "num_parameters": 184_330},
        "shards": {"key": "ab12" * 16, "step": "shards"},
        "baseline": baseline_facts(rival),
        "heads": {name: scored[name] for name in heads},
        "slices": score_slices(
            sliced, made.predictions.heads, made.labels, baseline_values(made.predictions, made.baseline), made.groups, BOOTSTRAP
        ),
        "slicing": {column.column: column.facts for column in sliced},
        "cost": cost(184_330),
        "baseline_cost": cost(171_204),
        "notes": notes(scored, "models:/digits@champion", rival, model, {"digit", "height"}),
        "data": facts(made.classes),
        "lineage": {
            "recipe": "digits",
            "run": "2026-11-22T15-04-05-digits-3fa9",
            "step": "report",
            "key": "9c3e" * 16,
            "code_revision": "1f0c2d9a7be4",
            "libraries": {"torch": "2.14.1", "ray": "2.60.0", "numpy": "2.4.6", "pillow": "13.0.0", "soundfile": "0.14.0"},
            "steps": [
                {"name": name, "task": task, "key": f"{place}a7d" * 16, "inputs": inputs, "status": status}
                for place, (name, task, inputs, status) in enumerate(steps)
            ],
        },
    }
    return report | changed


def slices_of(made: Example) -> list[Sliced]:
    """A column of words, some of them rare, and one of numbers."""
    number = len(made.predictions.keys)
    voices = [None if at % 50 == 49 else f"voice {at % 7 * (at % 4 > 0)}" if at % 41 else f"rare {at}" for at in range(number)]
    columns = {"voice": pa.chunked_array([voices]), "audio.size": pa.chunked_array([[900 + at * 7919 % 1000 for at in range(number)]])}
    return [cut(name, values, SlicingConfig()) for name, values in columns.items()]


def cost(parameters: int) -> dict[str, Any]:
    return {
        "parameters": parameters,
        "size_bytes": 4 * parameters + 5000,
        "latency_ms": {"p50": parameters / 50_000, "p95": parameters / 30_000},
        "batch_size": 1,
        "machine": "Some Processor, 2 CPUs",
        "measured": MEASURED,
        "calls": 100,
        "warm_up": 10,
        "threads": 2,
    }


def facts(classes: tuple[str, ...]) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    sizes = {"train": 4200, "val": 610, "test": 1040}
    return {
        "samples": 5850,
        "shards": 24,
        "bytes": 118_400_000,
        "splits": {
            name: {"samples": size, "shards": size // 240, "bytes": size * 20_000, "groups": size // 3} for name, size in sizes.items()
        },
        "ledger": {"in": 5880, "written": 5850, "filtered": 4, "duplicate": 12, "quarantined": 14, "forgotten": 0},
        "left_out": {
            "filtered": {"text/too_short": 4},
            "duplicate": {"duplicate": 12},
            "quarantined": {"image/truncated": 8, "audio/empty": 5, "text/not_utf8": 1},
        },
        "classes": {
            "digit": {
                name: {value: int(size / len(classes) * rng.uniform(0.85, 1.15)) for value in classes} for name, size in sizes.items()
            }
        },
        "numbers": {"height": {name: {"samples": size, "min": -2.1, "mean": 9.02, "max": 20.7} for name, size in sizes.items()}},
        "modalities": {
            "audio": {"samples": 5800, "bytes": 110_000_000, "extensions": {"flac": 5800}, "splits": sizes},
            "image": {"samples": 5850, "bytes": 1_100_000, "extensions": {"png": 5850}, "splits": sizes},
            "text": {"samples": 5790, "bytes": 118_000, "extensions": {"txt": 5790}, "splits": sizes},
        },
    }


def metric_lines(num_epochs: int = 8, steps: int = 60) -> list[dict[str, Any]]:
    rng = np.random.default_rng(2)
    lines: list[dict[str, Any]] = []
    for epoch in range(num_epochs):
        for step in range(0, steps, 10):
            at = epoch * steps + step + 10
            lines.append(
                {
                    "step": at,
                    "epoch": epoch,
                    "train/loss": 2.3 * np.exp(-at / 130) + 0.12 + 0.05 * rng.random(),
                    "train/samples_per_s": 900.0,
                }
            )
        at = (epoch + 1) * steps
        lines.append(
            {
                "step": at,
                "epoch": epoch,
                "val/loss": 2.2 * np.exp(-at / 120) + 0.3 + at / 4000,
                "val/digit/accuracy": 1 - 0.9 * np.exp(-at / 110),
            }
        )
    return [{key: value if isinstance(value, int) else float(value) for key, value in line.items()} for line in lines]


def cards_of(made: Example) -> list[Card]:
    return [make_card(at, made.members(at), made.predictions, made.labels) for at in choose(made.predictions, made.labels, made.groups)]


def page_of(
    made: Example,
    report: dict[str, Any],
    recipe_text: str = "name: digits\nsteps: {}\n",
    cards: list[Card] | None = None,
    lines: list[dict[str, Any]] | None = None,
) -> str:
    pictures = {name: drawn for name, drawn in scatters(made.predictions, made.labels).items() if name in report["heads"]}
    curves = charts(metric_lines() if lines is None else lines, 7)
    return render_page(report, curves, cards_of(made) if cards is None else cards, pictures, recipe_text)


def comparison_of(made: Example, report: dict[str, Any], number: int = 4) -> str:
    """The page beside the report."""
    changed = {}
    for head, values in baseline_values(made.predictions, made.baseline).items():
        if values is None or head not in report["heads"]:
            continue
        own, rival = made.predictions.heads[head], made.baseline.heads[head]
        sides = changed_sides(own, rival, values, made.labels[head], made.groups, number)
        won, lost = (
            [
                compared_card(make_card(at, made.members(at), made.predictions, made.labels), head, rival, at, made.labels[head][at])
                for at in positions
            ]
            for positions in (sides.won, sides.lost)
        )
        changed[head] = Changed(won, lost, sides.num_won, sides.num_lost)
    return render_comparison(report, changed)


def picture(digit: int, at: int) -> bytes:
    rng = np.random.default_rng(at)
    cells = rng.integers(0, 90, (8, 8))
    cells[1:7, 2 + digit % 4] = 240
    cells[2 + digit % 10 // 2, 1:7] = 220
    out = io.BytesIO()
    Image.fromarray(cells.astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def sound(digit: int, at: int, seconds: float = 0.7, rate: int = 16_000) -> bytes:
    rng = np.random.default_rng(at)
    time = np.arange(int(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * (180 + 40 * (digit % 10)) * time) * np.sin(np.pi * time / seconds) ** 2
    out = io.BytesIO()
    soundfile.write(out, 0.5 * tone + 0.05 * rng.normal(size=time.size), rate, format="FLAC", subtype="PCM_16")
    return out.getvalue()
