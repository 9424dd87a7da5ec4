"""The judge of skipped tests lets pass only what could not have been installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def judged(tmp_path: Path, *reasons: str, passed: int = 1) -> subprocess.CompletedProcess[str]:
    """Run the judge on a report with some passed tests and one skipped test for each reason."""
    skips = "".join(
        f'<testcase classname="t" name="s{n}"><skipped type="pytest.skip" message="{r}"/></testcase>' for n, r in enumerate(reasons)
    )
    report = tmp_path / "tests.xml"
    report.write_text("<testsuites><testsuite>" + '<testcase classname="t" name="p"/>' * passed + skips + "</testsuite></testsuites>")
    command = [sys.executable, "-S", ROOT / ".ci" / "skips.py", report]
    return subprocess.run(command, capture_output=True, text=True, env={"PATH": str(tmp_path)}, check=False)


def test_a_run_without_skips_passes(tmp_path: Path) -> None:
    assert judged(tmp_path).returncode == 0


def test_a_skip_for_want_of_a_gpu_passes_where_there_is_none_and_is_printed(tmp_path: Path) -> None:
    outcome = judged(tmp_path, "needs a GPU")
    assert outcome.returncode == 0
    assert "skipped: t::s0: needs a GPU" in outcome.stdout


def test_a_skip_for_want_of_a_gpu_fails_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "nvidia-smi").touch(mode=0o755)
    assert judged(tmp_path, "needs a GPU").returncode == 1


def test_a_skip_for_something_that_could_be_installed_fails(tmp_path: Path) -> None:
    outcome = judged(tmp_path, "needs a GPU", "chromium is not installed")
    assert outcome.returncode == 1
    assert "SKIP NOT ALLOWED: t::s1: chromium is not installed" in outcome.stdout


def test_a_report_without_a_test_that_ran_fails(tmp_path: Path) -> None:
    assert judged(tmp_path, "needs a GPU", passed=0).returncode == 2
