"""Curves go out in batches in the background, and nothing that happens there reaches the training."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import pytest

from tasks.errors import Stopped, TrackingError
from tasks.tracking import writer as writer_module
from tasks.tracking.writer import Line, Status, TrainingWriter


class Server:
    """A destination that can be down, hang, or fail at the end."""

    run_id = "run"

    def __init__(self) -> None:
        self.down = False
        self.batches: list[list[Line]] = []
        self.finished: tuple[Status, bool] | None = None

    def open(self) -> Server:
        self._check()
        return self

    def send(self, lines: Sequence[Line]) -> None:
        self._check()
        self.batches.append(list(lines))

    def finish(self, status: Status, complete: bool) -> None:
        self._check()
        self.finished = (status, complete)

    def _check(self) -> None:
        if self.down:
            raise TrackingError("no MLflow server answers at http://there")

    @property
    def steps(self) -> list[int]:
        return [line.step for batch in self.batches for line in batch]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "SEND_EVERY_S", 0.02)
    monkeypatch.setattr(writer_module, "RETRY_AT_MOST_EVERY_S", 0.04)


def eventually(condition: Callable[[], object], within_s: float = 5.0) -> None:
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_every_line_arrives_once_in_order_and_the_run_ends() -> None:
    server, notes = Server(), []
    writer = TrainingWriter(server.open, notes.append)
    for step in range(1000):
        writer.log({"loss": 1 / (step + 1)}, step)
    writer.close()
    assert server.steps == list(range(1000))
    assert len(server.batches) < 100, "lines travel together"
    assert server.finished == ("FINISHED", True)
    assert writer.run_id == "run"
    assert notes == []


def test_a_server_that_is_down_at_the_start_and_comes_back_gets_everything() -> None:
    server, notes = Server(), []
    server.down = True
    writer = TrainingWriter(server.open, notes.append)
    for step in range(5):
        writer.log({"loss": 0.5}, step)
    eventually(lambda: notes or writer._notes)
    server.down = False
    eventually(lambda: server.steps)
    writer.log({"loss": 0.5}, 5)
    writer.close()
    assert server.steps == list(range(6))
    assert server.finished == ("FINISHED", True)
    assert len(notes) == 1
    assert "training goes on without MLflow" in notes[0]
    assert "no MLflow server answers at http://there" in notes[0]


def test_a_server_that_dies_and_stays_away_costs_one_note_and_one_at_the_end() -> None:
    server, notes = Server(), []
    writer = TrainingWriter(server.open, notes.append)
    writer.log({"loss": 0.5}, 1)
    eventually(lambda: server.steps)
    server.down = True
    for step in range(2, 30):
        writer.log({"loss": 0.5}, step)
        time.sleep(0.01)
    writer.close()
    assert len(notes) == 2, notes
    assert "28 lines" in notes[1]
    assert "metrics.jsonl" in notes[1]
    assert server.finished is None


def test_an_error_nobody_thought_of_does_not_reach_the_training() -> None:
    def broken() -> Server:
        raise ZeroDivisionError("what now")

    notes: list[str] = []
    writer = TrainingWriter(broken, notes.append)
    writer.log({"loss": 0.5}, 1)
    writer.close()
    assert "what now" in notes[0]
    assert writer.run_id == ""


def test_too_many_lines_for_a_server_that_is_away_let_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "MAX_KEPT_LINES", 10)
    server, notes = Server(), []
    server.down = True
    writer = TrainingWriter(server.open, notes.append)
    for step in range(25):
        writer.log({"loss": 0.5}, step)
    server.down = False
    writer.close()
    assert server.steps == list(range(15, 25))
    assert server.finished == ("FINISHED", False), "not complete: register fills the gap"
    assert "15 lines" in notes[-1]


def test_notes_are_spoken_by_the_thread_that_trains() -> None:
    speakers: list[str] = []
    server = Server()
    server.down = True
    writer = TrainingWriter(server.open, lambda _: speakers.append(threading.current_thread().name))
    eventually(lambda: writer._notes)
    writer.log({"loss": 0.5}, 1)
    writer.close()
    assert set(speakers) == {threading.current_thread().name}


def test_without_tracking_nothing_happens_and_no_thread_starts() -> None:
    before = threading.active_count()
    writer = TrainingWriter(None, pytest.fail)
    writer.log({"loss": 0.5}, 1)
    assert threading.active_count() == before
    writer.close()


@pytest.mark.parametrize(("error", "status"), [(None, "FINISHED"), (Stopped("stop"), "KILLED"), (ValueError("bad"), "FAILED")])
def test_leaving_the_block_ends_the_run_as_the_training_ended(error: Exception | None, status: str) -> None:
    server = Server()
    try:
        with TrainingWriter(server.open, pytest.fail):
            if error:
                raise error
    except type(error or KeyError()):
        pass
    assert server.finished is not None
    assert server.finished[0] == status
