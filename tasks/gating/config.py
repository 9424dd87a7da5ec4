"""The rules of the gate, as a recipe states them. Light, since planning reads it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from tasks.gating.metrics import LOWER_IS_BETTER, Metric
from tasks.registry import Config


class PowerConfig(Config):
    """How surely the test has to let a good model through, so that a yes or no means something."""

    effect: float = Field(0.0, gt=-1, lt=1)
    """True difference, candidate minus baseline, at which it should be let through; 0 = two equal models. Above minus the margin."""
    at_least: float = Field(0.8, gt=0, lt=1)
    """Least probability of that, computed from how often the two models disagree on these rows."""


class SliceConfig(Config):
    """Parts of the test set in which the candidate may not be significantly worse."""

    columns: list[str] = Field(min_length=1)
    """Columns of the corpus that the evaluate step slices by; each value of each is a part."""
    margin: float = Field(0.05, ge=0, lt=1)
    """Loss in a part that is acceptable."""
    min_samples: int = Field(50, ge=1)
    """Parts with fewer samples are not judged."""


class SubsetConfig(Config):
    """Subsets of modalities from which alone the candidate may not be significantly worse."""

    margin: float = Field(0.05, ge=0, lt=1)
    """Loss with a subset that is acceptable."""


class BudgetConfig(Config):
    """What a model may cost, as the report measured it."""

    latency_ms_p95: float | None = Field(None, gt=0)
    """Milliseconds within which 95 % of single predictions have to be made, on the machine that evaluates."""
    size_bytes: int | None = Field(None, gt=0)
    """Bytes of the model's weights."""
    parameters: int | None = Field(None, gt=0)
    """Number of its parameters."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.limits:
            raise ValueError("budgets has no limit; give latency_ms_p95, size_bytes or parameters, or leave budgets out")
        return self

    @property
    def limits(self) -> dict[str, float]:
        """Those that are set."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class CreepConfig(Config):
    """The guard against many small losses: a candidate is also held against the best champion ever."""

    margin: float | None = Field(None, ge=0, lt=1)
    """Loss against it that is acceptable; null = the gate's margin."""
    decisions: int = Field(50, ge=1)
    """Over so many decisions the confidence holds for all of them together: each has a level of (1 - confidence) / decisions."""


class GateConfig(Config):
    """What a candidate must show against the version in force.

    The first version of a name only `min_samples`, `min_value`, `max_value` and `budgets`.
    """

    head: str = Field(min_length=1)
    """Head of the model that decides."""
    metric: Metric = "accuracy"
    """What is compared, on the same rows: accuracy of a classification head, rmse or mae of a regression head, and of every other kind its
    own, as docs/how-to-evaluate.md lists them."""
    test: Literal["bootstrap", "mcnemar"] = "bootstrap"
    """bootstrap: over groups, for any metric. mcnemar: exact, for accuracy where each sample is a group of its own."""
    margin: float = Field(0.02, ge=0, lt=1)
    """Largest loss that is acceptable: its lower confidence bound may not lie below minus this. Of rmse and mae it is a share of the
    baseline's, 0.02 = two per cent more error; of all others it is in the metric itself."""
    confidence: float = Field(0.95, ge=0.5, lt=1)
    """Of the one-sided bound; 1 minus this is how often a model worse by exactly the margin gets through."""
    min_samples: int = Field(100, ge=1)
    """Samples with a label the report needs at least."""
    min_value: float | None = Field(None, ge=0, le=1)
    """Lowest acceptable value of a metric of which more is better; null = any."""
    max_value: float | None = Field(None, gt=0)
    """Highest acceptable value of one of which less is better, such as rmse, in the label's unit; null = any."""
    power: PowerConfig | None = None
    """Least power; null = any."""
    slices: SliceConfig | None = None
    """Parts of the test set that are judged too; null = none."""
    subsets: SubsetConfig | None = None
    """Whether each subset of modalities is judged too; null = no."""
    budgets: BudgetConfig | None = None
    """Limits on size and time; null = none."""
    creep: CreepConfig | None = None
    """Whether the best champion ever is compared with too, which the evaluate step's `best` names; null = no."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.metric != "accuracy" and self.test == "mcnemar":
            raise ValueError(f"test mcnemar counts right and wrong samples, and {self.metric} has neither; use test: bootstrap")
        if self.metric in LOWER_IS_BETTER and self.min_value is not None:
            raise ValueError(f"min_value is a floor for accuracy and others of which more is better; for {self.metric} give max_value")
        if self.metric not in LOWER_IS_BETTER and self.max_value is not None:
            raise ValueError(f"max_value is a ceiling for rmse and mae and other errors; for {self.metric} give min_value")
        if self.power and self.power.effect <= -self.margin:
            raise ValueError(
                f"power.effect {self.power.effect:g} is not above minus the margin {self.margin:g}: so bad a model is to be kept out"
            )
        return self
