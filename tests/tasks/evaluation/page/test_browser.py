"""The page in a real browser: no error on its console, no request to anywhere, its script runs under its own policy."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.tasks.evaluation.example import comparison_of, example, page_of, report_of

BROWSER = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
OWN_HOSTS = (".google.com", ".googleapis.com", ".gvt1.com")
"""Where the browser itself calls, whatever page it shows."""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine; install the package `chromium`")


@dataclass
class Visit:
    console: list[str]
    requested: list[str]
    dom: str


def visit(path: Path, folder: Path) -> Visit:
    assert BROWSER is not None
    log = folder / "net.json"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
    flags += ["--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--host-resolver-rules=MAP * ~NOTFOUND"]
    command = [BROWSER, *flags, f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    net = json.loads(log.read_text())
    starts = net["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    urls = {event["params"]["url"] for event in net["events"] if event["type"] == starts and "url" in event.get("params", {})}
    outside = [url for url in urls if url.startswith("http") and not f".{urlsplit(url).hostname}".endswith(OWN_HOSTS)]
    return Visit(re.findall(r"CONSOLE.*", done.stderr), outside, done.stdout)


def test_a_page_with_errors_and_requests_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "bad.html"
    path.write_text('<!doctype html><img src="http://example.invalid/p.png"><script>throw new Error("bang")</script>')
    seen = visit(path, tmp_path)
    assert "bang" in " ".join(seen.console)
    assert seen.requested == ["http://example.invalid/p.png"]


def test_the_page_loads_without_errors_or_requests_and_its_script_runs(tmp_path: Path) -> None:
    made = example(300)
    made.predictions.keys[:] = [f"<script>document.title='pwned'</script>{at}" for at in range(300)]
    path = tmp_path / "report.html"
    path.write_text(page_of(made, report_of(made)), encoding="utf-8")
    seen = visit(path, tmp_path)
    assert seen.console == []
    assert seen.requested == []
    assert seen.dom.count('class="sound ready"') >= 8
    assert "<title>digits: evaluation on test</title>" in seen.dom


def test_the_comparison_loads_without_errors_or_requests(tmp_path: Path) -> None:
    made = example(300)
    path = tmp_path / "comparison.html"
    path.write_text(comparison_of(made, report_of(made)), encoding="utf-8")
    seen = visit(path, tmp_path)
    assert (seen.console, seen.requested) == ([], [])
    assert seen.dom.count('class="sound ready"') >= 12
    assert "<title>digits: candidate and baseline on test</title>" in seen.dom
