"""The model card: what a version is, what it was made from and how well it does, as model hubs read it.

In: the folders of a model and its report, the lineage of the run at hand, and what the recipe states. Out: Markdown with YAML front matter
(docs: huggingface.co/docs/hub/model-cards), a pure function of these. Every number is from the report or a manifest; what nobody stated is
said to be not stated. Must not import torch or mlflow.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tasks.contracts import Artifact, Lineage
from tasks.evaluation.measures import MEASURED, Measure

HUB_LICENSES = (
    *(
        "apache-2.0",
        "mit",
        "bsd",
        "bsd-2-clause",
        "bsd-3-clause",
        "isc",
        "zlib",
        "unlicense",
        "wtfpl",
        "mpl-2.0",
        "gpl-2.0",
        "gpl-3.0",
        "lgpl-2.1",
    ),
    *(
        "lgpl-3.0",
        "agpl-3.0",
        "artistic-2.0",
        "afl-3.0",
        "ecl-2.0",
        "epl-2.0",
        "eupl-1.1",
        "eupl-1.2",
        "cc0-1.0",
        "cc-by-2.0",
        "cc-by-3.0",
        "cc-by-4.0",
    ),
    *("cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-4.0"),
    *("odc-by", "odbl", "pddl", "openrail", "llama3", "gemma"),
)
"""Licences that hubs know by an identifier; any other is `other`, with its name beside."""
_TASKS = {
    "category": "classification",
    "number": "regression",
    "multi_label": "multi-label-classification",
    "tagging": "token-classification",
    "localisation": "event-localisation",
    "anomaly": "anomaly-detection",
    "ctc": "automatic-speech-recognition",
    "captioning": "image-to-text",
    "retrieval": "retrieval",
}
"""Kind of head → what the card calls its task."""
_DECIDING = {kind.primary.name for kind in MEASURED.values()}
MAX_SLICES = 12
"""Rows of one table of slices; the report has all."""


@dataclass(frozen=True)
class Stated:
    """What no program can know."""

    name: str
    use: str = ""
    """Markdown: what the model is for, and what it is not for."""
    license: str = ""
    data_license: str = ""


def model_card(stated: Stated, model: Artifact, report: Artifact, lineage: Lineage) -> str:
    """The whole card."""
    facts = json.loads((report.path / "report.json").read_bytes())
    described = json.loads((model.path / "model.json").read_bytes())
    sections = (
        [f"# {stated.name}", *_what(described)],
        ["## Intended use", stated.use.strip() or "The recipe does not state what this model is for."],
        ["## How to load it", *_loading(stated.name)],
        ["## Evaluation", *_evaluation(facts)],
        ["## Training data", *_data(facts, stated, lineage)],
        ["## Training", *_training(model, described)],
        ["## Where it comes from", *_origin(model, report, lineage)],
    )
    front = yaml.safe_dump(_front(stated, described, facts), sort_keys=False, allow_unicode=True, width=1000)
    body = "\n\n".join(block for section in sections for block in section)
    return f"---\n{front}---\n\n{body}\n"


def without_front_matter(card: str) -> str:
    """What a page shows that does not read front matter."""
    return card.split("\n---\n", 1)[1].lstrip("\n")


# ---- front matter ------------------------------------------------------------------------------------------------------


def _front(stated: Stated, described: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    front: dict[str, Any] = {}
    if stated.license:
        known = stated.license.lower() in HUB_LICENSES
        front |= {"license": stated.license.lower()} if known else {"license": "other", "license_name": stated.license}
    front["library_name"] = "medley"
    front["tags"] = ["medley", "multimodal", *described.get("modalities", [])]
    results = [entry for head, numbers in facts.get("heads", {}).items() for entry in _results(head, numbers, facts)]
    if results:
        front["metrics"] = sorted({metric["type"] for entry in results for metric in entry["metrics"]})
        front["model-index"] = [{"name": stated.name, "results": results}]
    return front


def _kind(numbers: Mapping[str, Any]) -> str:
    return str(numbers.get("kind") or ("category" if "accuracy" in numbers else "number"))


def _measures(numbers: Mapping[str, Any]) -> Sequence[Measure]:
    """Empty for a head of which nothing was measured."""
    kind = _kind(numbers)
    return MEASURED[kind].measures if kind in MEASURED else ()


def _results(head: str, numbers: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    metrics = [
        {"type": each.hub or each.name, "value": round(numbers[each.name], 6), "name": f"{head}: {each.words}"}
        for each in _measures(numbers)
        if isinstance(numbers.get(each.name), float)
    ]
    if metrics:
        shards = facts.get("shards", {})
        dataset = {"name": f"shards {shards.get('key', '')[:12]}", "type": "medley-shards", "split": facts["split"]} if shards else {}
        kind = _TASKS[_kind(numbers)]
        yield {
            "task": {"type": kind, "name": f"{kind} of {head}"},
            "dataset": dataset or {"name": "unknown", "type": "medley-shards"},
            "metrics": metrics,
        }


# ---- the text ----------------------------------------------------------------------------------------------------------


def _what(described: Mapping[str, Any]) -> Iterator[str]:
    model = described.get("model", {})
    encoders = ", ".join(f"{name} ({config.get('kind', '')})" for name, config in model.get("encoders", {}).items())
    heads = ", ".join(f"`{name}` ({config.get('kind', '')})" for name, config in model.get("heads", {}).items())
    told = [f"A model of {_listed(described.get('modalities', []))}; any of these may be missing from a sample."]
    if encoders:
        place = f" ({model['placement']})" if "placement" in model else ""
        told.append(f"Encoders: {encoders}. Fusion: {model.get('fusion', {}).get('kind', 'none')}{place}. Heads: {heads}.")
    if "num_parameters" in described:
        told.append(f"{described['num_parameters']:,} parameters.")
    yield " ".join(told)


def _loading(name: str) -> Iterator[str]:
    yield f'```python\nimport mlflow\n\nmodel = mlflow.pyfunc.load_model("models:/{name}@champion")\n```'
    yield "It takes rows with one column for each modality, the bytes of a file or a text, and prepares them as in training."


def _evaluation(facts: Mapping[str, Any]) -> Iterator[str]:
    if not facts.get("heads"):
        yield "The report has no heads."
        return
    percent = f"{facts['confidence']:.0%}" if "confidence" in facts else "confidence"
    yield (
        f"On the split `{facts['split']}`: {facts['samples']:,} samples in {facts['groups']:,} groups. In brackets: {percent} intervals "
        "of a bootstrap over groups."
    )
    rows = [row for head, numbers in facts["heads"].items() for row in _head_rows(head, numbers)]
    yield _table(("head", "metric", "value"), rows)
    for head, numbers in facts["heads"].items():
        metric = next((each.name for each in _measures(numbers)), "")
        if subsets := numbers.get("by_modalities"):
            yield f"`{head}`, when only these modalities are there:"
            yield _table(("modalities", metric), [(name, _value(entry, metric)) for name, entry in subsets.items()])
    yield from _slices(facts)
    yield from _cost(facts.get("cost"))
    if baseline := facts.get("baseline"):
        yield f"It was compared with {baseline['reference']} on the same samples; the report has the differences."
    yield from (f"- {note}" for note in facts.get("notes", []))


def _head_rows(head: str, numbers: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for each in _measures(numbers):
        if isinstance(numbers.get(each.name), float):
            yield f"`{head}`", each.words, _value(numbers, each.name)
    if calibration := numbers.get("calibration"):
        yield f"`{head}`", "expected calibration error", _value({**calibration, "ece_interval": calibration.get("interval")}, "ece")
    if isinstance(numbers.get("majority_accuracy"), float):
        yield f"`{head}`", "accuracy of always saying the commonest class", f"{numbers['majority_accuracy']:.4f}"


def _slices(facts: Mapping[str, Any]) -> Iterator[str]:
    for column, values in facts.get("slices", {}).items():
        for head in facts["heads"]:
            there = [(value, entry["heads"][head]) for value, entry in values.items() if head in entry["heads"]]
            if not there:
                continue
            metric = there[0][1]["metric"]
            rows = [(value, f"{entry['samples']:,}", _value(entry, metric)) for value, entry in there[:MAX_SLICES]]
            left = f" ({len(there) - MAX_SLICES} more are in the report)" if len(there) > MAX_SLICES else ""
            yield f"`{head}` by `{column}`{left}:"
            yield _table((column, "samples", metric), rows)


def _cost(cost: Mapping[str, Any] | None) -> Iterator[str]:
    if cost:
        latency = cost.get("latency_ms", {})
        yield (
            f"Cost: {cost['parameters']:,} parameters, {cost['size_bytes']:,} bytes of weights; one sample takes "
            f"{latency.get('p50', 0):.3g} ms (95th percentile {latency.get('p95', 0):.3g} ms) where the report was made."
        )


def _data(facts: Mapping[str, Any], stated: Stated, lineage: Lineage) -> Iterator[str]:
    yield f"Licence of the data: {stated.data_license or 'not stated in the recipe'}."
    data = facts.get("data", {})
    if splits := data.get("splits"):
        rows = [(name, f"{entry['samples']:,}", f"{entry['groups']:,}", f"{entry['shards']:,}") for name, entry in splits.items()]
        yield _table(("split", "samples", "groups", "shards"), rows)
    if ledger := data.get("ledger"):
        rest = ", ".join(f"{number:,} {name}" for name, number in ledger.items() if name != "in")
        yield f"Of {ledger['in']:,} records: {rest}."
    reasons = [(status, reason, f"{count:,}") for status, each in data.get("left_out", {}).items() for reason, count in each.items()]
    if reasons:
        yield _table(("left out", "reason", "records"), reasons)
    if modalities := data.get("modalities"):
        stored = [(name, f"{entry['samples']:,}", ", ".join(entry["extensions"])) for name, entry in modalities.items()]
        yield _table(("modality", "samples", "stored as"), stored)
    sources = [record for record in lineage.steps if record.task == "ingest"]
    if sources:
        yield "Ingested by: " + ", ".join(f"step `{record.name}` (corpus `{record.key[:12]}`)" for record in sources) + "."


def _training(model: Artifact, described: Mapping[str, Any]) -> Iterator[str]:
    told = [f"{described[name]:,} {name}" for name in ("epochs", "steps") if name in described]
    if "best_epoch" in described:
        told.append(f"weights of epoch {described['best_epoch']}")
    if "seed" in described:
        told.append(f"seed {described['seed']}")
    if told:
        yield ", ".join(told) + "."
    config = _manifest(model.path).get("parts", {}).get("config") or {"model": described.get("model", {})}
    yield f"```yaml\n{yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120).rstrip()}\n```"


def _origin(model: Artifact, report: Artifact, lineage: Lineage) -> Iterator[str]:
    manifest = _manifest(model.path)
    keys = {"model": model.key, "report": report.key, **{f"step {record.name}": record.key for record in lineage.steps if record.key}}
    told = {key: name for name, key in reversed(keys.items())}
    yield _table(("artifact", "key"), [(name, f"`{key}`") for key, name in reversed(told.items())])
    revision = manifest.get("code_revision") or lineage.code_revision
    libraries = manifest.get("libraries") or lineage.libraries
    versions = "".join(f", {name} {number}" for name, number in sorted(libraries.items()))
    yield f"Recipe `{lineage.recipe_name}`, run `{lineage.run}`, code revision `{revision or 'unknown'}`{versions}."
    yield f"`medley trace` says more: every shard with its hash, every sample. Model key `{model.key[:12]}`."


def _manifest(folder: Path) -> Mapping[str, Any]:
    """What the runner wrote beside the model; empty for a model outside a store."""
    path = folder / "manifest.json"
    found: Mapping[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
    return found


def _value(numbers: Mapping[str, Any], metric: str) -> str:
    interval = numbers.get(f"{metric}_interval") or (numbers.get("interval") if metric in _DECIDING else None)
    bounds = f" [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else ""
    value = numbers.get(metric)
    return f"{value:.4f}{bounds}" if isinstance(value, (int, float)) else "not known"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    """A value of the user's own must not end a cell or a row."""
    return " ".join(str(text).replace("|", "\\|").split())


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
