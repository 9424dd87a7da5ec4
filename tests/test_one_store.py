"""Two runs of one recipe on one store, each a process of its own: the second says that it waits, and takes what the first made."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import patient_source
from tests.conftest import ROOT

RECIPE = """\
name: shared
store: store
steps:
  corpus: {task: ingest, source: {format: 'patient_source:Patient'}}
"""


def start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-m", "pipeline", "run", "recipe.yaml"]
    around = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=folder, env=around, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """What the process says on stderr, up to the line with these words."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if words in line:
            return said
    raise AssertionError(f"it ended without a word of {words!r}: {said}")


@pytest.mark.ray
@pytest.mark.timeout(180)
def test_a_run_that_needs_what_another_one_is_making_says_that_it_waits_and_does_not_make_it_again(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    shutil.copy(patient_source.__file__, tmp_path / "patient_source.py")
    with start(tmp_path) as first:
        read_until(first, "starts:")
        while not (tmp_path / "times").exists():
            assert first.poll() is None
        with start(tmp_path) as second:
            said = read_until(second, "another run is making")
            assert "waiting for it" in said
            (tmp_path / "go").touch()
            _, rest = second.communicate(timeout=60)
            assert second.returncode == 0, rest
        _, told = first.communicate(timeout=60)
        assert first.returncode == 0, told
    assert "✓ corpus  ran" in told
    assert "= corpus  cached" in rest
    assert (tmp_path / "times").read_text() == "made\n"
    manifests = [json.loads(path.read_text()) for path in tmp_path.glob("store/artifacts/*/*/manifest.json")]
    assert len(manifests) == 1
