"""A recipe as data: what `recipe` makes of the file, and everything that plans and runs reads.

Frozen, and free of anything alive. Must not import ray, torch or mlflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pipeline import positions
from pipeline.places import Place
from pipeline.positions import Document
from pipeline.schedule import ScheduleConfig
from tasks.contracts import Resources
from tasks.notify import WebhookConfig


@dataclass(frozen=True)
class Variant:
    """One member of a step's matrix."""

    sets: Mapping[str, Any]
    """Dotted path in the step's config → value."""
    config: BaseModel


@dataclass(frozen=True)
class Step:
    """A named use of a task."""

    name: str
    task: str
    config: BaseModel
    inputs: Mapping[str, str]
    """input → the step's name or the outside reference it takes."""
    resources: Resources
    retries: int
    variants: tuple[Variant, ...] = ()
    """What `matrix:` makes of it; `config` is then that of the first."""
    family: str = ""
    """For a variant: the step of the recipe that it belongs to."""

    @property
    def path(self) -> positions.Path:
        """Where it stands in the recipe."""
        return ("steps", self.family or self.name)


@dataclass(frozen=True)
class Recipe:
    """A checked recipe."""

    path: Path
    text: str
    name: str
    store: Place
    tracking: str
    seed: int
    steps: Mapping[str, Step]
    document: Document
    """For messages with file and line."""
    schedule: ScheduleConfig | None = None
    """When it runs by itself."""
    webhooks: tuple[WebhookConfig, ...] = ()
    """Who is told of decisions."""

    @property
    def base_dir(self) -> Path:
        """Folder against which relative paths and dotted paths of the user's own resolve."""
        return self.path.parent
