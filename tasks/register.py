"""Step `register`: a model becomes a numbered version in MLflow, with tags that lead back to everything it was made from.

In: `model` and its `report`. Out: a version (`version.json`) and its model card (`README.md`), which MLflow keeps beside the model and
shows as the version's description. Registering the same thing again gives the same version. Curves that MLflow missed while the model was
trained are sent now. Heavy imports happen when the step runs, so that planning stays fast.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field, field_validator

from tasks.contracts import FORMAT_VERSION, Artifact, Inputs, Json, Lineage, Summary, TaskContext
from tasks.errors import InputError
from tasks.evaluation.measures import MEASURED
from tasks.promotions import check_name
from tasks.registry import Config

_TAGGED = {"category": ("accuracy", "f1_macro"), "number": ("rmse", "mae", "r2")}
"""Kind of head → its numbers among the tags; of other kinds all metrics are."""


class RegisterConfig(Config):
    """Where the version goes."""

    name: str = Field(min_length=1, max_length=128)
    """Name of the registered model: letters, digits, `_`, `-` and `.`, the first a letter or digit."""
    card: str = Field("", max_length=100_000)
    """Markdown for the model card: what the model is for, and what it is not for."""
    license: str = Field("", max_length=200)
    """Licence of the model for the card, such as `apache-2.0`; empty = not stated."""
    data_license: str = Field("", max_length=2_000)
    """Licence of the data it was trained on, in a few words for the card; empty = not stated."""

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        try:
            return check_name(value)
        except InputError as error:
            raise ValueError(str(error)) from error


def register(config: RegisterConfig, inputs: Inputs, output_dir: Path, context: TaskContext) -> Summary:
    """Make the version and write `version.json`, also to the store as `versions/<name>/<number>.json`, by which planning finds it.

    Raises TrackingError when MLflow cannot be used, InputError when the report is of another model.
    """
    from tasks.evaluation.model_card import Stated, model_card
    from tasks.tracking.registry import register_version
    from tasks.tracking.runs import ensure_curves

    model, report = inputs["model"], inputs["report"]
    _check_pair(model, report)
    scratch = context.work_dir / "register"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    stated = Stated(config.name, config.card, config.license, config.data_license)
    card = model_card(stated, model, report, context.lineage)
    context.sink.progress(0, 2, "steps", "curves")
    run_id = ensure_curves(context.tracking, context.lineage, model.key, model.path / "metrics.jsonl")
    context.sink.progress(1, 2, "steps", "model")
    version = register_version(
        context.tracking,
        config.name,
        model.path,
        step_key=context.key,
        run_id=run_id,
        tags=version_tags(context.lineage, model, report),
        lineage=context.lineage,
        scratch=scratch,
        card=card,
    )
    shutil.rmtree(scratch, ignore_errors=True)
    context.sink.progress(2, 2, "steps", version.uri)
    summary: Summary = {
        "name": version.name,
        "version": version.version,
        "uri": version.uri,
        "run_id": version.run_id,
        "model_key": model.key,
        "report_key": report.key,
        "tags": dict(version.tags),
    }
    document = f"{json.dumps({'format': FORMAT_VERSION, **summary}, indent=1, sort_keys=True, ensure_ascii=False)}\n".encode()
    (output_dir / "version.json").write_bytes(document)
    (output_dir / "README.md").write_text(card, encoding="utf-8")
    context.store.create(f"versions/{version.name}/{version.version}.json", document)
    return summary


def version_tags(lineage: Lineage, model: Artifact, report: Artifact) -> dict[str, str]:
    """What a version says of its origin: keys of every artifact behind it, recipe, run, code revision, and its main numbers."""
    tags = {
        "medley.model_key": model.key,
        "medley.report_key": report.key,
        "medley.recipe": lineage.recipe_name,
        "medley.run": lineage.run,
        "medley.code_revision": lineage.code_revision,
        "medley.manifest_digest": _manifest_digest(model),
        "medley.report_manifest_digest": _manifest_digest(report),
    }
    tags |= {f"medley.{kind}_key": key for kind, key in _ancestors(lineage, model.key).items()}
    for head, numbers in report.summary.get("heads", {}).items():
        tags |= {
            f"medley.{metric}.{head}": f"{numbers[metric]:.6g}" for metric in _metrics(numbers) if isinstance(numbers.get(metric), float)
        }
    return tags


def _metrics(numbers: Mapping[str, Json]) -> Sequence[str]:
    kind = numbers.get("kind", "category" if "accuracy" in numbers else "number")
    return _TAGGED.get(kind, [each.name for each in MEASURED[kind].measures] if kind in MEASURED else [])


def _manifest_digest(artifact: Artifact) -> str:
    """By which `medley audit verify` knows the manifest again; empty for an artifact outside a store."""
    manifest = artifact.path / "manifest.json"
    return hashlib.sha256(manifest.read_bytes()).hexdigest() if manifest.is_file() else ""


def _ancestors(lineage: Lineage, model_key: str) -> dict[str, str]:
    """Keys of the shards and the corpus that a model came from, as far as the run at hand knows them."""
    chosen: dict[str, str] = {record.name: record.summary["step"] for record in lineage.steps if "chosen" in record.summary}
    by_name = {record.name: record for record in lineage.steps}
    found: dict[str, str] = {}
    waiting = [record for record in lineage.steps if record.key == model_key]
    while waiting:
        record = waiting.pop()
        for kind, given in record.inputs.items():
            source = given
            while source in chosen:  # a selection stands for the variant that it chose
                source = chosen[source]
            if source in by_name:
                found.setdefault(kind.replace("[", "_").removesuffix("]"), by_name[source].key)  # MLflow's tags take no brackets
                waiting.append(by_name[source])
    return found


def _check_pair(model: Artifact, report: Artifact) -> None:
    try:
        reported: Mapping[str, Json] = json.loads((report.path / "report.json").read_bytes())["model"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"the report {report.step or report.key[:12]} has no readable report.json ({error}); evaluate the model again"
        ) from error
    if reported.get("key") != model.key:
        raise InputError(
            f"the report {report.step!r} is about another model ({reported.get('step') or str(reported.get('key'))[:12]}), not about "
            f"{model.step!r}; give `report:` a step that evaluates {model.step!r}"
        )
