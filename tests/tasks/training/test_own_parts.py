"""Parts of the user's own that give something else than they must are named before a training starts.

Shape suffixes: B samples, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tasks import registry
from tasks.contracts import Artifact, Batch
from tasks.errors import InputError
from tasks.models.contracts import Features, Outputs
from tasks.models.tokens import Tokens, WeightedSum, single
from tasks.shards.read import ShardSet
from tasks.training.checks import probe_model
from tasks.training.own_parts import check_own
from tasks.training.sources import Sources, fits
from tests.tasks.training.example import config

HERE = "tests.tasks.training.test_own_parts"


class Bare(nn.Module):
    """An encoder that gives a tensor."""

    class Config(registry.Config):
        kind: str

    def __init__(self, config: Config, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        del config
        self.linear = nn.Linear(shape["channels"], width)

    def forward(self, image_BCHW: Tensor, lengths_B: Tensor | None = None) -> Any:
        del lengths_B
        return self.linear(image_BCHW.mean((2, 3)))[:, None]


class Weighty(Bare):
    """An encoder with numbers in its mask."""

    def forward(self, image_BCHW: Tensor, lengths_B: Tensor | None = None) -> Tokens:
        values_BTD = super().forward(image_BCHW, lengths_B)
        return Tokens(values_BTD, torch.ones(values_BTD.shape[:2]))


class Wide(nn.Module):
    """A fusion of a width of its own."""

    class Config(registry.Config):
        kind: str

    def __init__(self, config: Config, modalities: tuple[str, ...], width: int) -> None:
        super().__init__()
        del config, modalities
        self.linear = nn.Linear(width, width + 1)

    def forward(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> Tokens:
        del present_BM
        return single(self.linear(next(iter(tokens.values())).mean_BD()))


class Half(nn.Module):
    """A head without most of what a head has."""

    class Config(registry.Config):
        kind: str
        weight: float = 1.0

    def __init__(self, config: Config, name: str, label: Mapping[str, Any], width: int) -> None:
        super().__init__()
        del config, name, label
        self.linear = nn.Linear(width, 1)

    def forward(self, features: Features) -> Tensor:
        answer_B: Tensor = self.linear(features.fused.mean_BD())[:, 0]
        return answer_B


class Sound(Half):
    """A head that keeps what is asked of it."""

    def loss(self, output_B: Tensor, target_B: Tensor, weight_B: Tensor) -> Any:
        counts_B = self.loss_weight_B(target_B, weight_B)
        return WeightedSum((output_B.square() * counts_B).sum(), counts_B.sum())

    def loss_weight_B(self, target_B: Tensor, weight_B: Tensor) -> Tensor:
        return weight_B * (target_B >= 0)

    def metrics(self, output_B: Tensor, target_B: Tensor, weight_B: Tensor) -> dict[str, WeightedSum]:
        return {"size": self.loss(output_B, target_B, weight_B)}

    def predict(self, output_B: Tensor) -> Tensor:
        return output_B


class Mean(Sound):
    """A head whose loss is one number."""

    def loss(self, output_B: Tensor, target_B: Tensor, weight_B: Tensor) -> Any:
        return super().loss(output_B, target_B, weight_B).total


class Forgetful(Sound):
    """A head whose loss counts samples that it did not say it would."""

    def loss(self, output_B: Tensor, target_B: Tensor, weight_B: Tensor) -> Any:
        return WeightedSum(output_B.sum(), weight_B.sum() + 1)


class One(Sound):
    """A head that predicts one number for all."""

    def predict(self, output_B: Tensor) -> Tensor:
        return output_B.mean()


class Lone(nn.Module):
    """An objective that is a number."""

    class Config(registry.Config):
        kind: str
        weight: float = 1.0

    def __init__(self, config: Config, modalities: tuple[str, ...], width: int, label: Mapping[str, Any]) -> None:
        super().__init__()
        del config, modalities, width, label

    def forward(self, outputs: Outputs, batch: Batch) -> Any:
        return outputs.features.fused.mean_BD().sum() * batch.weight.sum()

    def loss_weight(self, batch: Batch) -> Tensor:
        return batch.weight.sum()


TOKENS = r"it gives `Tokens\(values_BTD, mask_BT\)` of tasks.models.tokens: floats of 4 samples"


def tried(shards: Artifact, **model: Any) -> None:
    chosen, shard_set = config(model=model), ShardSet.open(shards.path)
    shapes, labels, _ = probe_model(chosen, shard_set, Sources(), [].append)
    check_own(chosen, shard_set, shapes, labels, fits(chosen, shard_set, Sources()))


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ({"encoders": {"image": {"kind": f"{HERE}:Bare"}}}, rf"encoder '{HERE}:Bare' of image gives a Tensor; {TOKENS}"),
        (
            {"encoders": {"image": {"kind": f"{HERE}:Weighty"}}},
            rf"encoder '{HERE}:Weighty' of image gives torch.float32 and a mask of torch.float32; {TOKENS}",
        ),
        ({"fusion": f"{HERE}:Wide"}, rf"fusion '{HERE}:Wide' gives values of 4 by 1 by 17 and a mask of 4 by 1; {TOKENS}"),
        (
            {"heads": {"shade": f"{HERE}:Half"}},
            rf"head 'shade' \({HERE}:Half\) has no `loss`, `loss_weight_B`, `metrics`, `predict`; beside its call a head has `loss`",
        ),
        (
            {"heads": {"shade": f"{HERE}:Mean"}},
            rf"head 'shade' \({HERE}:Mean\): `loss` gives a tensor of no dimension; it gives `WeightedSum\(total, weight\)`",
        ),
        (
            {"heads": {"shade": f"{HERE}:Forgetful"}},
            rf"head 'shade' \({HERE}:Forgetful\): `loss` gives the weight 5, and what says it before the model runs .* gives [234]; both",
        ),
        (
            {"heads": {"shade": f"{HERE}:One"}},
            rf"head 'shade' \({HERE}:One\): `predict` gives a tensor of no dimension; it gives a tensor with a row for each of 4 samples",
        ),
        (
            {"objectives": {"near": f"{HERE}:Lone"}},
            rf"objective 'near' \({HERE}:Lone\): its call gives a tensor of no dimension; it gives `WeightedSum\(total, weight\)`",
        ),
    ],
)
def test_a_part_that_gives_something_else_is_named_with_what_it_must_give(shards: Artifact, model: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=f"^{sentence}"):
        tried(shards, **model)


def test_parts_that_keep_what_is_asked_of_them_pass_and_draw_no_random_numbers(shards: Artifact) -> None:
    own = {"image": {"kind": "tests.tasks.models.own:Mean"}, "text": "gru"}
    before = torch.get_rng_state()
    tried(shards, encoders=own, heads={"shade": f"{HERE}:Sound", "height": "regression"})
    assert torch.equal(torch.get_rng_state(), before)
