from __future__ import annotations

import numpy as np
import pytest

from tasks.drift.measure import Sample, sketch_samples
from tasks.drift.sketch import Sketch, check_size, choose, described, from_bytes, hashed, merge, to_bytes
from tasks.errors import CorruptArtifact, InputError
from tests.tasks.drift.corpora import toy


def samples(first: int, last: int) -> list[Sample]:
    """Three of each group; every fifth has no text."""
    return [
        Sample(
            f"k{number}",
            f"g{number // 3}",
            {} if number % 5 == 4 else {"text": f"sample number {number} of many".encode()},
            {"digit": str(number % 4), "height": float(number)},
        )
        for number in range(first, last)
    ]


def sketch(first: int, last: int, size: int) -> Sketch:
    """As `medley drift` makes it: choose, then measure what was chosen."""
    given = samples(first, last)
    chosen = choose([sample.group for sample in given], [sample.key for sample in given], size)
    return sketch_samples([given[at] for at in chosen], len(given), {"digit": "category", "height": "number"})


def same(one: Sketch, other: Sketch) -> bool:
    return to_bytes(one) == to_bytes(other)


@pytest.mark.parametrize("cut", [0, 1, 17, 150, 299, 300])
def test_sketches_of_parts_merge_into_the_sketch_of_the_whole(cut: int) -> None:
    """Also where the cut goes through a group, and where one part is empty."""
    parts = [sketch(0, cut, 40), sketch(cut, 300, 40)]
    whole = sketch(0, 300, 40)
    assert same(merge(*parts, 40), whole)
    assert same(merge(*reversed(parts), 40), whole)


def test_merging_is_the_same_in_any_grouping() -> None:
    one, two, three = sketch(0, 90, 30), sketch(90, 200, 30), sketch(200, 300, 30)
    assert same(merge(merge(one, two, 30), three, 30), merge(one, merge(two, three, 30), 30))


def test_a_group_has_one_row_and_a_sketch_is_never_larger_than_asked() -> None:
    whole = sketch(0, 300, 1000)
    assert len(whole) == 100
    assert len(np.unique(whole.group_N)) == 100
    assert (np.diff(whole.group_N.astype(np.float64)) > 0).all()
    assert len(sketch(0, 300, 40)) == 40
    assert np.array_equal(sketch(0, 300, 40).group_N, whole.group_N[:40])


def test_which_samples_are_chosen_depends_on_their_names_alone() -> None:
    groups, keys = [f"g{n}" for n in range(50)], [f"k{n}" for n in range(50)]
    chosen = {keys[at] for at in choose(groups, keys, 10)}
    assert {list(reversed(keys))[at] for at in choose(groups[::-1], keys[::-1], 10)} == chosen
    assert len({hashed(key) for key in keys}) == 50


def test_a_stored_sketch_comes_back_as_it_was_and_holds_no_word_of_a_text() -> None:
    one = sketch(0, 120, 40)
    data = to_bytes(one)
    back = from_bytes(data, "here")
    assert same(back, one)
    assert back.facts == one.facts
    assert np.array_equal(back.numbers["label.height"], one.numbers["label.height"])
    assert np.array_equal(back.classes["label.digit"], one.classes["label.digit"])
    raw = b"".join(values.tobytes() for values in (*back.numbers.values(), *back.vectors.values(), back.group_N, back.record_N))
    assert b"sample" not in raw
    assert b"k1" not in raw


def test_a_sketch_of_two_thousand_samples_is_below_a_megabyte() -> None:
    words = np.random.default_rng(0)
    given = [
        Sample(f"k{number}", f"k{number}", {"text": " ".join(f"w{word}" for word in words.integers(0, 900, 20)).encode()})
        for number in range(2000)
    ]
    assert len(to_bytes(sketch_samples(given, 2000, {}))) < 1_000_000


@pytest.mark.parametrize("damage", [b"", b"no archive", None])
def test_a_damaged_sketch_is_named(damage: bytes | None) -> None:
    data = to_bytes(toy(40, 0))[:-100] if damage is None else damage
    with pytest.raises(CorruptArtifact, match=r"sketches/a/b\.npz is damaged.*delete that file"):
        from_bytes(data, "sketches/a/b.npz")


def test_what_a_sketch_says_is_plain_data() -> None:
    found = described(sketch(0, 120, 40))
    assert found["label.height"]["count"] == 40
    assert found["label.height"]["p05"] < found["label.height"]["p50"] < found["label.height"]["p95"]
    assert sum(found["label.digit"].values()) == 40
    assert found["text.vocabulary"]["dimensions"] == 256


def test_members_that_cannot_be_measured_are_counted_and_still_there() -> None:
    given = [*samples(0, 30), Sample("bad", "bad", {"text": b"\xff\xff"}), Sample("gone", "gone", {}, problems={"text": "it is not there"})]
    made = sketch_samples(given, 32, {})
    assert made.facts["unusable"] == 2
    assert sorted(made.facts["examples"])[1] == "gone: text: it is not there"
    assert made.present["text"].sum() == 24 + 2
    assert np.isfinite(made.numbers["text.words"]).sum() == 24


@pytest.mark.parametrize("size", [0, 29, 20_001])
def test_a_size_that_is_no_size_is_refused(size: int) -> None:
    with pytest.raises(InputError, match=f"--samples is {size}; a sketch holds 30 to 20000"):
        check_size(size)
