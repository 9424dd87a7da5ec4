"""Config of a whole model. Imports no torch, so that a recipe is checked without it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tasks.models.combinations import refusals
from tasks.models.encoders import ENCODERS
from tasks.models.fusions import FUSIONS
from tasks.models.fusions.config import AttentionConfig
from tasks.models.heads import HEADS
from tasks.models.names import clashes
from tasks.models.objectives import OBJECTIVES
from tasks.models.targets import modalities_of
from tasks.models.trunks import TRUNKS
from tasks.models.trunks.config import MlpConfig
from tasks.registry import Config, KindOf, identity


class ModelConfig(Config):
    """Encoders, fusion, trunk, heads and objectives of a fused model."""

    encoders: dict[str, Annotated[Any, KindOf(ENCODERS)]] = Field(min_length=1)
    """Modality → encoder."""
    fusion: Annotated[Any, KindOf(FUSIONS)] = AttentionConfig()
    """How the modalities' tokens become one sequence."""
    trunk: Annotated[Any, KindOf(TRUNKS)] = MlpConfig()
    """What runs on the fused tokens before the heads; with `placement: late`, on each modality's tokens before the fusion."""
    placement: Literal["early", "late", "hybrid"] = Field("early", exclude_if=lambda given: given == "early")
    """Where the fusion stands: before the trunk (early), behind a trunk for each modality (late), or between these and a joint one."""
    branch: Annotated[Any, KindOf(TRUNKS)] | None = Field(None, exclude_if=lambda given: given is None)
    """With `placement: hybrid`, the trunk of each modality; the same kind as `trunk` when it is not given."""
    heads: dict[str, Annotated[Any, KindOf(HEADS)]] = Field(min_length=1)
    """Head → its kind; it learns from the label of its own name, unless it says otherwise."""
    objectives: dict[str, Annotated[Any, KindOf(OBJECTIVES)]] = Field(default_factory=dict, exclude_if=lambda given: not given)
    """Name → a loss beside those of the heads, on what the model makes of its modalities."""
    weighting: Literal["fixed", "uncertainty"] = Field("fixed", exclude_if=lambda given: given == "fixed")
    """How losses are added up: by their weights, or by learned variances as well (arXiv:1705.07115)."""
    width: int = Field(64, gt=0, le=16384)
    """Features of a token, everywhere between encoders and heads."""
    modality_dropout: float = Field(0.1, ge=0, lt=1)
    """Chance that a modality of a sample is hidden in a training step; one of those present always stays."""

    @model_validator(mode="after")
    def _parts_go_together(self) -> ModelConfig:
        named = {"encoders": self.encoders, "heads": self.heads, "objectives": self.objectives}
        problems = [sentence for what, names in named.items() for sentence in clashes(what, names)] + refusals(self)
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def read_modalities(self) -> list[str]:
        """The modalities that the model is fed with or learns to say, sorted."""
        return sorted({*self.encoders, *modalities_of(self.heads)})

    @property
    def branch_trunk(self) -> Any:
        """Config of each modality's trunk before the fusion; None where there is none."""
        return None if self.placement == "early" else self.branch or self.trunk

    @property
    def joint_trunk(self) -> Any:
        """Config of the trunk behind the fusion; None where there is none."""
        return None if self.placement == "late" else self.trunk


def parts(config: ModelConfig) -> dict[str, Any]:
    """Versions of the registry entries a model is made of, and digests of the user's own; they enter the key of a training."""
    objectives = {name: identity(OBJECTIVES, objective.kind) for name, objective in sorted(config.objectives.items())}
    return {
        "encoders": {modality: identity(ENCODERS, encoder.kind) for modality, encoder in sorted(config.encoders.items())},
        "fusion": identity(FUSIONS, config.fusion.kind),
        "trunk": identity(TRUNKS, config.trunk.kind),
        **({"branch": identity(TRUNKS, config.branch.kind)} if config.branch else {}),
        "heads": {label: identity(HEADS, head.kind) for label, head in sorted(config.heads.items())},
        **({"objectives": objectives} if objectives else {}),
    }
