"""A training with gradient checkpointing is the same training; what is compiled says at once when it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.contracts import Artifact
from tasks.errors import InputError
from tasks.training.loop import train_model
from tasks.training.ranks import Ranks
from tasks.training.run import Job
from tests.tasks.training.example import config, digest, final_weights, write_shards


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return write_shards(tmp_path_factory.mktemp("recompute"))


ADAPTED = {
    "model": {"encoders": {"image": {"kind": "cnn", "channels": [8, 8]}, "text": "transformer"}},
    "lora": {"parts": ["encoders.text"], "rank": 2, "dropout": 0.2},
    "ema": {"decay": 0.9},
}


NORMED = {"model": {"encoders": {"image": {"kind": "cnn", "channels": [8, 8], "norm": "batch"}, "text": "transformer"}}}


@pytest.mark.parametrize(
    "changes", [{"accumulate": 2}, {"precision": "bfloat16"}, ADAPTED, NORMED], ids=["parts", "bfloat16", "adapted", "normed"]
)
def test_recomputed_activations_give_the_same_weights_bit_for_bit(shards: Artifact, tmp_path: Path, changes: dict[str, object]) -> None:
    found = []
    for recomputed in (False, True):
        folder = tmp_path / str(recomputed)
        folder.mkdir()
        train_model(Job(config(epochs=1, gradient_checkpointing=recomputed, **changes), shards.path, folder, seed=7), Ranks())
        found.append(digest(final_weights(folder)))
    assert found[0] == found[1]


def test_a_training_that_says_neither_has_the_key_it_had() -> None:
    plain = config().model_dump(mode="json")
    assert "gradient_checkpointing" not in plain
    assert "compile" not in plain
    assert config(gradient_checkpointing=True, compile=True).model_dump(mode="json") == {
        **plain,
        "gradient_checkpointing": True,
        "compile": True,
    }


def test_a_compiled_training_needs_a_compiler(shards: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InputError, match="`compile: true` needs a C\\+\\+ compiler"):
        train_model(Job(config(compile=True), shards.path, tmp_path, seed=7), Ranks())
