"""What the parts of a model hand on beside tokens, and what heads, objectives and policies can do. Must not import ray or mlflow.

    batch ─▶ encoders ─▶ towers ─▶ fusion ─▶ trunk ─▶ fused ─▶ heads ─▶ outputs ─┐
                                                                 targets ────────┴▶ losses, one a head and one an objective

Two levels carry every method. A **loss** maps outputs and batch to one weighted sum under a name: heads have theirs, and an *objective* is
a loss on whatever the model computed. A **policy** owns the optimizer step where more than a loss is needed.

Shape suffixes: B samples, M modalities, T tokens.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from tasks.contracts import Batch
from tasks.models.tokens import Tokens, WeightedSum


class Features(NamedTuple):
    """What the model made of a batch before any head."""

    towers: Mapping[str, Tokens]
    """Modality → its tokens before the fusion, behind its own trunk if it has one. A missing one is the learned token."""
    fused: Tokens
    """Behind fusion and joint trunk."""
    present_BM: Tensor
    """Bool, in the order of `modalities`: what each sample has and was not hidden."""
    modalities: tuple[str, ...]

    def present_B(self, modality: str) -> Tensor:
        """Bool: which samples have this modality."""
        return self.present_BM[:, self.modalities.index(modality)]


class Outputs(NamedTuple):
    """All that losses may look at."""

    features: Features
    heads: Mapping[str, Any]
    """Head → what it gives."""


class Sequence(NamedTuple):
    """A modality of the batch as a target: what a head for captions or transcripts learns to say."""

    values_BT: Tensor
    """Int64 token ids, padded with 0."""
    lengths_B: Tensor
    """Int64, at least 1."""
    present_B: Tensor
    """Bool: which samples have one."""


class Present(NamedTuple):
    """Which modalities each sample has and were not hidden: all there is to know of a target that a head lacks."""

    present_BM: Tensor
    """Bool."""
    modalities: tuple[str, ...]
    """The model's, in the order of `present_BM`."""


Target = Tensor | Sequence | Present
"""What a head learns from: the label's tensor, first dimension B; a modality; or nothing but what the model sees."""


class Head(Protocol):
    """Built as `Class(config, name, label, width)`, `label` being what `tasks.models.targets.described` says. `weight_B` is the batch's."""

    def __call__(self, features: Features) -> Any:
        """A tensor, or named tuples or dicts of tensors."""

    def loss(self, output: Any, target: Any, weight_B: Tensor) -> WeightedSum: ...

    def loss_weight_B(self, target: Any, weight_B: Tensor) -> Tensor:
        """What each sample counts in `loss`: its sum is the loss's weight, known before the model runs."""

    def metrics(self, output: Any, target: Any, weight_B: Tensor) -> dict[str, WeightedSum]: ...

    def predict(self, output: Any) -> Tensor: ...


class Objective(Protocol):
    """A loss beside those of the heads, with whatever parameters it needs. Built as `Class(config, modalities, width, label)`.

    `label` is what `tasks.models.targets.described` says of it, `kind: none` for most. One that changes over a training also has
    `advance(done)`: it is told the share of the training that is done before each step.
    """

    def __call__(self, outputs: Outputs, batch: Batch) -> WeightedSum: ...

    def loss_weight(self, batch: Batch) -> Tensor:
        """Scalar: the weight of the sum, known before the model runs."""


class Step(Protocol):
    """What the training loop lends a policy for one optimizer step."""

    @property
    def number(self) -> int:
        """Optimizer steps done before this one."""

    @property
    def total(self) -> int:
        """Steps of the whole training."""

    def backward(self, batch: Batch, losses: Callable[[Batch], dict[str, WeightedSum]], weights: dict[str, Tensor]) -> Tensor:
        """Add the gradients of `losses` over the global batch, computed in parts and over all ranks; returns this rank's share of the loss.

        `weights`: loss → its weight in this rank's share of the batch; all ranks' are added up. Names are among the policy's `factors`.
        """

    def update(self, only: Callable[[str], bool] | None = None) -> Tensor:
        """Clip, step and forget the gradients; returns the gradient's norm. `only`: the policy's parameters, by name, that may change."""


class Setting(NamedTuple):
    """What a policy is told about its training."""

    autocast: Callable[[], contextlib.AbstractContextManager[Any]]
    """Around whatever a model computes: the number format of `precision`."""
    seed: int = 0
    total_steps: int = 0
    teacher: Any = None
    """The `tasks.models.load.LoadedModel` to learn from, on this process's device, where the recipe names one."""


class Policy(Protocol):
    """Built as `Class(config, model, setting)`: a module that holds the model. What else it holds stands in the checkpoints.

    What it needs of the data its config says: `views`, view → modality → how samples are read once more, for `Batch.views`; `looks_at`,
    labels that a batch has under `targets.column` beside those of heads; `unlabelled(heads)`, heads whose label some sample must lack.
    """

    factors: Mapping[str, float]
    """Loss → its factor in the sum of losses; these names make the curves."""
    uses_all_parameters: bool
    """Whether every backward pass reaches every parameter, which saves a search in data-parallel training."""

    def __call__(self, part: Batch, losses: Callable[[Batch], dict[str, WeightedSum]]) -> dict[str, WeightedSum]:
        """`losses(part)`. All that needs gradients goes through here, where data-parallel training listens."""

    def total(self, means: Mapping[str, Tensor], share: float) -> Tensor:
        """The number to descend: of mean losses, over `share` of the global batch."""

    def step(self, step: Step, batch: Batch) -> tuple[Tensor, Tensor]:
        """One optimizer step on this rank's part of the global batch; the loss and the gradient's norm, for the watch over NaN."""
