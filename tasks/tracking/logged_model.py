"""A model folder as MLflow keeps it: `served_model.py` as its code, our own files as its artifacts, nothing pickled.

In: the folder and the run of its training. Out: the id of a logged model, which a version can be made of. Its signature names what a
served model takes and gives; its requirements are pinned as installed here; `lineage.json` travels with it.
"""

from __future__ import annotations

import importlib.metadata
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.contracts import Lineage
from tasks.tracking.connect import Connection

if TYPE_CHECKING:
    from mlflow.models.signature import ModelSignature

_SCRIPT = Path(__file__).with_name("served_model.py")
_PINNED = (
    "torch",
    "torchvision",
    "torchaudio",
    "safetensors",
    "tokenizers",
    "numpy",
    "pandas",
    "pillow",
    "simplejpeg",
    "soundfile",
    "ftfy",
    "mlflow",
)
"""What can change a served model's numbers or its loading; pinned as installed where the model is registered."""

_OF_HUGGING_FACE = {"hf_text", "hf_image"}
"""Kinds of encoders that are built by Transformers."""


def find_logged_model(connection: Connection, tags: Mapping[str, str]) -> str:
    """Id of a model with these tags that was logged whole, by a step that was stopped afterwards; empty when there is none."""
    where = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
    found = connection.client.search_logged_models([connection.experiment_id], where)
    return next((str(model.model_id) for model in found if str(model.status) == "READY"), "")


def log_model(
    connection: Connection, name: str, model: Path, run_id: str, tags: Mapping[str, str], lineage: Lineage, scratch: Path, card: str = ""
) -> str:
    """Log the model and give its id. `scratch` is a folder for one copy of it on its way. `card` becomes its `README.md`."""
    description = json.loads((model / "model.json").read_bytes())
    lineage_file = scratch / "lineage.json"
    lineage_file.write_text(json.dumps(_lineage_document(lineage), indent=1, ensure_ascii=False), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # MLflow's about its own type hints, and about the example we do not give
        import mlflow.pyfunc
        from mlflow.entities import LoggedModelOutput, LoggedModelStatus
        from mlflow.models import Model

        logged = connection.client.create_logged_model(connection.experiment_id, name, run_id, tags=dict(tags), model_type="medley")
        mlflow.pyfunc.save_model(
            scratch / "mlflow_model",
            python_model=str(_SCRIPT),
            artifacts={"model": str(model), "lineage": str(lineage_file)},
            signature=_signature(description),
            pip_requirements=requirements(description),
            model_config={"device": "cpu"},
            mlflow_model=Model(artifact_path=logged.artifact_location, model_uuid=logged.model_id, run_id=run_id, model_id=logged.model_id),
        )
    if card:
        (scratch / "mlflow_model" / "README.md").write_text(card, encoding="utf-8")
    connection.client.log_model_artifacts(logged.model_id, str(scratch / "mlflow_model"))
    connection.client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    connection.client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    return str(logged.model_id)


def _lineage_document(lineage: Lineage) -> dict[str, Any]:
    return {
        "recipe": lineage.recipe_name,
        "recipe_text": lineage.recipe_text,
        "run": lineage.run,
        "code_revision": lineage.code_revision,
        "libraries": dict(lineage.libraries),
        "steps": [{"name": step.name, "task": step.task, "key": step.key, "inputs": dict(step.inputs)} for step in lineage.steps],
    }


def _signature(description: Mapping[str, Any]) -> ModelSignature:
    """What the served model takes and gives, in MLflow's words."""
    from mlflow.models.signature import ModelSignature
    from mlflow.types.schema import Array, ColSpec, DataType, Schema

    from tasks.tracking.answer_types import answer_types

    takes = [ColSpec("string" if name == "text" else "binary", name, required=False) for name in description["modalities"]]
    gives, heads = [], description["model"].get("heads", {})
    for head, label in sorted(description["labels"].items()):
        value, has_probabilities = answer_types(heads.get(head, {}), label)
        if value is not None:
            gives.append(ColSpec(value, f"{head}.prediction"))
        if has_probabilities:
            gives.append(ColSpec(Array(DataType.double), f"{head}.probability"))
    return ModelSignature(inputs=Schema(takes), outputs=Schema(gives))


def requirements(description: Mapping[str, Any]) -> list[str]:
    """What pip must install where the model is served, as it is installed here. `description` is model.json."""
    kinds = {encoder["kind"] for encoder in description["model"]["encoders"].values()}
    found = []
    for name in ("medley-pipeline", *_PINNED, *(("transformers",) if kinds & _OF_HUGGING_FACE else ())):
        try:
            found.append(f"{name}=={importlib.metadata.version(name).partition('+')[0]}")
        except importlib.metadata.PackageNotFoundError:
            found.append(name)
    return found
