"""Questions about digits: every answer is true, and nothing of the test split was heard or seen before."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from pipeline import graph, recipe
from tasks.contracts import SourceRecord
from tests.examples.conftest import EXAMPLES, member, on_path

QUESTIONS = EXAMPLES / "questions"
NUMBERS = {name: number for number, name in enumerate(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])}
Built = tuple[Path, list[SourceRecord]]


@pytest.fixture(scope="module")
def source() -> Iterator[ModuleType]:
    with on_path(QUESTIONS):
        yield importlib.import_module("question_corpus")


def build(source: ModuleType, folder: Path) -> Built:
    folder.mkdir()
    config = source.QuestionsSource.Config(format="question_corpus:QuestionsSource")
    return folder, list(source.QuestionsSource(config, QUESTIONS).records(folder))


@pytest.fixture(scope="module")
def built(source: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(source, tmp_path_factory.mktemp("questions") / "corpus")


def text_of(built: Built) -> dict[str, str]:
    lines = (built[0] / built[1][0].members["text"].uri).read_bytes()
    places = {record.key: record.members["text"] for record in built[1]}
    return {key: lines[place.offset : place.offset + place.length].decode() for key, place in places.items()}


def answer(text: str, digit: int) -> str:
    """What the words ask, read word by word: another way than that of the grammar."""
    words = text.removesuffix(" ?").split()
    if "holes" in words:
        return {0: "1", 6: "1", 9: "1", 8: "2"}.get(digit, "0")
    if words[0] in ("what", "which"):
        return str(digit)
    if "prime" in words:
        true = digit > 1 and all(digit % number for number in range(2, digit))
    elif "even" in words or "odd" in words:
        true = digit % 2 == ("odd" in words)
    elif "than" in words:
        bound = NUMBERS[words[-1]]
        true = digit > bound if "larger" in words else digit < bound
    else:
        true = digit == NUMBERS[next(word for word in words if word in NUMBERS)]
    return "yes" if true else "no"


def test_every_answer_is_true(built: Built) -> None:
    texts = text_of(built)
    for record in built[1]:
        assert record.labels["answer"] == answer(texts[record.key], int(str(record.labels["digit"]))), (texts[record.key], record.labels)


def test_a_digit_that_is_written_in_two_ways_is_not_asked_for_its_holes(built: Built) -> None:
    assert not any(record.labels["kind"] == "holes" and record.labels["digit"] == "4" for record in built[1])


def test_the_picture_shows_the_digit_of_the_answer(built: Built) -> None:
    from sklearn.datasets import load_digits

    truth = load_digits().target
    named = [record for record in built[1] if record.labels["kind"] == "name"]
    assert len(named) > 1000
    assert all(record.labels["answer"] == str(truth[int(str(record.group).removeprefix("picture-"))]) for record in named)


def test_no_picture_and_no_held_out_wording_is_in_two_splits(built: Built) -> None:
    splits, texts = defaultdict(set), text_of(built)
    for record in built[1]:
        splits[record.group].add(record.split)
    assert all(len(found) == 1 for found in splits.values())
    trained = {texts[record.key] for record in built[1] if record.split != "test"}
    held_out = {texts[record.key] for record in built[1] if record.partition == "held_out"}
    assert held_out
    assert not held_out & trained
    known = {word for text in trained for word in text.split()}
    assert {word for text in held_out for word in text.split()} <= known, "only the wording is new, no word is"


def test_the_question_alone_gives_little_away(built: Built) -> None:
    texts = text_of(built)
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for record in built[1]:
        if record.split == "train":
            answers[texts[record.key]][str(record.labels["answer"])] += 1
    asked = [record for record in built[1] if record.split == "test" and record.partition == "seen"]
    right = sum(answers[texts[record.key]].most_common(1)[0][0] == record.labels["answer"] for record in asked)
    assert right / len(asked) < 0.6


def test_two_builds_are_the_same_and_the_snapshot_counts_them(source: ModuleType, built: Built, tmp_path: Path) -> None:
    again = build(source, tmp_path / "again")
    assert again[1] == built[1]
    assert (again[0] / "questions.txt").read_bytes() == (built[0] / "questions.txt").read_bytes()
    config = source.QuestionsSource.Config(format="question_corpus:QuestionsSource")
    assert source.QuestionsSource(config, QUESTIONS).snapshot()["records"] == len(built[1])
    assert member(built[0], built[1][0].members["image"]).startswith(b"\x89PNG")


def test_the_recipe_compares_two_heads_and_the_page_names_every_kind(source: ModuleType, tmp_path: Path) -> None:
    built = graph.build(recipe.load(QUESTIONS / "recipe.yaml", (), None, tmp_path))
    heads = {step.config.model.heads["answer"].kind for name, step in built.recipe.steps.items() if name.startswith("model[")}
    assert heads == {"question_answering", "classification"}
    page = (EXAMPLES.parent / "docs" / "questions.md").read_text(encoding="utf-8")
    kinds = importlib.import_module("grammar").KINDS
    assert {name for name in kinds if re.search(rf"\| `{name}` \|", page)} == set(kinds)


def test_planning_imports_neither_numpy_nor_scikit_learn() -> None:
    code = (
        "import sys, pathlib, question_corpus as q;"
        "q.QuestionsSource(q.QuestionsSource.Config(format=''), pathlib.Path()).snapshot();"
        "sys.exit(', '.join({'numpy', 'sklearn', 'PIL', 'torch'} & set(sys.modules)) or 0)"
    )
    paths = [str(QUESTIONS), str(EXAMPLES.parent)]
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(paths)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
