"""What is packed beside a recipe, which variables travel, and what makes two submissions the same."""

from __future__ import annotations

import functools
import random
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.package import pack
from cluster.submit import key_of
from pipeline import recipe
from pipeline.__main__ import main
from pipeline.errors import RecipeError
from pipeline.own_code import own_files
from pipeline.places import Place
from pipeline.submission import Submission, prepare, variables
from tests.cluster.nodes import free_port

RECIPE = """\
name: toy
store: {store}
steps:
  corpus: {{task: ingest, source: {{format: 'my_source_of_toys:Mine'}}}}
"""
SOURCE = """
from my_parts_of_toys.inner import NUMBER
from tasks.registry import Config as Base

class Mine:
    class Config(Base):
        format: str
    def __init__(self, config, base_dir): ...
    def snapshot(self):
        return {"digest": str(NUMBER)}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A recipe with modules of the user's own, and files it does not need."""
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(store="store"))
    (tmp_path / "my_source_of_toys.py").write_text(SOURCE)
    (tmp_path / "my_parts_of_toys").mkdir()
    (tmp_path / "my_parts_of_toys" / "__init__.py").write_text("")
    (tmp_path / "my_parts_of_toys" / "inner.py").write_text("import json, other_of_toys\nNUMBER = 7\n")
    (tmp_path / "my_parts_of_toys" / "words.txt").write_text("a b\n")
    (tmp_path / "other_of_toys.py").write_text("import tasks\n")
    (tmp_path / "json.py").write_text("raise SystemExit('a stray file was imported')\n")
    (tmp_path / "stray.py").write_text("")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "1.txt").write_text("text")
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.partition(".")[0].endswith("_of_toys"):
            del sys.modules[name]


def prepared(folder: Path, *overrides: str, store: Place | None = None, workers: int | None = None, until: str | None = None) -> Submission:
    return prepare(folder / "recipe.yaml", overrides, store=store, workers=workers, until=until)


def test_only_modules_that_the_recipe_leads_to_are_packed(folder: Path) -> None:
    files = own_files(recipe.load(folder / "recipe.yaml"))
    assert sorted(files) == [
        "my_parts_of_toys/__init__.py",
        "my_parts_of_toys/inner.py",
        "my_parts_of_toys/words.txt",
        "my_source_of_toys.py",
        "other_of_toys.py",
    ]


def test_files_beside_the_recipe_come_along_when_they_are_named(folder: Path) -> None:
    files = own_files(recipe.load(folder / "recipe.yaml"), ["stray.py", "data"])
    assert {"stray.py", "data/1.txt"} < set(files)


@pytest.mark.parametrize("given", ["missing", "..", "../other", "/etc/hostname", "."])
def test_what_is_not_below_the_recipes_folder_cannot_be_included(folder: Path, given: str) -> None:
    with pytest.raises(RecipeError, match=r"there is no such file or folder beside the recipe"):
        own_files(recipe.load(folder / "recipe.yaml"), [given])


def test_variables_are_passed_by_name_and_every_bad_one_is_told_without_a_value() -> None:
    here = {"GOOD": "1", "SECRET": "hidden"}
    assert variables(["GOOD"], here) == {"GOOD": "1"}
    with pytest.raises(RecipeError) as error:
        variables(["SECRET=hidden", "MISSING", "RAY_ADDRESS", "not a name"], here)
    assert len(error.value.problems) == 4
    assert "`export MISSING=…` first" in str(error.value)
    assert "hidden" not in str(error.value)


def test_a_job_runs_the_same_options_with_paths_as_they_are_meant_here(folder: Path) -> None:
    request = prepare(
        folder / "recipe.yaml", ["steps.corpus.limit=3"], until="corpus", workers=2, strict_code=True, limit=4, command="medley submit"
    ).request
    paths = ["--origin", str(folder / "recipe.yaml"), "--store", str(folder / "store")]
    options = ["--set", "steps.corpus.limit=3", "--limit", "4", "--until", "corpus", "--workers", "2", "--strict-code"]
    assert request.arguments == ["run", "recipe.yaml", *paths, *options]
    assert request.environment == {"MEDLEY_COMMAND": "medley submit"}


