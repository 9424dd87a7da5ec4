"""A model becomes a version with its whole lineage, once, whatever MLflow did in the meantime."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from tasks.contracts import Artifact, Summary, Tracking
from tasks.errors import InputError, TrackingError
from tasks.evaluation.model_card import without_front_matter
from tasks.register import RegisterConfig, register, version_tags
from tasks.tracking.connect import connect
from tests.tasks.tracking.mlflow_fixtures import QUIET, free_port
from tests.tasks.tracking.test_connect import unprivileged
from tests.tasks.tracking.toys import CORPUS_KEY, SHARDS_KEY, context, lineage, model_folder, report_folder

pytestmark = QUIET

KEY = "m" * 64


def inputs(root: Path) -> dict[str, Artifact]:
    model = model_folder(root / "model", KEY)
    return {"model": model, "report": report_folder(root / "report", "r" * 64, model, np.arange(10) < 9)}


def run(root: Path, given: dict[str, Artifact], tracking: Tracking, name: str, key: str = "register-key") -> Summary:
    output = root / f"out-{key}"
    output.mkdir(exist_ok=True)
    summary = register(RegisterConfig(name=name), given, output, context(root, key, "version", tracking))
    assert json.loads((output / "version.json").read_bytes()) == {"format": 1, **summary}
    return summary


def test_the_version_names_everything_it_was_made_from(tmp_path: Path, sqlite_tracking: Tracking) -> None:
    summary = run(tmp_path, inputs(tmp_path), sqlite_tracking, "lineage")
    assert (summary["name"], summary["version"], summary["uri"]) == ("lineage", "1", "models:/lineage/1")
    assert (summary["model_key"], summary["report_key"]) == (KEY, "r" * 64)
    expected = {
        "medley.model_key": KEY,
        "medley.report_key": "r" * 64,
        "medley.shards_key": SHARDS_KEY,
        "medley.corpus_key": CORPUS_KEY,
        "medley.step_key": "register-key",
        "medley.recipe": "toys",
        "medley.run": "run-1",
        "medley.code_revision": "r" * 40,
        "medley.manifest_digest": hashlib.sha256(b'{"key": "toy"}').hexdigest(),
        "medley.accuracy.digit": "0.9",
    }
    assert summary["tags"] == expected
    client = connect(sqlite_tracking).client
    assert client.get_model_version("lineage", "1").tags == expected
    assert len(client.get_metric_history(summary["run_id"], "train/loss")) == 3, "curves that MLflow never saw were sent"
    import mlflow

    card = (tmp_path / "out-register-key" / "README.md").read_text()
    assert client.get_model_version("lineage", "1").description == without_front_matter(card)
    beside = mlflow.artifacts.download_artifacts("models:/lineage/1/README.md", dst_path=str(tmp_path), tracking_uri=sqlite_tracking.uri)
    assert Path(beside).read_text() == card
    stored = context(tmp_path, "x", "x", sqlite_tracking).store.read("versions/lineage/1.json")
    assert json.loads(stored)["model_key"] == KEY


def test_registering_again_gives_the_same_version(tmp_path: Path, sqlite_tracking: Tracking) -> None:
    given = inputs(tmp_path)
    assert run(tmp_path, given, sqlite_tracking, "again") == run(tmp_path, given, sqlite_tracking, "again")
    assert run(tmp_path, given, sqlite_tracking, "again", key="another-key")["version"] == "2"


def test_a_report_about_another_model_is_refused_before_mlflow_is_asked(tmp_path: Path) -> None:
    given = inputs(tmp_path)
    other = model_folder(tmp_path / "other", "n" * 64)
    with pytest.raises(InputError, match="the report 'report' is about another model"):
        run(tmp_path, given | {"model": other}, Tracking("http://127.0.0.1:1"), "mixed")


def test_a_report_that_cannot_be_read_asks_to_evaluate_again(tmp_path: Path) -> None:
    given = inputs(tmp_path)
    (given["report"].path / "report.json").unlink()
    with pytest.raises(InputError, match="evaluate the model again"):
        run(tmp_path, given, Tracking("http://127.0.0.1:1"), "broken")


def test_a_server_that_is_down_is_told_with_the_command_that_starts_it(tmp_path: Path) -> None:
    port = free_port()
    with pytest.raises(TrackingError, match=f"mlflow server .* --port {port}"):
        run(tmp_path, inputs(tmp_path), Tracking(f"http://127.0.0.1:{port}"), "down")


def test_a_database_in_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    given = inputs(tmp_path)
    tmp_path.chmod(0o777)
    with unprivileged() as folder, pytest.raises(TrackingError, match="Permission denied"):
        from tasks.tracking.runs import ensure_curves

        ensure_curves(Tracking(f"sqlite:///{folder}/mlflow.db"), lineage(KEY), KEY, given["model"].path / "metrics.jsonl")


def test_without_tracking_a_model_cannot_be_registered(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="set `tracking:` in the recipe"):
        run(tmp_path, inputs(tmp_path), Tracking(), "nowhere")


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "../up", "two words", ".hidden", "ü", "x" * 129])
def test_a_name_with_illegal_characters_is_refused_in_the_recipe(name: str) -> None:
    with pytest.raises(ValidationError):
        RegisterConfig(name=name)


@pytest.mark.parametrize("name", ["digits", "Digits-2.0_b", "7"])
def test_a_name_with_legal_characters_is_taken(name: str) -> None:
    assert RegisterConfig(name=name).name == name


def test_tags_of_a_model_that_the_run_at_hand_does_not_know_leave_out_what_is_unknown(tmp_path: Path) -> None:
    given = inputs(tmp_path)
    tags = version_tags(lineage("another model"), given["model"], given["report"])
    assert "medley.shards_key" not in tags
    assert tags["medley.model_key"] == KEY
