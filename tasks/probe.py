"""Step `probe`: linear, SVM and tree models of scikit-learn on a model's frozen features, as a cheap baseline.

In: `model`, `shards`. Out: probes, a folder with `probes.json` and `probes.html`. What is fitted on the split `train` is measured on
another and thrown away: no model of scikit-learn is stored, so nothing has to be unpickled. Everything heavy is imported when it runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from tasks.contracts import Inputs, Summary, TaskContext
from tasks.registry import Config
from tasks.shards.amounts import amount

ProbeKind = Literal["linear", "svm", "trees"]


class ProbeConfig(Config):
    """Which probes are fitted on which features, and for which label."""

    label: str = Field(min_length=1)
    """The category that the probes learn: any label of the shards, be it one of the model's or not."""
    probes: tuple[ProbeKind, ...] = Field(("linear", "svm", "trees"), min_length=1)
    """`linear`: logistic regression; `svm`: support vectors with a Gaussian kernel; `trees`: a random forest."""
    features: Literal["fused", "towers", "all"] = "all"
    """`fused`: the mean over what heads see; `towers`: for each modality the mean over its tokens before the fusion; `all`: both, each by
    itself."""
    split: Literal["test", "val"] = "test"
    """Split the probes are measured on; they are fitted on `train`."""
    regularisation: float = Field(1.0, gt=0, le=1e6)
    """C of `linear` and `svm`: the larger, the closer to the training split."""
    trees: int = Field(200, gt=0, le=10_000)
    """Trees of the forest."""
    batch_size: int = Field(256, gt=0, le=65536)
    """Samples encoded at once; changes speed and memory, not the numbers."""
    resamples: int = Field(2000, ge=100, le=100_000)
    """Bootstrap resamples behind each interval."""
    confidence: float = Field(0.95, ge=0.5, lt=1)
    """Share of resamples an interval holds."""

    @field_validator("probes")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in value if value.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(map(repr, twice))} stands there more than once; name each probe once")
        return value


def estimate(config: ProbeConfig, base_dir: Path, inputs: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:  # noqa: ARG001
    """Records that are encoded."""
    return amount(inputs.get("shards", {}), ["train", config.split])


def numbers(config: ProbeConfig, inputs: Mapping[str, Any]) -> list[str]:
    """Where the summary will have numbers, or numbers below: dotted paths."""
    encoders = sorted(getattr(getattr(inputs.get("model"), "model", None), "encoders", {}))
    seen = {"fused": ["fused"], "towers": encoders, "all": ["fused", *encoders]}[config.features]
    return ["samples", "majority.accuracy", *(f"features.{name}.{probe}.accuracy" for name in seen for probe in config.probes)]


def probe(config: ProbeConfig, inputs: Inputs, output_dir: Path, context: TaskContext) -> Summary:
    """Encode both splits once, fit and measure each probe on each kind of features.

    The summary holds `features.<name>.<probe>.accuracy` and `interval`, `majority`, and `head` where the model itself has a classification
    head for this label. Raises LabelError when the label is no category of the shards, InputError when a split is empty or the shards lack
    a modality of the model, and Stopped when the run was asked to stop.
    """
    from tasks.probing.run import run

    return run(config, inputs, output_dir, context)
