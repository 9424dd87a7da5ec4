"""Bad data and bad surroundings, through whole runs: each ends with a sentence that helps, and nothing finished is lost."""

from __future__ import annotations

import io
import json
import socket
import struct
import wave
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline import Options, build_graph, in_process, load_recipe, make_plan, run_plan
from pipeline.__main__ import main
from pipeline.runner import RunResult
from pipeline.store import LocalStore

RECIPE = """\
name: bad
store: store
steps:
  corpus: {task: ingest, source: {format: folder, path: data, splits: true}}
  shards: {task: shard, corpus: corpus, prepare: {image: {}, audio: {}, text: {}}, bad_records: {max_rate: 1.0}}
"""


def jpeg(seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG")
    return out.getvalue()


def sound(seed: int = 0) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(np.random.default_rng(seed).integers(-3000, 3000, 4000).astype("<i2").tobytes())
    return out.getvalue()


def bomb() -> bytes:
    """A PNG that says it has 50,000 x 50,000 pixels."""
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(header)) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\x00\x00\x00\x00IEND\xaeB`\x82"


BAD = {
    "truncated.jpg": jpeg()[:-200],
    "notutf8.txt": "caf\u00e9".encode("latin-1"),
    "empty.wav": b"",
    "lying.wav": sound()[:4] + struct.pack("<I", 2**31) + sound()[8:40] + struct.pack("<I", 2**31 - 9) + sound()[44:],
    "bomb.png": bomb(),
}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Twelve good samples of two classes."""
    for number in range(12):
        folder = tmp_path / "data" / ("test" if number % 3 == 0 else "train") / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"s{number}.jpg").write_bytes(jpeg(number))
        (folder / f"s{number}.wav").write_bytes(sound(number))
        (folder / f"s{number}.txt").write_text(f"sample number {number}")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


def run(folder: Path, *overrides: str) -> RunResult:
    recipe = load_recipe(folder / "recipe.yaml", overrides)
    return run_plan(make_plan(build_graph(recipe), LocalStore.open(recipe.store)), in_process, Options())


def ledger(result: RunResult) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(Path(result.steps["shards"].artifact) / "ledger.parquet").to_pylist()
    return rows


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_every_bad_file_ends_in_the_ledger_and_the_good_ones_in_shards(corpus: Path) -> None:
    for name, data in BAD.items():
        (corpus / "data" / "train" / "a" / name).write_bytes(data)
    result = run(corpus)
    assert result.status == "done", result.steps
    counts = result.steps["shards"].summary["ledger"]
    assert counts == {"in": 17, "written": 12, "filtered": 0, "duplicate": 0, "quarantined": 5, "forgotten": 0}
    reasons = {row["key"].rpartition("/")[2]: row["reason"] for row in ledger(result) if row["status"] == "quarantined"}
    assert set(reasons) == {name.partition(".")[0] for name in BAD}
    assert reasons["truncated"] == "image/truncated"
    assert reasons["notutf8"] == "text/not_utf8"
    assert reasons["empty"] == "audio/empty"
    assert reasons["bomb"] == "image/too_large"
    assert reasons["lying"].startswith("audio/")
    assert all(row["detail"] for row in ledger(result) if row["status"] == "quarantined")


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_too_many_bad_records_stop_the_step_with_examples_and_keep_the_corpus(corpus: Path) -> None:
    for name, data in BAD.items():
        (corpus / "data" / "train" / "a" / name).write_bytes(data)
    result = run(corpus, "steps.shards.bad_records={max_rate: 0.1, probation: 5}")
    assert (result.steps["corpus"].status, result.steps["shards"].status) == ("ran", "failed")
    assert result.steps["shards"].bad_input
    assert "image/too_large" in result.steps["shards"].message
    assert "finished shards are kept" in result.steps["shards"].message
    mended = run(corpus, "steps.shards.bad_records={max_rate: 0.9, probation: 5}")
    assert (mended.steps["corpus"].status, mended.steps["shards"].status) == ("cached", "ran")


def test_a_label_in_test_that_train_never_saw_is_named_before_anything_is_encoded(corpus: Path) -> None:
    folder = corpus / "data" / "test" / "zebra"
    folder.mkdir()
    (folder / "z.jpg").write_bytes(jpeg(99))
    result = run(corpus)
    message = result.steps["shards"].message
    assert result.steps["shards"].status == "failed"
    assert "zebra" in message
    assert "test" in message
    assert not (corpus / "store" / "pool").exists() or not list((corpus / "store" / "pool").rglob("*.tar"))


def test_an_empty_and_a_missing_folder_are_found_when_planning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    assert main(["plan", str(tmp_path / "recipe.yaml")]) == 2
    assert f"{tmp_path / 'data'}" in capsys.readouterr().err
    (tmp_path / "data").mkdir()
    assert main(["plan", str(tmp_path / "recipe.yaml")]) == 2
    error = capsys.readouterr().err
    assert "recipe.yaml:4: steps.corpus: " in error
    assert "data" in error


def test_an_mlflow_server_that_is_down_is_noticed_before_anything_runs(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    text = (
        RECIPE + "  model: {task: train, shards: shards, model: {encoders: {image: cnn}, fusion: concat, heads: {label: classification}}}\n"
    )
    (corpus / "recipe.yaml").write_text(text.replace("store: store", f"store: store\ntracking: http://127.0.0.1:{port}"))
    assert main(["run", str(corpus / "recipe.yaml")]) == 1
    error = capsys.readouterr().err
    assert f"127.0.0.1:{port}" in error
    assert "mlflow server" in error
    assert not (corpus / "store" / "runs").exists()


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_changed_file_fails_its_step_and_says_which(corpus: Path) -> None:
    recipe = load_recipe(corpus / "recipe.yaml")
    plan = make_plan(build_graph(recipe), LocalStore.open(recipe.store), until="corpus")
    assert run_plan(plan, in_process, Options()).status == "done"
    plan = make_plan(build_graph(recipe), LocalStore.open(recipe.store))
    (corpus / "data" / "train" / "b" / "s1.txt").write_text("another text now")
    result = run_plan(plan, in_process, Options())
    assert result.steps["shards"].status == "failed"
    assert "s1.txt" in result.steps["shards"].message
    assert json.loads((corpus / "store" / "FORMAT").read_text()) == {"medley_store": 1}
    assert run(corpus).status == "done"


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_damaged_shard_is_found_and_made_anew(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(run(corpus).steps["shards"].artifact)
    before = [shard["sha256"] for shard in json.loads((folder / "shards.json").read_text())["shards"]]
    tar = next((folder / "shards").glob("train-*.tar"))
    data = bytearray(tar.read_bytes())
    data[700] ^= 1
    tar.chmod(0o644)
    tar.write_bytes(data)
    assert main(["shards", "verify", str(folder)]) == 1
    out = capsys.readouterr().out
    assert tar.name in out
    assert "--repair" in out
    assert main(["shards", "verify", str(folder), "--repair"]) == 1
    assert run(corpus).steps["shards"].status == "ran"
    assert main(["shards", "verify", str(folder)]) == 0
    assert [shard["sha256"] for shard in json.loads((folder / "shards.json").read_text())["shards"]] == before
