"""`python -m benchmarks NAME` ends with one JSON line, whatever happens inside."""

from __future__ import annotations

import json
import sys
from types import ModuleType
from typing import Any

import pytest

from benchmarks import __main__ as command
from benchmarks import measure


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three benchmarks: one that meets its goal, one that misses it, one that breaks off."""

    def toy(name: str, seconds: float) -> ModuleType:
        module = ModuleType(name)
        entry = measure.median([seconds], goal=1.0)
        module.run = lambda rounds: {"name": name, "ok": entry["ok"], "ratios": {"s": entry}}  # type: ignore[attr-defined]
        return module

    for name, seconds in (("quick", 0.5), ("slow", 2.0)):
        monkeypatch.setitem(sys.modules, f"toy_{name}", toy(name, seconds))
    monkeypatch.setattr(command, "BENCHMARKS", {"quick": "toy_quick", "slow": "toy_slow", "broken": "toy_that_is_not_there"})


def last_line(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_met_goal_exits_0(toys: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["quick", "--rounds", "1"]) == 0
    assert last_line(capsys) == {
        "name": "quick",
        "ok": True,
        "ratios": {"s": {"median": 0.5, "low": 0.5, "high": 0.5, "goal": 1.0, "ok": True}},
    }


def test_a_missed_goal_exits_1(toys: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["slow"]) == 1
    assert last_line(capsys)["ok"] is False


def test_all_goes_on_past_a_benchmark_that_breaks_and_ends_with_every_metric(toys: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["all"]) == 1
    document = last_line(capsys)
    assert list(document["ratios"]) == ["quick.s", "slow.s"]
    assert "toy_that_is_not_there" in document["error"]["broken"]


def test_every_listed_benchmark_is_a_module_with_a_run_function() -> None:
    for module in command.BENCHMARKS.values():
        __import__(module)
        assert callable(sys.modules[module].run)


def test_an_unknown_name_and_a_senseless_number_of_rounds_exit_2(toys: None) -> None:
    for arguments in (["fast"], ["quick", "--rounds", "0"]):
        with pytest.raises(SystemExit) as stopped:
            command.main(arguments)
        assert stopped.value.code == 2
