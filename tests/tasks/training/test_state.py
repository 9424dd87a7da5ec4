"""Checkpoints: whole or refused, without pickle, and equal to what was saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tasks.errors import CorruptArtifact
from tasks.training import state
from tasks.training.state import Progress


def trained(seed: int = 0, steps: int = 3) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    optimizer = torch.optim.AdamW(state.parameter_groups(model, 0.1))
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.ones(2, 3)).square().sum().backward()
        optimizer.step()
    return model, optimizer


def saved(root: Path, steps: int = 3, best: int | None = None) -> Path:
    model, optimizer = trained(steps=steps)
    progress = Progress(epoch=1, step=2, steps=steps, best=None if best is None else {"steps": best, "epoch": 1, "loss": 1.0, "val": {}})
    return state.save(root, {state.MODEL: model.state_dict()}, optimizer.state_dict(), progress, {"threads": 1})


def test_what_is_read_is_what_was_saved(tmp_path: Path) -> None:
    model, optimizer = trained()
    found = state.read(saved(tmp_path))
    other_model, other_optimizer = trained(seed=1, steps=1)
    other_model.load_state_dict(found.model())
    other_optimizer.load_state_dict(found.optimizer())
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other_model.parameters(), strict=True))
    for place, values in optimizer.state_dict()["state"].items():
        assert all(torch.equal(value, other_optimizer.state_dict()["state"][place][key]) for key, value in values.items())
    assert other_optimizer.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]
    assert found.progress == Progress(epoch=1, step=2, steps=3)
    assert found.facts == {"threads": 1}


def test_a_checkpoint_holds_no_pickle(tmp_path: Path) -> None:
    files = {path.name: path.read_bytes() for path in saved(tmp_path).iterdir()}
    assert set(files) == {"model.safetensors", "optimizer.safetensors", "checkpoint.json"}
    json.loads(files.pop("checkpoint.json"))
    for data in files.values():
        json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])  # a safetensors header


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


@pytest.mark.parametrize("name", [state.MODEL, state.OPTIMIZER, state.INDEX])
@pytest.mark.parametrize("harm", [damage, cut, Path.unlink])
def test_a_harmed_file_is_noticed(tmp_path: Path, name: str, harm: Any) -> None:
    path = saved(tmp_path)
    harm(path / name)
    with pytest.raises(CorruptArtifact, match="step-000000003"):
        state.read(path)


def test_the_newest_whole_checkpoint_is_found_and_torn_ones_are_named(tmp_path: Path) -> None:
    saved(tmp_path, 3)
    cut(saved(tmp_path, 12) / state.MODEL)
    notes: list[str] = []
    found = state.newest(tmp_path, notes.append)
    assert found is not None
    assert found.progress.steps == 3
    assert len(notes) == 1
    assert "step-000000012" in notes[0]
    assert state.newest(tmp_path / "nothing", notes.append) is None


def test_old_checkpoints_go_and_the_best_stays(tmp_path: Path) -> None:
    for steps in (1, 2, 3, 4, 5):
        saved(tmp_path, steps, best=2 if steps > 1 else None)
    assert sorted(path.name[-1] for path in tmp_path.iterdir()) == ["2", "4", "5"]


def test_a_checkpoint_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    index = json.loads((path / state.INDEX).read_bytes())
    (path / state.INDEX).write_text(json.dumps(index | {"format": 99}))
    with pytest.raises(CorruptArtifact, match="format 99"):
        state.read(path)


def test_what_a_killed_writer_left_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / ".writing").mkdir()
    (tmp_path / ".writing" / state.MODEL).write_bytes(b"half")
    assert state.newest(tmp_path, pytest.fail) is None
    saved(tmp_path)
    assert state.newest(tmp_path, pytest.fail) is not None
    assert not (tmp_path / ".writing").exists()


def test_matrices_decay_and_vectors_do_not() -> None:
    matrices, vectors = state.parameter_groups(nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4)), 0.5)
    assert (len(matrices["params"]), matrices["weight_decay"]) == (1, 0.5)
    assert (len(vectors["params"]), vectors["weight_decay"]) == (3, 0.0)


def test_tied_weights_can_be_saved(tmp_path: Path) -> None:
    shared = torch.ones(2, 2)
    path = state.save(tmp_path, {state.MODEL: {"a": shared, "b": shared}}, {"state": {}, "param_groups": []}, Progress(), {})
    assert torch.equal(state.read(path).model()["b"], shared)
