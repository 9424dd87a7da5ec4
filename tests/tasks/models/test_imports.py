"""Models and the loop stand alone: torch, and neither ray nor mlflow; configs without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT

MODELS = "tasks.models.fused, tasks.models.load, tasks.models.fusions.attention, tasks.models.encoders.cnn_lstm"


@pytest.mark.parametrize(
    ("modules", "forbidden"),
    [
        (f"{MODELS}, tasks.training.loop, tasks.training.state, tasks.training.checks", ("ray", "mlflow")),
        ("tasks.train, tasks.models.config, tasks.training.config", ("torch", "ray", "mlflow", "numpy", "pyarrow")),
    ],
)
def test_what_an_import_brings_along(modules: str, forbidden: tuple[str, ...]) -> None:
    code = f"import sys, {modules}\nsys.exit(' '.join(name for name in {forbidden} if name in sys.modules) or 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
