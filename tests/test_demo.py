"""The whole demo, as a stranger runs it: the real command on real Ray and real MLflow, once, then looked at from every side."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import pty
import re
import shlex
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipeline import journal
from tests.conftest import ROOT

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

RECIPE = ROOT / "examples" / "digits" / "recipe.yaml"


def medley(folder: Path, *words: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "pipeline", *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


class Seen(NamedTuple):
    """What a person got from `medley demo`."""

    out: str
    screen: str
    """What the terminal was told to draw."""
    steps: dict[str, str]
    """Step → status, by the run's journal."""


@pytest.fixture(scope="module")
def seen(folder: Path) -> Seen:
    """`medley demo` in a folder with a store of its own, and a terminal to look at."""
    (folder / "tasks.py").write_text("raise SystemExit('the wrong tasks')\n")  # of the user's own: never imported
    keyboard, terminal = pty.openpty()
    command = [sys.executable, "-P", "-m", "pipeline", "demo", "--store", str(folder / "store")]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "200"}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=terminal, text=True) as process:
        os.close(terminal)
        drawn: list[bytes] = []
        reader = threading.Thread(target=lambda: drawn.extend(pieces(keyboard)))
        reader.start()
        out, _ = process.communicate()
        reader.join()
    os.close(keyboard)
    screen = b"".join(drawn).decode()
    assert process.returncode == 0, screen
    state = journal.state(journal.find(folder / "store", None))
    return Seen(out, screen, {name: step.status for name, step in state.steps.items()})


def pieces(terminal: int) -> Iterator[bytes]:
    """Everything that is written to a terminal, until nobody has it open."""
    with contextlib.suppress(OSError):  # EIO is how Linux says that
        while piece := os.read(terminal, 1 << 16):
            yield piece


CACHED = """
import sys
from pipeline.__main__ import main
code = main(sys.argv[1:])
print({"ray", "torch", "mlflow"} & set(sys.modules), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def second(seen: Seen, folder: Path) -> subprocess.CompletedProcess[str]:
    """The same recipe and store once more, which says on stderr what heavy libraries it imported."""
    command = [sys.executable, "-P", "-c", CACHED, "run", str(RECIPE), "--store", str(folder / "store"), "--json"]
    return subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def demo(second: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The `--json` document."""
    assert second.returncode == 0, second.stderr
    document: dict[str, Any] = json.loads(second.stdout)
    return document


def test_every_step_ran(seen: Seen, demo: dict[str, Any]) -> None:
    assert seen.steps == dict.fromkeys(["corpus", "shards", "model", "report", "version", "champion"], "ran")
    assert list(demo["steps"]) == list(seen.steps)


def test_the_terminal_shows_loss_rate_and_time_left_of_the_training(seen: Seen) -> None:
    lines = [line for line in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.screen).splitlines() if re.search(r"\bmodel\b", line)]
    assert any(re.search(r"/\d[\d,]* steps · [\d.e+]+/s · .*loss \d.* ETA +\d:\d\d:\d\d", line) for line in lines), lines[-20:]
    assert any(re.search(r"✓ model +ran +\d.* s  \d+ epochs, ", line) for line in lines), lines[-20:]


def test_the_tour_names_places_that_are_there_and_commands_that_work(seen: Seen, demo: dict[str, Any], folder: Path) -> None:
    assert "Where to look:" in seen.out
    places = dict(re.findall(r"^  (\S.*?)  +(\S.*)$", seen.out, re.MULTILINE))
    assert list(places) == ["the shards", "the report page", "models and curves", "how it stands", "run again (cached)"]
    assert places["the report page"] == f"{demo['steps']['report']['artifact']}/report.html"
    assert Path(places["the report page"]).is_file()
    assert places["models and curves"].endswith(f"ui --backend-store-uri sqlite:///{folder / 'store' / 'mlflow' / 'mlflow.db'}")
    for about in ("the shards", "how it stands"):
        done = medley(folder, *shlex.split(places[about])[1:])
        assert done.returncode == 0, done.stderr
    assert shlex.split(places["run again (cached)"])[1:] == ["run", str(RECIPE), "--store", str(folder / "store")]


