"""Real data as sketches: handwritten digits with spoken and written names, stamps in several languages, speech of six people."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tasks.contracts import SourceRecord
from tasks.drift.measure import Sample, sketch_samples
from tasks.drift.samples import of_records
from tasks.drift.sketch import Sketch
from tasks.modalities import MODALITIES
from tests.examples.conftest import EXAMPLES, on_path

FSDD = EXAMPLES.parent.parent / "shared" / "data" / "fsdd.zip"
STAMPS = Path("/usr/share/tuxpaint/stamps")


def prepare(*modalities: str, **changes: dict[str, Any]) -> dict[str, Any]:
    """Each medium's `prepare` with its defaults, as shards.json has it."""
    return {name: MODALITIES[name].prepare.model_validate(changes.get(name, {})).model_dump(mode="json") for name in modalities}


def digits(folder: Path) -> list[SourceRecord]:
    """The demo's records; their media are written below `folder`."""
    with on_path(EXAMPLES / "digits"):
        module = importlib.import_module("corpus")
        source = module.DigitsSource(module.DigitsSource.Config(format="corpus:DigitsSource", seed=0), EXAMPLES / "digits")
        return list(source.records(folder))


def spoken(folder: Path) -> list[SourceRecord]:
    """Real recordings; the speaker is what a key begins with."""
    with on_path(EXAMPLES / "spoken_digits"):
        module = importlib.import_module("spoken_corpus")
        kind = module.SpokenDigitsSource
        source = kind(kind.Config(format="spoken_corpus:SpokenDigitsSource", archive=str(FSDD)), EXAMPLES / "spoken_digits")
        return list(source.records(folder))


def stamps(folder: Path) -> list[SourceRecord]:
    """Pictures with captions and recordings in eleven languages."""
    with on_path(EXAMPLES / "stamps"):
        module = importlib.import_module("stamps")
        source = module.Stamps(module.Stamps.Config(format="stamps:Stamps", path=str(STAMPS)), EXAMPLES / "stamps")
        return list(source.records(folder))


def sketch(
    records: Iterable[SourceRecord],
    folder: Path,
    prepared: dict[str, Any],
    size: int = 2000,
    change: Callable[[Sample], Sample] = lambda sample: sample,
) -> Sketch:
    """Of records, with each sample changed on the way."""
    chosen = of_records(list(records), folder, prepared, size)
    return sketch_samples([change(sample) for sample in chosen.samples], chosen.records, chosen.label_kinds)


def darkened(factor: float) -> Callable[[Sample], Sample]:
    """Pictures that many times as bright."""

    def change(sample: Sample) -> Sample:
        picture = Image.open(io.BytesIO(sample.members["image"]))
        dark = Image.fromarray((np.asarray(picture) * factor).astype(np.uint8))
        buffer = io.BytesIO()
        dark.save(buffer, "PNG")
        return replace(sample, members={**sample.members, "image": buffer.getvalue()})

    return change


def toy(rows: int, seed: int, **shifts: float) -> Sketch:
    """Made of random numbers: two features of pictures, two of texts, a class, a vector, a label; `image_a=1.0` moves one."""
    generator = np.random.default_rng(seed)
    names = ("image.a", "image.b", "text.a", "text.b")
    numbers = {name: generator.normal(shifts.get(name.replace(".", "_"), 0.0), size=rows) for name in names}
    vectors = {"text.vocabulary": generator.normal(shifts.get("text_vocabulary", 0.0), size=(rows, 6)).astype(np.float32)}
    classes = {
        "text.language": generator.choice(["en", "fr", "ru"], size=rows, p=[0.5, 0.3, 0.2]).astype(np.str_),
        "label.digit": generator.choice(list("0123456789"), size=rows).astype(np.str_),
    }
    present = {"image": np.ones(rows, dtype=bool), "text": np.ones(rows, dtype=bool)}
    hashes = np.sort(generator.integers(0, 1 << 63, rows, dtype=np.uint64))
    return Sketch(hashes, generator.integers(0, 1 << 63, rows, dtype=np.uint64), numbers, classes, vectors, present, {"records": rows})