def test_the_key_is_that_of_what_is_asked_for(folder: Path) -> None:
    key = prepared(folder).request.key
    (folder / "recipe.yaml").write_text("# a remark\n" + RECIPE.format(store="store"))
    assert prepared(folder, workers=2).request.key == key, "remarks and workers ask for nothing else"
    assert prepared(folder, "steps.corpus.limit=3").request.key != key
    assert prepared(folder, store=folder / "elsewhere").request.key != key
    (folder / "other_of_toys.py").write_text("import tasks  # changed\n")
    assert prepared(folder).request.key != key


def test_a_plan_is_made_here_when_store_and_sources_are_here(folder: Path) -> None:
    unknown = prepared(folder)
    assert (unknown.plan, unknown.request.plan) == (None, "")
    assert "store is not on this machine, or not yet" in unknown.unplanned
    (folder / "store").mkdir()
    known = prepared(folder)
    assert known.plan is not None
    assert known.request.plan == key_of({"corpus": known.plan.steps["corpus"].key})
    assert known.request.key == unknown.request.key


def test_a_source_that_only_the_cluster_sees_leaves_the_plan_to_it(folder: Path) -> None:
    (folder / "store").mkdir()
    (folder / "recipe.yaml").write_text(RECIPE.format(store="store").replace("'my_source_of_toys:Mine'", "folder, path: /not/here"))
    submission = prepared(folder)
    assert submission.plan is None
    assert "/not/here" in submission.unplanned


def test_a_bucket_that_only_the_cluster_can_open_is_no_reason_not_to_submit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "y",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}",
    }.items():
        monkeypatch.setenv(name, value)
    submission = prepared(folder, store="s3://bucket/prefix")
    assert submission.plan is None
    assert "the store s3://bucket/prefix could not" in submission.unplanned
    assert "--store s3://bucket/prefix" in " ".join(submission.request.arguments)


def test_a_variable_that_the_recipe_reads_is_told_unless_it_is_passed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_SEED", "3")
    (folder / "recipe.yaml").write_text("seed: ${env:TOY_SEED}\n" + RECIPE.format(store="store"))
    assert "--env TOY_SEED" in prepared(folder).notes[0]
    assert not prepare(folder / "recipe.yaml", env=["TOY_SEED"]).notes


def test_a_step_that_is_not_there_is_told_before_anything_is_packed(folder: Path) -> None:
    with pytest.raises(RecipeError, match="corups"):
        prepared(folder, until="corups")


def test_a_package_over_the_limit_ends_submit_before_a_word_goes_to_the_head(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipeline.submission.pack", functools.partial(pack, limit_bytes=2 << 20))
    (folder / "data" / "weights.bin").write_bytes(random.Random(0).randbytes(3 << 20))
    with socket.create_server(("127.0.0.1", 0)) as head:
        head.setblocking(False)
        address = f"http://127.0.0.1:{head.getsockname()[1]}"
        assert main(["submit", str(folder / "recipe.yaml"), "--address", address, "--include", "data"]) == 2
        with pytest.raises(BlockingIOError):
            head.accept()
    said = capsys.readouterr().err
    assert "error: the package is over the 2 MB that a head takes in one upload" in said
    assert "data/weights.bin 3.1 MB" in said
    assert "put data where the nodes see them" in said


def test_the_size_of_a_package_is_told_with_its_limit_and_why_there_is_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", str(folder / "recipe.yaml"), "--address", f"http://127.0.0.1:{free_port()}"]) == 1
    assert "of at most 104.9 MB, which is what a head takes in one upload\n" in capsys.readouterr().err