def test_no_record_is_lost_or_doubled(demo: dict[str, Any], folder: Path) -> None:
    ledger = demo["steps"]["shards"]["summary"]["ledger"]
    assert ledger["in"] == demo["steps"]["corpus"]["summary"]["records"]
    assert ledger["in"] == sum(number for name, number in ledger.items() if name != "in")
    assert demo["steps"]["shards"]["summary"]["samples"] == ledger["written"]
    verified = medley(folder, "shards", "verify", demo["steps"]["shards"]["artifact"])
    assert verified.returncode == 0, verified.stdout


def test_test_split_holds_a_thousand_pairs(demo: dict[str, Any]) -> None:
    assert demo["steps"]["shards"]["summary"]["splits"]["test"] >= 1000


def test_fusing_beats_every_single_modality(demo: dict[str, Any]) -> None:
    head = demo["steps"]["report"]["summary"]["heads"]["digit"]
    assert head["accuracy"] >= 0.90
    assert sorted(head["by_modalities"]) == ["audio", "audio+image", "audio+image+text", "audio+text", "image", "image+text", "text"]
    best = max(head["by_modalities"][name]["interval"][1] for name in ("audio", "image", "text"))
    assert head["interval"][0] > best


def test_the_model_is_champion_in_the_log_and_in_mlflow(demo: dict[str, Any], folder: Path) -> None:
    import mlflow

    entry = json.loads((folder / "store" / "promotions" / "digits" / "1.json").read_text())
    assert (entry["action"], entry["alias"], entry["version"]) == ("promoted", "champion", "1")
    assert entry["model_key"] == demo["steps"]["model"]["key"]
    uri = f"sqlite:///{folder / 'store' / 'mlflow' / 'mlflow.db'}"
    client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    version = client.get_model_version_by_alias("digits", "champion")
    assert str(version.version) == "1"
    assert version.tags["medley.model_key"] == demo["steps"]["model"]["key"]


def test_the_page_is_one_self_contained_file(demo: dict[str, Any]) -> None:
    page = Path(demo["steps"]["report"]["artifact"], "report.html").read_text()
    assert "confusion" in page.lower()
    for outside in ('src="http', "src='http", 'href="http', "url(http", "@import"):
        assert outside not in page


def test_any_webdataset_reader_reads_the_shards(demo: dict[str, Any]) -> None:
    import webdataset

    folder = Path(demo["steps"]["shards"]["artifact"])
    urls = [str(folder / line) for line in (folder / "urls-test.txt").read_text().split()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the library leaves its files to the garbage collector
        samples = list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False))
        gc.collect()
    assert len(samples) == demo["steps"]["shards"]["summary"]["splits"]["test"]
    assert len({sample["__key__"] for sample in samples}) == len(samples)


def test_the_second_run_finds_everything_and_starts_nothing(second: subprocess.CompletedProcess[str], demo: dict[str, Any]) -> None:
    assert second.stderr == "set()\n"
    assert {step["status"] for step in demo["steps"].values()} == {"cached"}
    assert all(step["summary"] for step in demo["steps"].values())


def test_the_shards_inspected_are_those_of_the_run(demo: dict[str, Any], folder: Path) -> None:
    done = medley(folder, "shards", "inspect", demo["steps"]["shards"]["artifact"], "--json")
    facts = json.loads(done.stdout)
    assert facts["ledger"] == demo["steps"]["shards"]["summary"]["ledger"]
    assert sum(shard["samples"] for shard in facts["shards"]) == demo["steps"]["shards"]["summary"]["samples"]
    assert all(set(shard) >= {"name", "sha256", "samples", "bytes"} for shard in facts["shards"])


def test_status_and_report_find_the_run(demo: dict[str, Any], folder: Path) -> None:
    status = medley(folder, "status", demo["run"], "--store", folder / "store", "--json")
    assert json.loads(status.stdout)["status"] == "done"
    report = medley(folder, "report", demo["run"], "--store", folder / "store")
    assert report.stdout.strip().endswith("report.html")
