"""Config of the train step: how a model is built, fed and trained. Imports no torch, so that a recipe is checked without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from tasks.modalities import MODALITIES
from tasks.models.config import ModelConfig
from tasks.models.parts import chosen, unknown
from tasks.models.policies import POLICIES
from tasks.models.policies.config import SupervisedConfig
from tasks.registry import Config, KindOf, closest
from tasks.shards.settings import OfModalities
from tasks.shards.shares import Share
from tasks.training.combinations import refusals
from tasks.training.config_transfer import EmaConfig, FineTuneConfig, LoraConfig, Source, TransferConfig


class OptimizerConfig(Config):
    """AdamW (arXiv:1711.05101)."""

    kind: Literal["adamw"] = "adamw"
    learning_rate: float = Field(2e-3, gt=0, le=10)
    """Step size at the top of the schedule."""
    weight_decay: float = Field(0.01, ge=0, le=1)
    """Decoupled weight decay of matrices; vectors (norms, biases) have none."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.99)
    """Decay of the running means of gradient and squared gradient."""
    eps: float = Field(1e-8, gt=0)
    """Added to the denominator of the update."""


class ScheduleConfig(Config):
    """Linear warm-up, then a cosine down to `floor`."""

    kind: Literal["cosine"] = "cosine"
    warmup: float = Field(0.05, ge=0, lt=1)
    """Share of all steps over which the learning rate rises from zero."""
    floor: float = Field(0.01, ge=0, le=1)
    """Learning rate at the end, as a share of its top."""


class CheckpointEvery(Config):
    """When a checkpoint is written beside the one after each epoch: by whichever comes first."""

    steps: int | None = Field(None, gt=0)
    """Optimizer steps; none = not by steps."""
    seconds: float | None = Field(300.0, gt=0)
    """Wall-clock seconds; none = not by time."""


