"""What learns and how fast: frozen parts, gradual unfreezing, learning rates by part and depth, LoRA, and the moving average."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from tasks import registry
from tasks.contracts import Artifact
from tasks.errors import InputError
from tasks.models.fused import FusedModel
from tasks.models.parts import places, within
from tasks.training import learning, loop
from tasks.training.average import decay_at
from tasks.training.config import TrainConfig
from tasks.training.config_transfer import EmaConfig
from tasks.training.depths import depths
from tasks.training.ranks import Ranks
from tasks.training.run import Job, Run, start
from tasks.training.schedule import share
from tests.tasks.models.encoders.example import encoder
from tests.tasks.training.example import config

IMAGE = "encoders.image_."
ENCODERS = {"image": {"kind": "tests.tasks.training.own:Normed"}, "text": {"kind": "transformer", "num_heads": 2}}
"""A picture encoder with batch norm and dropout, and one with blocks."""


def begun(shards: Artifact, folder: Path, **changes: Any) -> Run:
    model = {"encoders": ENCODERS, **changes.pop("model", {})}
    folder.mkdir(exist_ok=True)
    return start(Job(config(model=model, **changes), shards.path, folder, seed=7), Ranks())


def weights(run: Run) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in run.model.state_dict().items()}


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


def epoch(run: Run) -> set[str]:
    """The weights that an epoch moves."""
    before = weights(run)
    loop.train_epoch(run)
    loop.end_epoch(run)
    return moved(before, weights(run))


def test_frozen_parts_keep_weights_and_running_statistics_and_their_dropout_is_off(shards: Artifact, tmp_path: Path) -> None:
    whole, still = begun(shards, tmp_path / "a"), begun(shards, tmp_path / "b", fine_tune={"freeze": ["encoders.image", "missing"]})
    assert {f"{IMAGE}norm.running_mean", f"{IMAGE}norm.running_var", f"{IMAGE}project.weight"} <= epoch(whole)
    names = epoch(still)
    assert names
    assert not any(name.startswith((IMAGE, "missing.")) for name in names)
    learning.train_mode(still.model, still.config, 0)
    assert not any(module.training for module in still.model.encoders["image_"].modules())
    assert all(module.training for module in still.model.encoders["text_"].modules())
    groups = {id(each) for group in still.optimizer.param_groups for each in group["params"]}
    assert not any(id(each) in groups for name, each in still.model.named_parameters() if name.startswith((IMAGE, "missing.")))


def test_a_part_is_unfrozen_at_its_epoch(shards: Artifact, tmp_path: Path) -> None:
    run = begun(shards, tmp_path / "a", epochs=3, fine_tune={"unfreeze": {"encoders.image": 3, "heads.shade": 2}})
    seen = [epoch(run) for _ in range(3)]
    assert [any(name.startswith(IMAGE) for name in names) for names in seen] == [False, False, True]
    assert [any(name.startswith("heads.shade_.") for name in names) for names in seen] == [False, True, True]


def test_what_is_said_of_one_part_counts_and_not_what_is_said_of_its_group() -> None:
    chosen = config(epochs=3, fine_tune={"unfreeze": {"encoders.image": 2, "encoders": 3}})
    waiting = [learning.frozen(chosen, number) for number in range(3)]
    assert waiting == [["encoders.audio", "encoders.image", "encoders.text"], ["encoders.audio", "encoders.text"], []]


def test_learning_rates_are_the_product_of_schedule_part_and_depth(shards: Artifact, tmp_path: Path) -> None:
    tuned = {"rates": {"encoders": 0.5, "encoders.text": 0.25, "heads": 3.0}, "layer_decay": 0.5}
    run = begun(shards, tmp_path / "a", fine_tune=tuned)
    for batch in itertools.islice(run.train.epoch(0), 3):
        loop.train_step(run, batch)
    found = {id(each): group["lr"] for group in run.optimizer.param_groups for each in group["params"]}
    top = run.config.optimizer.learning_rate * share(run.config.schedule, 2, run.total_steps)
    names = {name: found[id(parameter)] / top for name, parameter in run.model.named_parameters()}
    text = "encoders.text_."
    assert names[f"{text}embed.weight"] == pytest.approx(0.25 * 0.5**3)
    assert names[f"{text}blocks.0.project_qkv.weight"] == pytest.approx(0.25 * 0.5**2)
    assert names[f"{text}blocks.1.feed_forward.layers.1.bias"] == pytest.approx(0.25 * 0.5)
    assert names[f"{text}norm.weight"] == pytest.approx(0.25)
    assert names[f"{IMAGE}project.weight"] == pytest.approx(0.5)
    assert names["heads.shade_.linear.weight"] == pytest.approx(3.0)
    assert names["missing.image_"] == pytest.approx(1.0)


def test_weight_decay_and_order_of_the_optimizer_are_those_of_old_where_nothing_is_tuned(shards: Artifact, tmp_path: Path) -> None:
    groups = begun(shards, tmp_path / "a").optimizer.param_groups
    assert [group["weight_decay"] for group in groups] == [0.01, 0.0]
    assert all("rate" not in group for group in groups)
    tuned = begun(shards, tmp_path / "b", fine_tune={"rates": {"fusion": 0.1}}).optimizer.param_groups
    for group in tuned:
        assert {parameter.ndim > 1 for parameter in group["params"]} == {group["weight_decay"] > 0}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("transformer", {"embed": 0, "blocks.0.": 1, "blocks.1.": 2, "norm.": 3}),
        (
            "vit",
            {"body.class_token": 0, "body.encoder.pos": 0, "body.encoder.layers.encoder_layer_0.": 1, "body.encoder.ln": 5, "norm.": 5},
        ),
        ("video_transformer", {"place_PD": 0, "space.0.": 1, "time.0.": 1, "space.1.": 2, "time.1.": 2, "norm.": 3}),
        ("resnet", {"body.conv1.": 0, "body.layer1.0.": 1, "body.layer2.0.": 3, "body.layer4.1.": 8, "grid.": 9}),
    ],
)
def test_depth_is_counted_in_blocks(kind: str, expected: dict[str, int]) -> None:
    found = depths(encoder(kind, {"transformer": "text", "video_transformer": "video"}.get(kind, "image")))
    for start_, depth in expected.items():
        assert {value for name, value in found.items() if name.startswith(start_)} == {depth}, start_


def test_the_gradient_is_cut_to_the_length_of_clip_over_what_learns_alone(
    shards: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: dict[str, float] = {}
    for name, clip in (("whole", None), ("cut", 0.01)):
        run = begun(shards, tmp_path / name, clip=clip, fine_tune={"freeze": ["encoders.text"]})

        def look(run: Run = run, name: str = name) -> None:
            gradients = {name: each.grad for name, each in run.model.named_parameters() if each.grad is not None}
            assert not any(name.startswith("encoders.text_.") for name in gradients)
            lengths[name] = float(sum(each.double().square().sum() for each in gradients.values()) ** 0.5)

        monkeypatch.setattr(run.optimizer, "step", look)
        loop.train_mode(run.model, run.config, 0)
        loop.train_step(run, next(iter(run.train.epoch(0))))
    assert lengths["whole"] > 0.1
    assert lengths["cut"] == pytest.approx(0.01, rel=1e-3)


def test_lora_leaves_all_else_of_its_part_alone(shards: Artifact, tmp_path: Path) -> None:
    run = begun(shards, tmp_path / "a", lora={"parts": ["encoders.text", "trunk"], "rank": 2})
    names = epoch(run)
    inside = {name for name in names if name.startswith(("encoders.text_.", "trunk."))}
    assert inside == {name for name in run.model.state_dict() if "lora_" in name}
    assert {f"{IMAGE}project.weight", "heads.shade_.linear.weight"} <= names


def test_every_weight_stands_in_one_part(shards: Artifact, tmp_path: Path) -> None:
    run = begun(shards, tmp_path / "a", model={"weighting": "uncertainty", "placement": "hybrid", "objectives": {"near": "alignment"}})
    for name in run.model.state_dict():
        assert sum(within(name, place) for place in places(run.config.model).values()) == 1, name


def test_the_average_is_that_of_the_closed_form_and_is_what_is_validated(shards: Artifact, tmp_path: Path) -> None:
    run = begun(shards, tmp_path / "a", ema={"decay": 0.6})
    assert run.average is not None
    expected = {name: value.double().numpy() for name, value in weights(run).items()}
    loop.train_mode(run.model, run.config, 0)
    for step, batch in enumerate(run.train.epoch(0), 1):
        loop.train_step(run, batch)
        decay = min(0.6, (1 + step) / (10 + step))
        assert decay == decay_at(EmaConfig(decay=0.6), step)
        for name, value in weights(run).items():
            expected[name] = (
                value.numpy() if not value.is_floating_point() else decay * expected[name] + (1 - decay) * value.double().numpy()
            )
    for name, value in run.average.state_dict().items():
        assert abs(value.double().numpy() - expected[name]).max() < 1e-5, name
    ours = loop.validate(run)
    run.model.load_state_dict(run.average.state_dict())
    run.average = None
    assert loop.validate(run) == ours


def test_the_average_of_weights_that_rest_is_these_weights_bit_for_bit(shards: Artifact, tmp_path: Path) -> None:
    run = begun(shards, tmp_path / "a", ema={"decay": 0.9}, fine_tune={"freeze": ["encoders"]})
    before = weights(run)
    epoch(run)
    assert run.average is not None
    for name, value in run.average.state_dict().items():
        assert torch.equal(value, before[name]) or not name.startswith("encoders."), name


REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"fine_tune": {"freeze": ["encoders.imag"]}},
        "fine_tune.freeze: 'encoders.imag' is no part of this model; did you mean 'encoders.image'?; its parts are: encoders,",
    ),
    ({"lora": {"parts": ["tail"]}}, "lora.parts: 'tail' is no part of this model; its parts are: encoders,"),
    (
        {"transfer": {"map": {"encoders.picture": "encoders.image"}}},
        "transfer.map: 'encoders.picture' is no part of this model; did you mean",
    ),
    ({"transfer": {"take": ["trunk"], "map": {"encoders.text": "encoders.image"}}}, "`map` names encoders.text, which `take` leaves out"),
    (
        {"fine_tune": {"freeze": ["encoders"], "unfreeze": {"encoders.text": 2}}},
        "`unfreeze` names encoders.text, which `freeze` keeps for ever",
    ),
    ({"fits": {"video": "init"}}, "fits.video: the model is not fed with video; it is with audio, image, text"),
]


@pytest.mark.parametrize(("changes", "sentence"), REFUSED)
def test_what_means_nothing_is_refused_when_the_recipe_is_checked(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(sentence)):
        config(**changes)


def probed(**changes: Any) -> tuple[FusedModel, TrainConfig]:
    from tasks.models.fused import build_model
    from tests.tasks.models.example import LABELS, SHAPES

    chosen = config(**changes)
    shapes = {**SHAPES, "audio": {"features": 16}}
    return build_model(chosen.model, shapes, {"shade": LABELS["digit"], "height": LABELS["height"], "mine": {"kind": "none"}}), chosen


class Weightless(nn.Module):
    """A head with nothing to learn."""

    class Config(registry.Config):
        kind: str
        weight: float = 1.0

    def __init__(self, *given: Any) -> None:
        super().__init__()
        del given


def test_what_only_the_model_can_tell_is_refused_before_training() -> None:
    model, chosen = probed(lora={"parts": ["encoders.text"]})
    with pytest.raises(InputError, match=r"^lora.parts: encoders.text has no linear layer that could be adapted; name parts that"):
        learning.add_lora(model, chosen)
    for part in ("missing.image", "log_variances"):
        with pytest.raises(InputError, match=f"^lora.parts: {part} has no linear layer that could be adapted"):
            learning.add_lora(*probed(lora={"parts": [part]}, model={"weighting": "uncertainty"}))
    normed = {"encoders": {"image": "tests.tasks.training.own:Normed"}, "heads": {"shade": "classification"}}
    for setting, why in {"accumulate": "`accumulate` cuts a batch", "policy": "policy 'reptile' steps on a few samples"}.items():
        chosen = {"accumulate": 2, "policy": {"kind": "reptile", "tasks": "shade"}}[setting]
        with pytest.raises(InputError, match=f"^the encoder of image norms over the batch, and {why}"):
            learning.check(*probed(model=normed, **{setting: chosen}))
    text = {"model": {"encoders": {"text": "gru"}}}
    with pytest.raises(InputError, match=r"^fine_tune.layer_decay: no encoder is a stack of blocks .* \(they are: gru\)"):
        learning.check(*probed(fine_tune={"layer_decay": 0.9}, **text))
    heads = {"shade": "classification", "mine": "tests.tasks.training.test_learning:Weightless"}
    all_weights = {"freeze": ["encoders", "missing", "fusion", "trunk", "heads.shade"]}
    with pytest.raises(InputError, match=r"^every part of the model is frozen, so that nothing would learn"):
        learning.check(*probed(fine_tune=all_weights, model={**text["model"], "heads": heads}))
