"""Probes on the features of a real model, over real shards, against scikit-learn by hand."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tasks.errors import InputError, LabelError, Stopped
from tasks.probe import ProbeConfig, numbers, probe
from tasks.probing import run as probing
from tests.tasks.evaluation.artifacts import Prepared, prepare, run_context


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.getbasetemp())


def inputs(prepared: Prepared) -> dict[str, Any]:
    return {"model": prepared.model, "shards": prepared.shards}


def test_every_probe_is_measured_on_every_kind_of_features(prepared: Prepared, tmp_path: Path) -> None:
    config = ProbeConfig(label="digit", trees=20, resamples=100)
    summary = probe(config, inputs(prepared), tmp_path, run_context(tmp_path))
    assert list(summary["features"]) == ["fused", "audio", "image", "text"]
    for found in summary["features"].values():
        for kind in ("linear", "svm", "trees"):
            low, high = found[kind]["interval"]
            assert 0 <= low <= found[kind]["accuracy"] <= high <= 1
    assert summary["features"]["image"]["linear"]["accuracy"] > summary["majority"]["accuracy"] + 0.2
    assert summary["head"] is not None
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"probes.json", "probes.html"}
    report = json.loads((tmp_path / "probes.json").read_text())
    assert report["samples"] == sum(value is not None for value in prepared.shard_set.labels("test")["digit"])
    page = (tmp_path / "probes.html").read_text()
    assert "its own head" in page
    assert page.count('class="dot"') == 4 * 3 + 2


def test_a_probe_says_what_scikit_learn_says_by_hand(prepared: Prepared, tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    config = ProbeConfig(label="digit", probes=("linear",), features="fused", resamples=100)
    found = probe(config, inputs(prepared), tmp_path, run_context(tmp_path))["features"]["fused"]["linear"]["accuracy"]
    loaded = probing.load_model(prepared.model.path)
    classes = prepared.shard_set.meta["labels"]["digit"]["classes"]
    train, test = (
        probing._encode(config, loaded, prepared.shard_set, split, classes, run_context(tmp_path)) for split in ("train", "test")
    )
    scaler = StandardScaler().fit(train.features["fused"])
    by_hand = LogisticRegression(max_iter=2000).fit(scaler.transform(train.features["fused"]), train.classes_N)
    assert found == pytest.approx(np.mean(by_hand.predict(scaler.transform(test.features["fused"])) == test.classes_N))


def test_the_same_seed_gives_the_same_numbers(prepared: Prepared, tmp_path: Path) -> None:
    config = ProbeConfig(label="digit", probes=("trees",), features="fused", trees=10, resamples=100)
    assert len({json.dumps(probe(config, inputs(prepared), tmp_path, run_context(tmp_path))) for _ in range(2)}) == 1


@pytest.mark.parametrize(
    ("label", "words"),
    [("digits", "no label 'digits'; did you mean 'digit'?"), ("height", "'height' is no category")],
)
def test_a_label_that_cannot_be_probed_is_named(prepared: Prepared, tmp_path: Path, label: str, words: str) -> None:
    with pytest.raises(LabelError, match=words.replace("?", "\\?")):
        probe(ProbeConfig(label=label), inputs(prepared), tmp_path, run_context(tmp_path))


def test_without_scikit_learn_it_says_what_to_install(prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(InputError, match="pip install scikit-learn"):
        probe(ProbeConfig(label="digit"), inputs(prepared), tmp_path, run_context(tmp_path))


def test_a_probing_that_is_stopped_says_so(prepared: Prepared, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped, match="run again"):
        probe(ProbeConfig(label="digit"), inputs(prepared), tmp_path, run_context(tmp_path, stop=stop))


def test_a_probe_is_named_once() -> None:
    with pytest.raises(ValidationError, match="'svm' stands there more than once"):
        ProbeConfig(label="digit", probes=("svm", "svm"))


def test_the_numbers_to_choose_by_are_those_of_the_summary(prepared: Prepared, tmp_path: Path) -> None:
    config = ProbeConfig(label="digit", probes=("linear",), features="fused", resamples=100)
    summary = probe(config, inputs(prepared), tmp_path, run_context(tmp_path))
    for path in numbers(config, {}):
        value: Any = summary
        for key in path.split("."):
            value = value[key]
        assert isinstance(value, int | float)
