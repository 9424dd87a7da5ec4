"""Configs of what a training takes from another model, and of which parts learn how fast. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tasks.registry import Config

Part = Annotated[str, Field(min_length=1)]
"""`encoders.image`, `trunk`, `heads.digit`, …; `encoders` for all encoders."""
Rate = Annotated[float, Field(gt=0, le=1000)]
UnfrozenFrom = Annotated[int, Field(ge=2, le=100_000)]
Source = Literal["init", "teacher"]


class TransferConfig(Config):
    """What is taken from the model of the input `init`."""

    take: tuple[Part, ...] = Field((), exclude_if=lambda given: not given)
    """Parts that must be taken; none = whatever fits, with a note on what does not."""
    map: dict[Part, Part] = Field(default_factory=dict, exclude_if=lambda given: not given)
    """Part here → part of `init` that it is taken from, such as `encoders.text: encoders.audio`; the others have one name in both."""

    @model_validator(mode="after")
    def _mapped_is_taken(self) -> TransferConfig:
        left = [part for part in self.map if self.take and part not in self.take and part.partition(".")[0] not in self.take]
        if left:
            raise ValueError(f"`map` names {', '.join(left)}, which `take` leaves out; add it there, or leave `take` out")
        return self


class FineTuneConfig(Config):
    """Which parts learn, from when on and how fast."""

    freeze: tuple[Part, ...] = Field((), exclude_if=lambda given: not given)
    """Parts that never learn; dropout and batch statistics are off in them."""
    unfreeze: dict[Part, UnfrozenFrom] = Field(default_factory=dict, exclude_if=lambda given: not given)
    """Part → the first epoch, counted from 1, in which it learns; frozen before (gradual unfreezing, arXiv:1801.06146)."""
    rates: dict[Part, Rate] = Field(default_factory=dict, exclude_if=lambda given: not given)
    """Part → factor on its learning rate."""
    layer_decay: float | None = Field(None, gt=0, lt=1, exclude_if=lambda given: given is None)
    """Factor on the learning rate for each block of an encoder that lies between a weight and the encoder's end (arXiv:1801.06146)."""

    @model_validator(mode="after")
    def _once(self) -> FineTuneConfig:
        both = [part for part in self.unfreeze if part in self.freeze or part.partition(".")[0] in self.freeze]
        if both:
            raise ValueError(
                f"`unfreeze` names {', '.join(both)}, which `freeze` keeps for ever; leave it out of one (parts in `unfreeze` are frozen "
                "until their epoch)"
            )
        return self


class LoraConfig(Config):
    """Low-rank adaptation (arXiv:2106.09685): parts keep their weights and learn two thin matrices beside each linear layer."""

    parts: tuple[Part, ...] = Field(min_length=1)
    """Parts that are adapted: all else in them is frozen."""
    rank: int = Field(8, gt=0, le=4096)
    """Columns of the thin matrices."""
    alpha: float = Field(16.0, gt=0, le=1e6)
    """The product is scaled by alpha / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of a layer's input that the product does not see in training."""

    @property
    def scale(self) -> float:
        """Factor on the product of the thin matrices."""
        return self.alpha / self.rank


class EmaConfig(Config):
    """Exponential moving average of the weights, which is validated and kept in place of the last ones (Polyak averaging)."""

    decay: float = Field(0.999, gt=0, lt=1)
    """Share of the average that stays in a step; (1 + n) / (10 + n) after n steps while that is lower."""
