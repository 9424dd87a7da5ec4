"""What the models of two recipes say, beside what is true: shared by the benchmarks `transcription` and `captioning`.

A model is asked once for what its head gives, which is then decoded in as many ways as are to be compared. Rates are over the whole split,
their intervals over resampled groups, and differences between ways are paired.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import measure
from benchmarks.medley import ROOT, medley
from tasks.contracts import Batch
from tasks.evaluation.intervals import Bootstrap, resampled_sums
from tasks.evaluation.texts import TextSums
from tasks.models.load import LoadedModel, load_model
from tasks.models.predict import texts
from tasks.shards.loader import Loader
from tasks.shards.read import ShardSet

BOOTSTRAP = Bootstrap(resamples=10_000)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Made:
    """What a recipe made."""

    model: LoadedModel
    shards: ShardSet


def made(recipe: Path, store: Path, options: Sequence[str] = ()) -> Made:
    """Run a recipe up to its model with a store of its own, and open model and shards."""
    outcome = measure.run([medley(), "run", recipe, "--store", store, "--until", "model", "--json", *options], cwd=ROOT)
    measure.check(outcome)
    steps = json.loads(outcome.stdout)["steps"]
    return Made(load_model(Path(steps["model"]["artifact"])), ShardSet.open(Path(steps["shards"]["artifact"])))


def batches(of: Made, split: str, batch_size: int = 32) -> Iterator[tuple[Batch, NDArray[np.bool_]]]:
    """The split in its order, with which rows of each batch are no padding."""
    loader = Loader(of.shards, split, of.model.readers, {}, batch_size=batch_size)
    for batch in loader.evaluation():
        yield batch, (batch.weight > 0).numpy()


def true_texts(of: Made, split: str) -> list[str]:
    """Every caption as it is stored, however long."""
    samples = of.shards.stream(split, range(of.shards.num_samples(split)), modalities=["text"])
    return [sample.members["text"].decode() for sample in samples]


def said(of: Made, head: str, split: str, ways: Mapping[str, Any], given: Sequence[str] | None = None) -> dict[str, list[str]]:
    """Way → what the head says of each sample; a way is the head's config. `given`: the modalities that the model may see."""
    model = of.model.model
    reader, module = of.model.readers["text"], cast(Any, model.head(head))
    found: dict[str, list[str]] = {way: [] for way in ways}
    for batch, kept in batches(of, split):
        present_BM = model.present_BM(batch)
        if given is not None:
            present_BM = present_BM & torch.tensor([name in given for name in model.modalities])
        with torch.inference_mode():
            output = module(model.features(model.encode(batch.inputs, present_BM), present_BM))
            for way, config in ways.items():
                module.config = config
                if hasattr(module, "lend"):
                    module.lend(reader)
                everything = texts(module.predict(output), reader)
                found[way] += [each for each, wanted in zip(everything, kept.tolist(), strict=True) if wanted]
    return found


def rates(
    true: Sequence[str], ways: Mapping[str, Sequence[str]], groups: Sequence[str], rate: Callable[[TextSums], Floats]
) -> tuple[dict[str, dict[str, Any]], dict[str, Floats]]:
    """Way → the rate with its interval, and way → the rate in each resample, the same resamples for all ways."""
    groups_N, entries, drawn = np.asarray(groups), {}, {}
    for way, texts_ in ways.items():
        columns = TextSums.columns(true, texts_)
        drawn[way] = rate(TextSums.of_columns(resampled_sums(columns, groups_N, BOOTSTRAP)))
        value = float(rate(TextSums.of_columns(np.asarray([column.sum() for column in columns]))))
        entries[way] = measure.metric(value, *np.quantile(drawn[way], [0.025, 0.975]).tolist())
    return entries, drawn


def difference(one: str, other: str, entries: Mapping[str, dict[str, Any]], drawn: Mapping[str, Floats]) -> dict[str, Any]:
    """One way's rate minus another's, paired."""
    value = entries[one]["median"] - entries[other]["median"]
    return measure.metric(value, *np.quantile(drawn[one] - drawn[other], [0.025, 0.975]).tolist())
