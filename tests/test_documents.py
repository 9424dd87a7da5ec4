"""What the documents point to is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(path for folder in ("docs", "benchmarks", "examples") for path in (ROOT / folder).rglob("*.md"))])
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]+)")
TARGET = re.compile(r"^make ([a-z]+)", re.MULTILINE)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_files_lead_somewhere(path: Path) -> None:
    broken = [link for link in LINK.findall(path.read_text(encoding="utf-8")) if not (path.parent / link).exists()]
    assert not broken, f"{path.relative_to(ROOT)} links to {broken}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_make_target_that_a_document_tells_of_exists(path: Path) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert not set(TARGET.findall(path.read_text(encoding="utf-8"))) - set(targets)


def test_every_decision_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    missing = [path.name for path in (ROOT / "docs" / "decisions").glob("*.md") if f"decisions/{path.name}" not in index]
    assert not missing


def test_the_readme_shows_every_file_with_its_own_first_sentence() -> None:
    done = subprocess.run([sys.executable, ROOT / "docs" / "tree.py", "--check"], check=False)
    assert done.returncode == 0, "run `python docs/tree.py`"
