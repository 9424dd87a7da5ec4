"""A package holds Medley, the recipe and what it is told to, and the same files give the same bytes."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest

from cluster.errors import TooLarge
from cluster.package import CODE, Package, pack


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small stand-in for Medley's own code, with what must stay behind."""
    for package in CODE:
        (tmp_path / "code" / package / "__pycache__").mkdir(parents=True)
        (tmp_path / "code" / package / "__init__.py").write_text(f"'''{package}'''\n")
        (tmp_path / "code" / package / "__pycache__" / "old.pyc").write_bytes(b"x")
        (tmp_path / "code" / package / ".hidden").write_text("x")
    (tmp_path / "code" / "stray.py").write_text("x = 1\n")
    (tmp_path / "my.yaml").write_text("name: toy\n")
    return tmp_path


def packed(root: Path) -> Package:
    return pack(root / "code", root / "my.yaml", {})


def test_a_package_holds_the_three_packages_and_the_recipe_and_nothing_else(root: Path) -> None:
    package = packed(root)
    inside = zipfile.ZipFile(io.BytesIO(package.data)).namelist()
    assert inside == ["cluster/__init__.py", "pipeline/__init__.py", "recipe.yaml", "tasks/__init__.py"]
    assert package.parts == {"medley": (3, 41), "recipe": (1, 10), "yours": (0, 0)}


def test_the_same_files_give_the_same_bytes_whenever_they_were_written(root: Path) -> None:
    before = packed(root)
    os.utime(root / "my.yaml", (1, 1))
    assert packed(root) == before
    (root / "my.yaml").write_text("name: other\n")
    assert packed(root).name != before.name


def test_a_package_over_the_limit_says_what_is_large_and_where_data_belong(root: Path) -> None:
    large = root / "weights.bin"
    large.write_bytes(os.urandom(300_000))
    with pytest.raises(TooLarge, match=r"largest of 5 files: weights.bin 0.3 MB, .*put data where the nodes see them"):
        pack(root / "code", root / "my.yaml", {"weights.bin": large}, limit_bytes=200_000)
