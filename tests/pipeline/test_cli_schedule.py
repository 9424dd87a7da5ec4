"""`medley schedule` as a user types it: real processes, real signals, real webhooks. Runs find everything cached, so that no Ray starts."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pipeline import graph, plan, recipe, runner
from pipeline.__main__ import main
from pipeline.executors import in_process
from pipeline.leases import Pace, held
from pipeline.store import LocalStore
from pipeline.ticks import Log
from tasks.notify import signature
from tests.conftest import ROOT

GATED = """
import hashlib, os, time
from pathlib import Path
from pydantic import BaseModel
from tasks.contracts import SourceRecord, Locator
from tasks.errors import SourceError

class Gated:
    '''Texts of a folder. A run that looks while the file `closed` is there waits until it is gone, and says that it waits.'''
    class Config(BaseModel):
        format: str
    def __init__(self, config, base_dir):
        self.base = Path(base_dir)
    def snapshot(self):
        while (self.base / "closed").exists():
            (self.base / f"waiting-{os.getpid()}").touch()
            time.sleep(0.02)
        if (self.base / "broken").exists():
            raise RuntimeError("a mistake in the source")
        names = sorted(path.name for path in (self.base / "data").iterdir())
        if not names:
            raise SourceError("the folder is empty; put texts into it")
        return {"digest": hashlib.sha256(repr(names).encode()).hexdigest(), "records": len(names)}
    def records(self, output_dir):
        for path in sorted((self.base / "data").iterdir()):
            status = path.stat()
            yield SourceRecord(path.stem, {"text": Locator(str(path), size=status.st_size, mtime_ns=status.st_mtime_ns)})
"""
RECIPE = """
name: small
store: store
schedule: {schedule}
steps:
  corpus: {{task: ingest, source: {{format: "gated_source:Gated"}}}}
"""
EVERY_MINUTE = '{cron: "* * * * *", retries: 0}'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A recipe whose store has everything already."""
    (tmp_path / "data").mkdir()
    for number in range(3):
        (tmp_path / "data" / f"t{number}.txt").write_text(f"text {number}")
    (tmp_path / "gated_source.py").write_text(GATED)
    monkeypatch.setattr(sys, "path", [*sys.path])
    sys.modules.pop("gated_source", None)
    written(tmp_path, EVERY_MINUTE)
    filled(tmp_path)
    yield tmp_path
    (tmp_path / "closed").unlink(missing_ok=True)
    sys.modules.pop("gated_source", None)


def written(folder: Path, schedule: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.format(schedule=schedule))
    return path


def filled(folder: Path) -> None:
    loaded = recipe.load(folder / "recipe.yaml")
    assert not isinstance(loaded.store, str)
    result = runner.run(plan.make(graph.build(loaded), LocalStore.open(loaded.store)), in_process, runner.Options())
    assert result.status == "done"


def log(folder: Path) -> Log:
    return Log(LocalStore(folder / "store"), "small")


def kinds(folder: Path) -> list[str]:
    return [entry.kind for entry in log(folder).entries()]


def begun(folder: Path, seconds_ago: float = 90.0) -> None:
    """The schedule counts from then on, so that a moment is due now."""
    now = dt.datetime.now(dt.UTC)
    since = (now - dt.timedelta(seconds=seconds_ago)).isoformat(timespec="seconds")
    assert log(folder).append(log(folder).last(), "began", now, triggers=["cron * * * * * UTC"], since=since)


