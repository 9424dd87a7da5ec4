"""A survey → the text of a recipe, with a comment on every line that was guessed.

In: a `Survey`, a `Plan`, where the recipe will lie. Out: YAML that `medley check` accepts. Without labels it ends with the shards.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pipeline.draft.choose import TEST, VAL, Plan
from pipeline.draft.columns import textual
from pipeline.draft.survey import Survey
from tasks.sources.config import TableSource

ENCODER = {"image": "cnn", "audio": "cnn_lstm", "text": "gru"}
ENCODER_ABOUT = {
    "cnn": "convolutions over the picture",
    "cnn_lstm": "convolutions over time and frequency, then an LSTM over time",
    "gru": "a recurrent network over tokens",
}
COMMENT_AT = 52
"""Column in which comments begin, where a line leaves room."""

Line = tuple[str, str]
"""Text and comment."""


def recipe_text(survey: Survey, plan: Plan, recipe: Path) -> str:
    """The whole recipe."""
    lines = [*_head(survey, plan, recipe), *_corpus(survey, plan, recipe), *_shards(survey)]
    if survey.labels:
        lines += [*_model(survey, plan), *_judged(survey, plan)]
    return "".join(f"{_joined(text, comment)}\n" for text, comment in lines)


def _joined(text: str, comment: str) -> str:
    if text.strip() and comment:
        return f"{text:<{COMMENT_AT - 1}} # {comment}"
    return f"{text}# {comment}" if comment else text


def name_of(survey: Survey) -> str:
    """The data's name, as a recipe and a registered model may be called."""
    path = Path(survey.source.path)
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", path.stem if path.suffix and isinstance(survey.source, TableSource) else path.name)
    return name.strip("_-")[:100] or "data"


def _head(survey: Survey, plan: Plan, recipe: Path) -> Iterator[Line]:
    yield "", f"A first recipe for {survey.source.path}, from a look at it. Every guess says what it comes from; change what is wrong."
    yield "", ""
    for command, about in (
        ("check", "is the recipe sound"),
        ("plan", "what would run, and why"),
        ("run --limit 200", f"a smoke run with 200 records{'; the gate may find them too few' if survey.labels else ''}"),
        ("run", "all of it; the same command goes on after a stop"),
    ):
        verb, _, option = command.partition(" ")
        yield "", f"{f'    medley {verb} {recipe.name} {option}':<44}{about}"
    notes = [*survey.notes, *plan.notes]
    if notes:
        yield "", ""
    for note in notes:
        yield "", f"Note: {note}."
    yield "", ""
    yield f"name: {scalar(name_of(survey))}", "of the experiment and of the registered model"
    yield "store: .medley", "everything that is made goes here, seen from this file's folder"
    yield "seed: 0", "of weights, order and dropout"
    yield "", ""
    yield "steps:", "each is stored under the hash of what went into it, and done once"


def _corpus(survey: Survey, plan: Plan, recipe: Path) -> Iterator[Line]:
    has = ", ".join(f"{name} in {number:,}" for name, number in survey.modalities.items())
    yield "  corpus:", f"{survey.records:,} records: {has}"
    yield "    task: ingest", "lists the records and hashes every file, which stays where it is"
    yield "    source:", "where the records come from"
    yield from _table(survey, recipe) if isinstance(survey.source, TableSource) else _folder(survey, recipe)
    if survey.splits:
        yield "    ", f"The source says which record is in which split: {_counts(survey.splits)}."
    else:
        salt = f", salt: '{plan.salt}'" if plan.salt else ""
        yield (
            f"    split: {{by: group, val: {VAL:g}, test: {TEST:g}{salt}}}",
            f"by a hash, so that new data never moves old: {_counts(plan.counts)}",
        )
        if salt:
            yield "    ", "The salt was chosen so that every split has records and every class is trained on, as far as it goes."


def _folder(survey: Survey, recipe: Path) -> Iterator[Line]:
    source = survey.source
    yield "      format: folder", "files that share a path without its extension are one sample"
    yield f"      path: {scalar(_seen_from(recipe, source.path))}", "seen from this file's folder"
    if source.splits:
        yield "      splits: true", "the folders at the top are train, val and test"
    if source.label:
        yield f"      label: {source.label}", f"the folders are {_classes(survey, source.label)}"
    else:
        yield "      label: null", "no folder says what a sample is"
    if survey.ignored:
        listed = ", ".join(f"{number:,} x .{name}" if name else f"{number:,} without extension" for name, number in survey.ignored.items())
        yield "      ", f"Left out, being of no known kind: {listed}."


def _table(survey: Survey, recipe: Path) -> Iterator[Line]:
    source = survey.source
    about = {column.name: column.about for column in survey.columns}
    yield "      format: table", "a row for each sample; an empty cell is an absent medium or label"
    yield f"      path: {scalar(_seen_from(recipe, source.path))}", "seen from this file's folder"
    yield "      columns:", "modality: column"
    for modality, column in source.columns.items():
        value = f"{{column: {scalar(column.column)}, inline: true}}" if column.inline else scalar(column.column)
        yield f"        {modality}: {value}", about[column.column]
    if source.labels:
        yield "      labels:", "what to predict"
    for name, label in source.labels.items():
        kind = ", kind: number" if label.kind == "number" else ""
        yield f"        {scalar(name)}: {{column: {scalar(label.column)}{kind}}}", about[label.column]
    for role, why in (("group", "never parted by a split"), ("split", "which split a row is in"), ("key", "names each sample")):
        column = getattr(source, role)
        if column:
            yield f"      {role}: {scalar(column)}", f"{why}: {about[column]}"
    used = set(source.names())
    for column in survey.columns:
        if column.name not in used:
            yield "      ", f"Column {column.name!r} is not used: {column.about}."


