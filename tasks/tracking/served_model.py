"""The script that MLflow keeps with each registered version and runs to load it: models-from-code, nothing pickled.

In: pandas rows, one column a modality (bytes of a file; text also as str), missing where a row lacks it. Out: per head
`<head>.prediction`, as `tasks.models.answers` says, and where there are probabilities `<head>.probability` in the order of the label's
classes. `mlflow.pyfunc.load_model(uri, model_config={"device": "cuda"})` chooses the device.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext

MODEL_ARTIFACT = "model"
"""Name of the model folder among the version's artifacts."""


class ServedModel(PythonModel):
    """Opens a model folder, and hands it records."""

    def load_context(self, context: PythonModelContext) -> None:
        from tasks.models.load import load_model

        self._loaded = load_model(Path(context.artifacts[MODEL_ARTIFACT]), (context.model_config or {}).get("device", "cpu"))

    def predict(self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        from tasks.models.predict import predict_records

        columns = [name for name in self._loaded.model.modalities if name in model_input]
        records = [{name: _bytes(row[name]) for name in columns} for row in model_input[columns].to_dict("records")]
        found: dict[str, Any] = {}
        for head, said in predict_records(self._loaded, records).items():
            found[f"{head}.prediction"] = said.values
            if said.probabilities:
                found[f"{head}.probability"] = said.probabilities
        return pd.DataFrame(found, index=model_input.index)


def _bytes(value: Any) -> bytes | None:
    if isinstance(value, str):
        return value.encode()
    return bytes(value) if isinstance(value, (bytes, bytearray, memoryview)) else None


mlflow.models.set_model(ServedModel())