def call(capsys: pytest.CaptureFixture[str], *words: Any) -> tuple[int, str, str]:
    code = main(["schedule", *(str(word) for word in words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@contextlib.contextmanager
def keeping(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """`medley schedule` in a process of its own, which is gone at the end whatever happens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.pipeline.keeping", str(folder / "recipe.yaml"), "--json", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def until(found: Callable[[], Any], seconds: float = 60.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.02)
    pytest.fail(f"nothing after {seconds} s")


def waiting(folder: Path) -> list[int]:
    """Runs that wait at the gate."""
    return [int(path.name.removeprefix("waiting-")) for path in folder.glob("waiting-*")]


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


def test_once_runs_what_is_due_and_ends_and_a_second_call_finds_nothing_due(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(folder, '{cron: "0 0 1 1 *", misfire_grace_s: 31622400, retries: 0}')
    code, out, _ = call(capsys, folder / "recipe.yaml", "--once")
    assert code == 0
    assert "run begins (its time has come)" in out
    assert kinds(folder) == ["began", "claimed", "finished"]
    finished = log(folder).last().facts
    assert finished["status"] == "done"
    assert (folder / "store" / "runs" / finished["run"] / "journal.jsonl").exists()
    assert call(capsys, folder / "recipe.yaml", "--once")[0] == 0
    assert kinds(folder) == ["began", "claimed", "finished"]


def test_a_failed_run_is_exit_code_1_and_stands_in_the_history(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(folder, '{cron: "* * * * *", retries: 3, retry_after_s: 0}')
    for path in (folder / "data").iterdir():
        path.unlink()
    code, _, _ = call(capsys, folder / "recipe.yaml", "--once")
    assert code == 1
    assert kinds(folder) == ["began", "claimed", "finished"], "what is wrong with the data is not tried again"
    _, out, _ = call(capsys, folder / "recipe.yaml", "--history")
    assert "failed after" in out
    assert "the folder is empty; put texts into it" in out


def test_a_run_that_breaks_without_a_word_is_tried_again_and_says_where_to_look(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(folder, '{cron: "* * * * *", retries: 1, retry_after_s: 0}')
    (folder / "broken").touch()
    assert call(capsys, folder / "recipe.yaml", "--once")[0] == 1
    assert kinds(folder) == ["began", "claimed", "attempt", "finished"]
    assert "exit code 1 before it could say why here; stderr has its last words" in log(folder).last().facts["message"]


def test_kill_9_in_the_middle_of_a_run_ends_the_run_and_the_next_scheduler_goes_on_with_it(folder: Path) -> None:
    begun(folder)
    (folder / "closed").touch()
    with keeping(folder) as first:
        [child] = until(lambda: waiting(folder))
        first.send_signal(signal.SIGKILL)
        first.wait()
        until(lambda: is_gone(child), 10)
    assert kinds(folder) == ["began", "claimed"]
    (folder / "closed").unlink()
    with keeping(folder) as second:
        until(lambda: "finished" in kinds(folder))
        second.send_signal(signal.SIGTERM)
        second.wait(30)
    assert kinds(folder)[:4] == ["began", "claimed", "attempt", "finished"]
    entries = list(log(folder).entries())
    assert entries[3].facts["scheduled"] == entries[1].facts["scheduled"]
    assert entries[3].facts["status"] == "done"


def test_sigterm_in_the_middle_of_a_run_ends_both_in_order_and_the_next_goes_on(folder: Path) -> None:
    begun(folder)
    (folder / "closed").touch()
    with keeping(folder) as first:
        [child] = until(lambda: waiting(folder))
        first.send_signal(signal.SIGTERM)
        said, _ = first.communicate(timeout=30)
        assert first.returncode == 130
        assert is_gone(child)
    events = [json.loads(line) for line in said.splitlines()]
    assert [event["event"] for event in events] == ["keeping", "started", "stopped", "ended"]
    assert kinds(folder) == ["began", "claimed", "stopped"]
    (folder / "closed").unlink()
    with keeping(folder, "--once") as second:
        assert second.wait(60) == 0
    assert kinds(folder)[:5] == ["began", "claimed", "stopped", "attempt", "finished"]


@pytest.mark.slow
def test_once_beside_another_that_is_at_work_ends_without_a_fault(folder: Path) -> None:
    begun(folder)
    with (
        held(LocalStore(folder / "store"), "schedule-small", Pace(beat_s=0.2, silence_s=2.0, look_s=0.05)),
        keeping(folder, "--once") as keeper,
    ):
        said, _ = keeper.communicate(timeout=60)
        assert keeper.returncode == 0
    events = [json.loads(line) for line in said.splitlines()]
    assert [event["event"] for event in events] == ["keeping", "waiting", "busy"]
    assert "another process is running the schedule 'small'" in events[-1]["why"]
    assert kinds(folder) == ["began"]


@pytest.mark.slow
def test_two_schedulers_run_one_moment_once_and_the_second_takes_over_when_the_first_is_killed(folder: Path) -> None:
    begun(folder)
    (folder / "closed").touch()
    with keeping(folder) as first:
        [child] = until(lambda: waiting(folder))
        with keeping(folder) as second:
            assert second.stdout is not None
            until(lambda: json.loads(second.stdout.readline())["event"] == "waiting")  # type: ignore[union-attr]
            assert waiting(folder) == [child], "the second began the same run"
            first.send_signal(signal.SIGKILL)
            first.wait()
            until(lambda: len(waiting(folder)) == 2)
            (folder / "closed").unlink()
            until(lambda: "finished" in kinds(folder))
            second.send_signal(signal.SIGTERM)
            second.wait(30)
    assert kinds(folder)[:4] == ["began", "claimed", "attempt", "finished"]


@pytest.mark.slow
def test_a_run_whose_process_is_killed_is_taken_up_again(folder: Path) -> None:
    written(folder, '{cron: "* * * * *", retries: 1, retry_after_s: 0}')
    begun(folder)
    (folder / "closed").touch()
    with keeping(folder, "--once") as keeper:
        [child] = until(lambda: waiting(folder))
        os.kill(child, signal.SIGKILL)
        until(lambda: len(waiting(folder)) == 2)
        (folder / "closed").unlink()
        assert keeper.wait(60) == 0
    entries = list(log(folder).entries())
    assert [entry.kind for entry in entries[:4]] == ["began", "claimed", "attempt", "finished"]
    assert "ended by SIGKILL" in entries[2].facts["reason"]


TRAINING = """
name: small
store: store
schedule: {cron: "* * * * *", retries: 0}
steps:
  corpus: {task: ingest, source: {format: folder, path: words}}
  shards: {task: shard, corpus: corpus, prepare: {text: {}}, fit: {text: {tokenizer: byte}}}
  model:
    task: train
    shards: shards
    epochs: 150
    select: last
    batch_size: 4
    streams: 2
    model: {encoders: {text: {kind: gru}}, fusion: {kind: concat}, heads: {label: {kind: classification}}}
"""


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(600)
def test_kill_9_in_the_middle_of_a_training_on_ray_and_the_next_scheduler_ends_it(folder: Path) -> None:
    for number in range(64):
        path = folder / "words" / ("even" if number % 2 == 0 else "odd") / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"number {number}")
    (folder / "recipe.yaml").write_text(TRAINING)
    begun(folder)
    with keeping(folder) as first:
        progress = until(lambda: list((folder / "store" / "runs").glob("*/steps/model.json")), 200)[0]
        until(lambda: json.loads(progress.read_bytes()).get("done", 0) > 100, 200)
        first.send_signal(signal.SIGKILL)
        first.wait()
    with keeping(folder, "--once") as second:
        assert second.wait(300) == 0
    entries = [entry for entry in log(folder).entries() if entry.facts.get("tick", 2) == 2 or entry.n <= 2]
    assert [entry.kind for entry in entries[:4]] == ["began", "claimed", "attempt", "finished"]
    assert entries[3].facts["status"] == "done"
    journal = (folder / "store" / "runs" / entries[3].facts["run"] / "journal.jsonl").read_text().splitlines()
    ends = {event["step"]: event["status"] for event in map(json.loads, journal) if event["event"] == "step_finished"}
    assert ends == {"corpus": "cached", "shards": "cached", "model": "ran"}


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what it gets."""

    got: ClassVar[list[tuple[dict[str, str], bytes]]] = []

    def do_POST(self) -> None:
        self.got.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Silent."""


def test_webhooks_hear_of_the_run_signed_and_one_that_is_away_stands_in_the_history(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Receiver.got.clear()
    monkeypatch.setenv("HOOK_KEY", "secret")
    monkeypatch.setattr("tasks.notify.PAUSE_S", 0.0)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    hook = f'{{url: "http://127.0.0.1:{server.server_port}/x", secret: "env:HOOK_KEY", private: true}}'
    written(folder, f'{{cron: "* * * * *", webhooks: [{hook}, {{url: "env:NO_SUCH_HOOK"}}]}}')
    try:
        assert call(capsys, folder / "recipe.yaml", "--once")[0] == 0
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    documents = [json.loads(body) for _, body in Receiver.got]
    assert [document["event"] for document in documents] == ["schedule.started", "schedule.finished"]
    assert documents[1]["data"]["status"] == "done"
    assert documents[1]["data"]["schedule"] == "small"
    for headers, body in Receiver.got:
        seconds = int(headers["Medley-Signature"].split(",")[0].removeprefix("t="))
        assert headers["Medley-Signature"] == signature("secret", body, seconds)
    undelivered = [entry.facts for entry in log(folder).entries() if entry.kind == "undelivered"]
    assert [entry["of"] for entry in undelivered] == ["schedule.started", "schedule.finished"]
    assert "NO_SUCH_HOOK is not set" in undelivered[0]["problem"]


def test_pause_resume_list_and_history(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "recipe.yaml"
    assert "nobody keeps it yet" in call(capsys, file, "--list")[1]
    assert "nothing yet" in call(capsys, file, "--history")[1]
    assert "paused: new disks" in call(capsys, file, "--pause", "new disks")[1]
    assert "paused already" in call(capsys, file, "--pause")[1]
    code, out, _ = call(capsys, file, "--once")
    assert code == 0
    assert "paused: new disks" in out
    assert kinds(folder) == ["paused", "began"]
    assert "paused: new disks" in call(capsys, file, "--list")[1]
    shown = json.loads(call(capsys, file, "--list", "--json")[1])
    assert shown["paused"] == "new disks"
    assert shown["triggers"][0]["trigger"] == "cron * * * * * UTC"
    assert "counting from now" in call(capsys, file, "--resume")[1]
    history = json.loads(call(capsys, file, "--history", "2", "--json")[1])
    assert [entry["event"] for entry in history] == ["began", "resumed"]


def test_what_cannot_be_asked_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "recipe.yaml"
    code, _, err = call(capsys, file, "--history", "0")
    assert code == 2
    assert "needs a number of entries" in err
    code, _, err = call(capsys, file, "--once", "--list")
    assert code == 2
    assert "not allowed with" in err
    file.write_text(file.read_text().replace("schedule:", "# schedule:"))
    code, _, err = call(capsys, file)
    assert code == 2
    assert "has no `schedule:`; add one" in err


@pytest.mark.parametrize(
    ("schedule", "about"),
    [
        ("{}", "schedule: nothing makes a run due"),
        ('{cron: "0 0 30 2 *"}', "schedule.cron: can never fire"),
        ('{cron: ["0 3 * * *", "0 25 * * *"]}', "schedule.cron.1: its hour is wrong"),
        ('{cron: ["0 3 * * *", "0  3 * * *"]}', "'0 3 * * *' is listed twice"),
        ('{cron: "0 3 * * *", timezone: Europe/Berln}', "schedule.timezone: is no time zone (did you mean 'Europe/Berlin'?)"),
        ("{max_age_h: 24}", "schedule: max_age_h is the age of a promoted version, and this recipe has no promote step"),
        ("{drift: {against: new}}", "schedule: drift is measured from what the version in force was trained on, and this recipe has no"),
        ('{cron: "0 3 * * *", drift: {above: 1}}', "schedule.drift.against: is missing"),
        ("{new_data: {atleast: 5}}", "schedule.new_data: unknown key 'atleast'"),
        ('{cron: "0 3 * * *", misfire: never}', "schedule.misfire"),
        ('{cron: "0 3 * * *", webhooks: [{url: "ftp://x"}]}', "schedule.webhooks.0.url: ftp://x is no address to post to"),
    ],
)
def test_a_schedule_that_is_wrong_is_told_with_its_line(
    folder: Path, schedule: str, about: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["check", str(written(folder, schedule))])
    assert code == 2
    err = capsys.readouterr().err
    assert "recipe.yaml:4: " in err
    assert about.replace("schedule.new_data: unknown", "schedule.new_data.atleast: unknown") in err


def test_the_schedule_changes_no_key(folder: Path) -> None:
    keys = []
    for schedule in (EVERY_MINUTE, '{cron: "0 3 * * *", timezone: Europe/Berlin, jitter_s: 60}'):
        made = plan.make(graph.build(recipe.load(written(folder, schedule))), LocalStore(folder / "store"))
        keys.append(made.steps["corpus"].key)
    assert keys[0] == keys[1]


def test_a_damaged_entry_of_the_log_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun(folder)
    (folder / "store" / "schedule" / "small" / "ticks" / "00000001.json").write_text("{")
    code, _, err = call(capsys, folder / "recipe.yaml", "--history")
    assert code == 1
    assert "schedule/small/ticks/00000001.json in the store is damaged" in err
