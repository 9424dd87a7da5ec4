"""The retrieval recipe shares corpus and shards with that of the stamps, down to their keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import graph, recipe
from pipeline import plan as plans
from pipeline.store import LocalStore
from tests.conftest import ROOT
from tests.examples.conftest import EXAMPLES

PACKAGE = Path("/usr/share/tuxpaint/stamps")


def test_the_source_is_that_of_the_stamps() -> None:
    for name in ("stamps.py", "stamp_files.py"):
        assert (EXAMPLES / "retrieval" / name).readlink() == Path("..") / "stamps" / name


@pytest.mark.skipif(not PACKAGE.is_dir(), reason="the stamps of Tux Paint are not installed")
def test_corpus_and_shards_have_the_keys_of_the_stamps(tmp_path: Path) -> None:
    found = [
        plans.make(graph.build(recipe.load(ROOT / "examples" / name / "recipe.yaml", (), 40, tmp_path)), LocalStore.open(tmp_path)).steps
        for name in ("retrieval", "stamps")
    ]
    for step in ("corpus", "shards"):
        assert len({steps[step].key for steps in found}) == 1
