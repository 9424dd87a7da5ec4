"""Ray that does not start here is told in a sentence, whatever Ray makes of it."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
import ray

from cluster.connect import connected
from cluster.errors import ClusterError
from tests.conftest import ROOT

TIMED_OUT = "The current node timed out during startup."


def test_a_ray_that_does_not_start_in_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_: Any) -> NoReturn:
        raise Exception(TIMED_OUT)  # as Ray raises it

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(ClusterError, match=f"could not start Ray on this machine: {TIMED_OUT}.*a later try may do"), connected(ROOT):
        raise AssertionError("nothing runs without Ray")