def _shards(survey: Survey) -> Iterator[Line]:
    yield "", ""
    yield "  shards:", "WebDataset tars, an index, and a ledger with a row for each record"
    yield "    task: shard", "checks and stores every medium; a bad one goes to the ledger"
    yield "    corpus: corpus", "an input names the step that makes it"
    yield "    prepare:", "how members are stored; {} = as they are, when they are sound"
    for modality, reading in survey.readings.items():
        yield f"      {modality}: {flow(reading.prepare)}", reading.seen
    fits = {modality: reading.fit for modality, reading in survey.readings.items() if reading.fit}
    if fits:
        yield "    fit:", "learned from the training split alone"
    for modality, fit in fits.items():
        yield f"      {modality}: {flow(fit)}", "the vocabulary suits how much text there is"
    if any(survey.labels.values()):
        yield "    unseen_labels: drop", "a class that training never sees is left out; `error` stops instead"


def _model(survey: Survey, plan: Plan) -> Iterator[Line]:
    yield "", ""
    yield "  model:", "an encoder a modality, attention over what they find, a head a label"
    yield "    task: train", "goes on where it was when it is stopped"
    yield "    shards: shards", "what it reads"
    yield "    read:", "how stored members become tensors"
    for modality, reading in survey.readings.items():
        yield (
            f"      {modality}: {flow(reading.read)}",
            reading.why,
        )
    yield "    model:", "its parts"
    yield "      encoders:", "a modality that a sample lacks is a learned token"
    for modality in survey.readings:
        yield f"        {modality}: {{kind: {ENCODER[modality]}}}", ENCODER_ABOUT[ENCODER[modality]]
    yield "      fusion: {kind: attention}", "`concat` is faster, and looks at each modality alone"
    yield "      heads:", "what is predicted: a head for each label"
    for name, classes in survey.labels.items():
        kind = "classification" if classes else "regression"
        yield f"        {scalar(name)}: {{kind: {kind}}}", _classes(survey, name) if classes else "a quantity"
    yield f"    epochs: {plan.epochs}", f"{plan.epochs * (plan.counts.get('train', 0) // plan.batch_size):,} steps; fewer for a quick look"
    yield f"    batch_size: {plan.batch_size}", f"for {plan.counts.get('train', 0):,} training records; a multiple of 4 streams"
    if not plan.counts.get("val"):
        yield "    select: last", "no record validates, so the final weights are kept"
    yield "    resources: {workers: 0}", "0 = in this process; with GPUs: {workers: 1, gpus: 1}"


def _judged(survey: Survey, plan: Plan) -> Iterator[Line]:
    name, split = name_of(survey), next((split for split in ("test", "val") if plan.counts.get(split)), None)
    if split is None:
        yield "", ""
        yield "  ", "There is neither a test nor a val split, so nothing can be measured and nothing promoted."
        return
    samples = plan.counts[split]
    yield "", ""
    yield "  report:", "numbers with intervals for every subset of modalities, and a page"
    yield "    task: evaluate", "medley report --open shows the page"
    yield "    model: model", "the model to judge"
    yield "    shards: shards", "on these samples"
    yield (
        f"    split: {split}",
        f"{samples:,} records" + ("" if split == "test" else "; they also chose the weights, so the numbers are too good"),
    )
    yield f'    baseline: "models:/{name}@champion"', "compared on the same rows; none yet = first model"
    yield "", ""
    yield f"  version: {{task: register, model: model, report: report, name: {scalar(name)}}}", "a number in MLflow"
    head = next((label for label, classes in survey.labels.items() if classes), None)
    if head is None:
        yield "  ", "The gate compares accuracies, so a model that predicts numbers alone is registered and not promoted."
        return
    yield "", ""
    yield "  champion:", "the version becomes champion unless it is worse than the one before"
    yield "    task: promote", "writes the decision into the store's log, yes or no"
    yield "    version: version", "what asks for the alias"
    yield "    report: report", "what it is judged by"
    yield "    alias: champion", "models:/" + name + "@champion is then this version"
    least = min(100, samples)
    few = "; few to decide on" if least < 100 else ""
    yield f"    gate: {{head: {scalar(head)}, margin: 0.02, min_samples: {least}}}", f"a loss of up to 2 points is let through{few}"


def _classes(survey: Survey, label: str) -> str:
    classes = survey.labels[label]
    shown = ", ".join(f"{textual(name)} ({number:,})" for name, number in list(classes.items())[:5])
    return f"{len(classes):,} classes: {shown}{', …' if len(classes) > 5 else ''}"


def _counts(splits: dict[str, int] | Any) -> str:
    return ", ".join(f"{split} {splits.get(split, 0):,}" for split in ("train", "val", "test"))


def _seen_from(recipe: Path, path: str) -> str:
    """Relative where that is short, since a folder is often moved as a whole."""
    relative = os.path.relpath(path, recipe.absolute().parent)
    return path if relative.startswith("../../..") else relative


def scalar(value: str) -> str:
    """A string as YAML reads it back, on one line."""
    if not value.isprintable():
        return json.dumps(value)
    return yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000).removesuffix("\n").removesuffix("\n...")


def flow(value: dict[str, Any]) -> str:
    """A mapping on one line."""
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000).strip()
