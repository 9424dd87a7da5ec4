"""Shared by every test: no state outside temporary folders, Ray without a written token, no telemetry."""

from __future__ import annotations

import os

os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("RAY_TRAIN_METRICS_ENABLED", "0")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    """Programs that tests interrupt must hear it, also where a shell started all of this behind `&`, which makes it deaf."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def ray_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Ray for all tests of a session: two CPUs, no dashboard, working folder outside the repository."""
    import contextlib

    import ray

    with contextlib.chdir(tmp_path_factory.mktemp("ray")):
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=256 << 20,
            log_to_driver=False,
            job_config=ray.job_config.JobConfig(_py_driver_sys_path=[str(ROOT)]),
        )
    yield
    ray.shutdown()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones begin, so that neither of two pytest processes (`make test`) ends long after the other."""
    items.sort(key=lambda item: item.get_closest_marker("ray") is None)