class TrainConfig(Config):
    """How a model is built and trained."""

    read: Annotated[dict[str, Any], OfModalities("read")] = Field(default_factory=dict)
    """Modality → how its stored bytes become tensors; a modality with an encoder that is not named here is read by its defaults."""
    augment: Annotated[dict[str, Any], OfModalities("augment")] = Field(default_factory=dict, exclude_if=lambda given: not given)
    """Modality → how it is varied while the model trains, anew in each epoch; validation, evaluation and serving read it as it is."""
    model: ModelConfig
    """The parts of the model."""
    mixture: SkipJsonSchema[tuple[Share, ...]] = Field((), exclude_if=lambda given: not given)
    """How large a part each set has where `shards:` is a list; put in by Medley from that list, never by hand."""
    epochs: int = Field(5, gt=0, le=100_000)
    """Passes over the training split; of a mixture: as many batches as its sets fill, see `shards:`."""
    batch_size: int = Field(64, gt=0, le=1_000_000)
    """Samples of a step over all workers; a multiple of `streams`."""
    streams: int = Field(4, gt=0, le=65_536)
    """Sequences the samples are read in; a multiple of the number of workers, and part of what fixes the order of samples."""
    accumulate: int = Field(1, gt=0, le=4096)
    """Parts in which a worker computes its share of a step, to save memory; changes no result beyond rounding."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """How gradients become steps."""
    schedule: ScheduleConfig = ScheduleConfig()
    """The learning rate over the steps."""
    clip: float | None = Field(1.0, gt=0)
    """Longest gradient, over all parameters; longer ones are scaled down to it. none = as they are."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Number format of the model's forward and backward pass; weights and losses are float32 always."""
    gradient_checkpointing: bool = Field(False, exclude_if=lambda given: given is False)
    """Computes activations of encoders, fusion and trunks again in the backward pass instead of keeping them: less memory, more time,
    the same results bit for bit."""
    compile: bool = Field(False, exclude_if=lambda given: given is False)
    """Compiles encoders, fusion and trunks by torch.compile: the first steps take minutes, the others less time; last bits differ."""
    select: Literal["best", "last"] = "best"
    """The weights kept: those with the lowest validation loss after an epoch, or the final ones."""
    checkpoint_every: CheckpointEvery = CheckpointEvery()
    """When checkpoints are written beside those after each epoch."""
    policy: Annotated[Any, KindOf(POLICIES)] = Field(SupervisedConfig(), exclude_if=lambda given: given == SupervisedConfig())
    """What a training step does; the default descends the model's losses."""
    transfer: TransferConfig = Field(TransferConfig(), exclude_if=lambda given: given == TransferConfig())
    """What is taken from the model of the input `init`."""
    fits: dict[str, Source] = Field(default_factory=dict, exclude_if=lambda given: not given)
    """Modality → the model, `init` or `teacher`, whose fit (tokenizer, normalisation) it is read with; the others by that of the shards."""
    fine_tune: FineTuneConfig = Field(FineTuneConfig(), exclude_if=lambda given: given == FineTuneConfig())
    """Which parts learn, from when on and how fast."""
    lora: LoraConfig | None = Field(None, exclude_if=lambda given: given is None)
    """Parts that learn by low-rank adaptation; none = all weights learn."""
    ema: EmaConfig | None = Field(None, exclude_if=lambda given: given is None)
    """A moving average of the weights, validated and kept in place of the last ones; none = the last ones."""
    seed: int | None = Field(None, ge=0, lt=2**63)
    """Seed of weights, order and dropout; none = the recipe's."""

    @model_validator(mode="before")
    @classmethod
    def _default_reading(cls, data: Any) -> Any:
        model = data.get("model") if isinstance(data, Mapping) else None
        read = data.get("read", {}) if isinstance(data, Mapping) else None
        if not isinstance(model, Mapping) or not isinstance(model.get("encoders"), Mapping) or not isinstance(read, Mapping):
            return data
        heads = model.get("heads")
        said = [head.get("target") for head in heads.values() if isinstance(head, Mapping)] if isinstance(heads, Mapping) else []
        return {**data, "read": {**{modality: {} for modality in [*model["encoders"], *said] if modality in MODALITIES}, **read}}

    @model_validator(mode="after")
    def _parts_go_together(self) -> TrainConfig:
        for modality in self.model.read_modalities:
            if modality not in MODALITIES:
                hint = closest(modality, list(MODALITIES))
                where = "model.encoders names" if modality in self.model.encoders else "a head of model.heads has as `target`"
                raise ValueError(f"{where} {modality!r}, which is no modality; allowed: {', '.join(MODALITIES)}{hint}")
        problems = [*self._unknown_parts(), *refusals(self)]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _unknown_parts(self) -> list[str]:
        """Settings that speak of parts the model does not have."""
        tuned = self.fine_tune
        named = {
            "transfer.take": self.transfer.take,
            "transfer.map": self.transfer.map,
            "fine_tune.freeze": tuned.freeze,
            "fine_tune.unfreeze": tuned.unfreeze,
            "fine_tune.rates": tuned.rates,
            "lora.parts": self.lora.parts if self.lora else (),
        }
        problems = [f"{field}: {wrong}" for field, names in named.items() if (wrong := unknown(names, self.model))]
        problems += [
            f"transfer.map names {name!r}, which is several parts; name each by itself: {', '.join(parts)}"
            for name in self.transfer.map
            if (parts := chosen([name], self.model)) and parts != [name]
        ]
        read = self.model.read_modalities
        return problems + [
            f"fits.{name}: the model is not fed with {name}; it is with {', '.join(read)}{closest(name, read)}"
            for name in self.fits
            if name not in read
        ]

    def readers(self) -> dict[str, Config]:
        """Modality → how it is read, for the modalities that the model is fed with or learns to say."""
        return {modality: self.read[modality] for modality in self.model.read_modalities}
