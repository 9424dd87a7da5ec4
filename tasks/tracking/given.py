"""What a training was given, as MLflow shows it: parameters, and the shard sets it read.

In: nested parameters; the lineage of the run at hand. Out: MLflow params, and datasets whose digest is our own key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tasks.contracts import Lineage, StepRecord
from tasks.tracking.connect import Connection

if TYPE_CHECKING:
    from mlflow.entities import Run

_PARAMS_PER_BATCH = 100
_MAX_NAME = 250
_MAX_DIGEST = 36
"""MLflow keeps this much of a dataset's digest; the whole key is beside it in the tags."""


def allowed(name: str) -> str:
    """A name without the characters that MLflow does not take, such as the plus in `val/accuracy/audio+image`."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:_MAX_NAME]


def log_params(connection: Connection, run: Run, params: Mapping[str, Any]) -> None:
    """Log those that are not there; the same key has the same values, and MLflow takes no second value."""
    from mlflow.entities import Param

    missing = [Param(name, value) for name, value in flat(params) if name not in run.data.params]
    for start in range(0, len(missing), _PARAMS_PER_BATCH):
        connection.client.log_batch(run.info.run_id, params=missing[start : start + _PARAMS_PER_BATCH])


def flat(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested parameters as `model.fusion.kind`; lists as JSON."""
    for name, value in params.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{path}.")
        else:
            yield allowed(path), value if isinstance(value, str) else json.dumps(value, default=str)


def log_datasets(connection: Connection, run: Run, lineage: Lineage, step: str) -> None:
    """The shard sets that the step reads, unless they are there."""
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.data.sources import LocalArtifactDatasetSource
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = []
    for record in _inputs(lineage, step):
        if record.task != "shard":
            continue
        named = MetaDataset(LocalArtifactDatasetSource(record.artifact), name=record.name, digest=record.key[:_MAX_DIGEST]).to_dict()
        counts = {name: value for name, value in record.summary.items() if isinstance(value, (int, float))}
        dataset = Dataset(**named | {"profile": json.dumps(counts)})
        inputs.append(DatasetInput(dataset, [InputTag("mlflow.data.context", "training"), InputTag("medley.key", record.key)]))
    if inputs and not run.inputs.dataset_inputs:
        connection.client.log_inputs(run.info.run_id, inputs)


def input_keys(lineage: Lineage, step: str) -> dict[str, str]:
    """Tags with the keys of what the step takes: `medley.shards_key`."""
    return {allowed(f"medley.{name.replace('[', '_').removesuffix(']')}_key"): record.key for name, record in _named_inputs(lineage, step)}


def _inputs(lineage: Lineage, step: str) -> list[StepRecord]:
    return [record for _, record in _named_inputs(lineage, step)]


def _named_inputs(lineage: Lineage, step: str) -> list[tuple[str, StepRecord]]:
    records = {record.name: record for record in lineage.steps}
    given = records[step].inputs if step in records else {}
    return [(name, records[source]) for name, source in given.items() if source in records]
