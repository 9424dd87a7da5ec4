"""What a model costs. No test looks at how long anything took."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.errors import Stopped
from tasks.evaluation.cost import WARM_UP, cost_facts, machine, predict_one, processor
from tasks.evaluation.predict import predict_split
from tasks.models.load import LoadedModel, load_model
from tasks.shards.loader import Loader
from tests.tasks.evaluation.artifacts import Prepared

FULL = "audio+image+text"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other on a busy machine would make these tests slow."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def loaded(prepared: Prepared) -> LoadedModel:
    return load_model(prepared.model.path)


def test_models_take_turns_and_each_is_counted(prepared: Prepared, loaded: LoadedModel) -> None:
    calls: list[None] = []
    models = [(loaded, prepared.model.path), (load_model(prepared.rival.path), prepared.rival.path)]
    first, other = cost_facts(models, prepared.shard_set, "test", 50, lambda: calls.append(None))
    assert len(calls) == 2 * (WARM_UP + 50)
    for facts, artifact in ((first, prepared.model), (other, prepared.rival)):
        assert facts["size_bytes"] == (artifact.path / "model.safetensors").stat().st_size
        assert facts["calls"] == 50
        assert facts["batch_size"] == 1
        assert 0 < facts["latency_ms"]["p50"] <= facts["latency_ms"]["p95"]
    assert first["parameters"] == sum(parameter.numel() for parameter in loaded.model.parameters()) > other["parameters"]


def test_one_sample_is_answered_as_in_a_batch(prepared: Prepared, loaded: LoadedModel) -> None:
    batches = Loader(prepared.shard_set, "test", loaded.readers, {}, batch_size=16).evaluation()
    expected = predict_split(loaded, batches, lambda done: None, [FULL]).heads
    for at, sample in enumerate(prepared.shard_set.samples("test", range(8))):
        said = predict_one(loaded, sample.members)
        np.testing.assert_allclose(said["digit"][0], expected["digit"].probability[at], atol=1e-5)
        assert float(said["height"]) == pytest.approx(expected["height"].by_subset[FULL][at], rel=1e-4)


def test_it_stops_between_two_calls(prepared: Prepared, loaded: LoadedModel) -> None:
    calls: list[None] = []

    def stop() -> None:
        calls.append(None)
        if len(calls) == 3:
            raise Stopped("enough")

    with pytest.raises(Stopped):
        cost_facts([(loaded, prepared.model.path)], prepared.shard_set, "test", 50, stop)


def test_the_machine_is_told_without_its_name(tmp_path: Path) -> None:
    assert platform.node() not in machine()
    assert "CPUs" in machine()
    told = tmp_path / "cpuinfo"
    told.write_text("processor\t: 0\nmodel name\t: Some   Chip @ 2.0GHz\nprocessor\t: 1\nmodel name\t: Some   Chip @ 2.0GHz\n")
    assert processor(told) == "Some Chip @ 2.0GHz"
    told.write_text("processor\t: 0\nBogoMIPS\t: 50.00\n")
    assert processor(told) == processor(tmp_path / "none") == platform.machine()
