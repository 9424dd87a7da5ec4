"""What an encoder says does not learn stays as it is through a training, also under LoRA; every weight that learns has a gradient, which
data-parallel training waits for.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tasks.models.fused import FusedModel, build_model
from tasks.training import learning
from tasks.training.config import TrainConfig
from tests.tasks.models import example
from tests.tasks.models.encoders.conftest import tiny_bert

SHAPES = {"text": {"vocab_size": 20, "max_tokens": 9}}


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model with a pooler, which no token comes from."""
    return str(tiny_bert(tmp_path_factory.mktemp("bert")))


def begun(text: dict[str, Any], **changes: Any) -> tuple[FusedModel, TrainConfig]:
    """A model as a training has it at its first step."""
    config = TrainConfig.model_validate(
        {"model": {"encoders": {"text": text}, "heads": {"digit": "classification"}, "width": 16}, **changes}
    )
    torch.manual_seed(0)
    model = build_model(config.model, SHAPES, example.LABELS)
    learning.add_lora(model, config)
    learning.optimizer_groups(model, model, config)
    learning.set_learning(model, config, 0)
    return model, config


def learns(model: FusedModel) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def without_gradient(model: FusedModel) -> set[str]:
    model({"text": example.inputs()["text"]}, torch.ones(4, 1, dtype=torch.bool))["digit"].sum().backward()
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None}


def test_vectors_and_bodies_that_are_not_tuned_stay_as_they_are(bert: str) -> None:
    words = {"kind": "word_vectors", "weights": "vectors.txt", "dimension": 8}
    for text, resting in (({**words}, ".embed."), ({"kind": "hf_text", "model": bert, "tune": False}, ".body.")):
        model, _ = begun(text)
        assert "encoders.text_.project.weight" in learns(model)
        assert not [name for name in learns(model) if resting in name]
    assert "encoders.text_.embed.weight" in learns(begun({**words, "tune": True})[0])


@pytest.mark.parametrize("changes", [{}, {"lora": {"parts": ["encoders.text"], "rank": 2}}], ids=["whole", "adapted"])
def test_a_pooler_does_not_learn_so_that_nothing_waits_for_its_gradient(bert: str, changes: dict[str, Any]) -> None:
    model, _ = begun({"kind": "hf_text", "model": bert}, **changes)
    assert [name for name in learns(model) if ".body.encoder." in name]
    assert not [name for name in learns(model) if "pooler" in name]
    assert without_gradient(model) == set()


def test_a_part_that_is_unfrozen_leaves_what_rests(bert: str) -> None:
    model, config = begun({"kind": "hf_text", "model": bert}, fine_tune={"unfreeze": {"encoders.text": 2}}, epochs=2)
    assert not [name for name in learns(model) if ".body." in name]
    assert learning.set_learning(model, config, 1)
    assert [name for name in learns(model) if ".body." in name]
    assert not [name for name in learns(model) if "pooler" in name]


def test_lora_leaves_the_body_alone_that_is_not_tuned(bert: str) -> None:
    model, _ = begun({"kind": "hf_text", "model": bert, "tune": False}, lora={"parts": ["encoders.text"], "rank": 2})
    assert {name for name in learns(model) if name.startswith("encoders.")} == {
        "encoders.text_.project.lora_down_RI",
        "encoders.text_.project.lora_up_OR",
    }
