"""What training processes and the launching process tell each other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tasks.errors import LabelError, Stopped, TaskError
from tasks.training import channel
from tasks.training.channel import Journal, Tail


class Sink:
    def __init__(self) -> None:
        self.curves: list[tuple[int, dict[str, float]]] = []
        self.bars: list[tuple[float, float | None, str, str]] = []
        self.notes: list[str] = []

    def progress(self, done: float, total: float | None, unit: str, detail: str = "") -> None:
        self.bars.append((done, total, unit, detail))

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        self.curves.append((step, dict(values)))

    def note(self, message: str) -> None:
        self.notes.append(message)


def test_the_tail_hands_on_each_line_once(tmp_path: Path) -> None:
    journal, sink, logged = Journal(tmp_path), Sink(), []
    tail = Tail(tmp_path, sink, lambda values, step: logged.append((step, values)))
    tail.poll()
    journal.metrics(1, 0, {"train/loss": 2.0})
    journal.progress(1, 9, "epoch 1/3")
    journal.note("hello")
    tail.poll()
    tail.poll()
    journal.metrics(2, 0, {"train/loss": 1.0})
    tail.poll()
    assert sink.curves == [(1, {"epoch": 0, "train/loss": 2.0}), (2, {"epoch": 0, "train/loss": 1.0})] == logged
    assert sink.bars == [(1, 9, "steps", "epoch 1/3")]
    assert sink.notes == ["hello"]


def test_half_a_line_waits_for_its_other_half(tmp_path: Path) -> None:
    sink = Sink()
    tail = Tail(tmp_path, sink, lambda values, step: None)
    path = tmp_path / channel.METRICS
    path.write_bytes(b'{"step": 1, "a": 1.0}\n{"step": 2,')
    tail.poll()
    assert len(sink.curves) == 1
    with path.open("ab") as file:
        file.write(b' "a": 2.0}\n')
    tail.poll()
    assert sink.curves == [(1, {"a": 1.0}), (2, {"a": 2.0})]


def test_lines_that_a_resumed_run_writes_again_are_not_handed_on_again(tmp_path: Path) -> None:
    sink, journal = Sink(), Journal(tmp_path)
    tail = Tail(tmp_path, sink, lambda values, step: None)
    for step in range(5):
        journal.metrics(step, 0, {"a": float(step)})
    tail.poll()
    resumed = Journal(tmp_path)
    resumed.rewind(2)
    tail.poll()
    assert resumed.lines == 2
    for step in range(2, 7):
        resumed.metrics(step, 0, {"a": step + 0.25})
        tail.poll()
    assert [step for step, _ in sink.curves] == [0, 1, 2, 3, 4, 5, 6]
    assert [json.loads(line)["a"] for line in (tmp_path / channel.METRICS).read_text().splitlines()] == [
        0.0,
        1.0,
        2.25,
        3.25,
        4.25,
        5.25,
        6.25,
    ]


def test_progress_is_throttled_but_the_end_is_told(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for step in range(1, 5):
        journal.progress(step, 4, "")
        told = json.loads((tmp_path / channel.PROGRESS).read_bytes())["done"]
        assert told == (4 if step == 4 else 1)


def test_a_stop_is_asked_for_and_confirmed_by_files(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert not journal.stop_requested()
    channel.request_stop(tmp_path)
    assert Journal(tmp_path).stop_requested()
    channel.confirm_stop(tmp_path, Stopped("at step 3"))
    assert str(channel.confirmed_stop(tmp_path)) == "at step 3"
    channel.reset(tmp_path)
    assert channel.confirmed_stop(tmp_path) is None
    assert not Journal(tmp_path).stop_requested()


def test_a_failure_keeps_its_class(tmp_path: Path) -> None:
    assert channel.recorded_failure(tmp_path) is None
    channel.record_failure(tmp_path, LabelError("no such label"))
    found = channel.recorded_failure(tmp_path)
    assert type(found) is LabelError
    assert str(found) == "no such label"
    channel.replace(tmp_path / channel.FAILURE, b'{"error": "annotations", "message": "odd"}')
    assert type(channel.recorded_failure(tmp_path)) is TaskError
