"""Configs of the policies. Imports no torch, so that a recipe is checked without it."""

from __future__ import annotations

from typing import Literal

from tasks.registry import Config


class SupervisedConfig(Config):
    """One step down the sum of the model's losses."""

    kind: Literal["supervised"] = "supervised"
