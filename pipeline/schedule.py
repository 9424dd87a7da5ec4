"""What a recipe says under `schedule:`: when it runs by itself.

In: YAML. Out: a frozen config, or what is wrong with it. It changes no step and enters no key. What makes a run due is `triggers`, what has
been due is `ticks`, and `scheduler` runs it. Must not import ray, torch or mlflow.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from pipeline.cron import check_line, check_zone
from tasks.notify import WebhookConfig
from tasks.registry import Config

Line = Annotated[str, AfterValidator(check_line)]


class NewDataConfig(Config):
    """Runs when the source has changed enough since the last run's corpus."""

    at_least: int = Field(1, ge=1)
    """Records that must be new, altered or gone; summed over all ingest steps."""
    check_every_s: float = Field(900.0, ge=1)
    """How often the source is looked at: a listing with sizes and times, no contents of media."""


class DriftConfig(Config):
    """Runs when new data are no longer like those that the version in force was trained on, by `medley drift`'s measure of raw features."""

    against: str = Field(min_length=1)
    """The new data, relative to the recipe: a folder of media, a table, a log of requests, shards or a corpus."""
    above: float = Field(0.25, ge=0)
    """Population stability index beyond chance that some feature must exceed, significantly; 0.1 is a moderate change, 0.25 a large one."""
    check_every_s: float = Field(86_400.0, ge=1)
    """How often it is measured. Of a hundred looks at data that did not move one may still say so, so seldom is better."""
    rest_h: float = Field(24.0, gt=0)
    """After it fired it waits for so many hours, since the same data may drift still."""


class ScheduleConfig(Config):
    """When the recipe runs by itself; `medley schedule RECIPE` keeps it. Any of cron, new_data, drift and max_age_h makes a run due."""

    cron: tuple[Line, ...] = ()
    """A cron line, or a list of them: minute hour day-of-month month day-of-week. `"0 3 * * *"` is each day at three."""
    timezone: Annotated[str, AfterValidator(check_zone)] = "UTC"
    """Of the cron lines: a name of the IANA database, such as Europe/Berlin."""
    new_data: NewDataConfig | None = None
    """Runs when the source has changed. `{at_least: 100}` waits for a hundred records."""
    drift: DriftConfig | None = None
    """Runs when new data have drifted. `{against: requests.jsonl, above: 0.25}`."""
    max_age_h: float | None = Field(None, gt=0)
    """Runs when the version in force is older than so many hours; tried again as long after, should the gate say no."""
    jitter_s: int = Field(0, ge=0, le=86_400)
    """Delays each run of a cron line by up to so many seconds, the same on every machine, so that many schedules do not start at once."""
    misfire: Literal["skip", "once", "all"] = "once"
    """What becomes of cron's moments that passed while nothing could run: none, one run for all of them, or one for each."""
    misfire_grace_s: int = Field(3600, ge=10)
    """`skip` still runs what is late by no more than so many seconds."""
    retries: int = Field(1, ge=0)
    """How often a run that failed is taken up again for the same moment; not when the recipe or the data are wrong."""
    retry_after_s: float = Field(300.0, ge=0)
    """How long to wait before."""
    webhooks: tuple[WebhookConfig, ...] = ()
    """Who is told when a run starts, finishes or fails, and when a version is promoted or refused."""

    @field_validator("cron", mode="before")
    @classmethod
    def _one_line(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("cron")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if twice := next((line for line in value if value.count(line) > 1), None):
            raise ValueError(f"{twice!r} is listed twice; leave one out")
        return value


def wrong(config: ScheduleConfig, tasks: Collection[str], ingests: Collection[str]) -> list[str]:
    """What is wrong with a schedule of these tasks' recipe. `ingests` are the tasks that take records in."""
    problems = []
    if not (config.cron or config.new_data or config.drift or config.max_age_h):
        problems.append('nothing makes a run due; give `cron: "0 3 * * *"`, `new_data: {at_least: 100}` or `max_age_h: 168`')
    if config.new_data and not set(tasks) & set(ingests):
        problems.append(f"new_data needs a step that takes records in ({', '.join(sorted(ingests))}), and this recipe has none")
    if config.max_age_h and "promote" not in tasks:
        problems.append("max_age_h is the age of a promoted version, and this recipe has no promote step; add one, or use cron")
    if config.drift and "promote" not in tasks:
        problems.append("drift is measured from what the version in force was trained on, and this recipe has no promote step; add one")
    return problems
