"""`tasks.sources.normalise`."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.contracts import Locator, SourceRecord
from tasks.errors import LabelError, SourceError
from tasks.sources.normalise import clean_key, normalise


def record(**changes: Any) -> SourceRecord:
    return SourceRecord(**{"key": "a", "members": {}, **changes})


@pytest.mark.parametrize(
    ("given", "clean"),
    [
        ("cat/07", "cat/07"),
        ("a.b c", "a_b_c"),
        ("/a//b/", "a/b"),
        ("../x", "__/x"),
        ("猫/1", "u732b/1"),
        ("é", "ue9"),
        ("A-Z_09", "A-Z_09"),
    ],
)
def test_keys_keep_only_what_every_tar_reader_takes(given: str, clean: str) -> None:
    assert clean_key(given) == clean


def test_a_record_without_a_group_is_its_own_and_keeps_its_given_key_for_messages() -> None:
    listed = normalise(record(key="a.b"))
    assert (listed.record.key, listed.record.group, listed.given_key) == ("a_b", "a_b", "a.b")
    assert normalise(record(group="g")).record.group == "g"


def test_labels_become_texts_or_floats_and_empty_ones_vanish() -> None:
    labels: dict[str, Any] = {"a": "x", "b": 3, "c": True, "d": float("nan"), "e": "", "f": 0.5}
    assert normalise(record(labels=labels)).record.labels == {"a": "x", "b": 3.0, "c": "True", "f": 0.5}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"key": "//"}, SourceError, "a key needs letters or digits"),
        ({"split": "dev"}, SourceError, "has the split 'dev'; allowed: train, val, test"),
        ({"partition": "a.b"}, SourceError, "has the partition 'a.b'"),
        ({"members": {"sound": Locator("/x")}}, SourceError, "has a member 'sound'; allowed: image, text, audio"),
        ({"members": {"text": Locator("")}}, SourceError, "give an absolute path, or one below the output folder"),
        ({"members": {"text": Locator("../x")}}, SourceError, "give an absolute path, or one below the output folder"),
        ({"members": {"text": Locator("/x", offset=3)}}, SourceError, "give both or neither"),
        ({"members": {"text": Locator("/x", offset=-1, length=2)}}, SourceError, "give both or neither"),
        ({"labels": {"a.b": "x"}}, LabelError, "a label's name has ASCII letters"),
        ({"labels": {"a": float("inf")}}, LabelError, "a text or a finite number"),
        ({"labels": {"a": [1]}}, LabelError, "a text or a finite number"),
    ],
)
def test_what_cannot_be_made_regular_is_refused_by_name(change: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        normalise(record(**change))


def test_anything_but_a_record_is_refused() -> None:
    with pytest.raises(SourceError, match=r"gave a dict; `records` must give tasks\.contracts\.SourceRecord"):
        normalise({})
