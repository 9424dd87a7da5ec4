"""Mixtures of shard sets: every property that training on one set rests on holds for several, and the shares are those asked for."""

from __future__ import annotations

import hashlib
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.errors import InputError
from tasks.shards.mixture import Mixture
from tasks.shards.shares import Share

THOROUGHLY = settings(max_examples=60, deadline=None, derandomize=True, database=None)


@st.composite
def mixtures(draw: st.DrawFn) -> Mixture:
    """Two to five sets, most of which begin anew within a few epochs of the mixture."""
    streams = draw(st.sampled_from([1, 2, 4, 6]))
    sizes = [tuple(draw(st.lists(st.integers(1, 30), min_size=1, max_size=5))) + (streams,) for _ in range(draw(st.integers(2, 5)))]
    if draw(st.booleans()):
        shares = [Share(weight=draw(st.sampled_from([1, 2, 0.5, 0.3, 7, 0.01]))) for _ in sizes]
        total = Fraction(sum(map(sum, sizes)))
    else:
        shares = [Share(epochs=draw(st.sampled_from([1, 2, 0.5, 0.3, 1.75]))) for _ in sizes]
        total = sum((Fraction(str(share.epochs)) * sum(size) for share, size in zip(shares, sizes, strict=True)), Fraction(0))
    batch = streams * draw(st.integers(1, max(1, int(total) // streams)))
    return Mixture(tuple(sizes), tuple(shares), draw(st.integers(0, 5)), batch, streams, draw(st.integers(1, 40)))


def shares_of(mixture: Mixture) -> list[Fraction]:
    return [Fraction(part, sum(mixture.parts)) for part in mixture.parts]


def steps(mixture: Mixture, count: int) -> list[tuple[int, int]]:
    """The first steps of training, over the epochs of the mixture."""
    return [divmod(step, mixture.steps_per_epoch) for step in range(count)] if mixture.steps_per_epoch else []


def of_sets(mixture: Mixture, positions: np.ndarray) -> np.ndarray:
    """Which set each position belongs to."""
    return np.searchsorted(np.cumsum([sum(sizes) for sizes in mixture.sizes]), positions, side="right")


@THOROUGHLY
@given(mixtures())
def test_in_each_own_epoch_of_a_set_each_of_its_samples_is_read_once(mixture: Mixture) -> None:
    drawn = [mixture.draw(epoch, step) for epoch, step in steps(mixture, 12)]
    seen = Counter((int(own), int(position)) for positions, owns in drawn for position, own in zip(positions, owns, strict=True))
    assert all(times == 1 for times in seen.values())
    for number, sizes in enumerate(mixture.sizes):
        start = sum(map(sum, mixture.sizes[:number]))
        read = {own: {place for other, place in seen if other == own and start <= place < start + sum(sizes)} for own, _ in seen}
        owns = sorted(own for own, places in read.items() if places)
        assert owns == list(range(len(owns)))
        cuts = [sum(sizes) * stream // mixture.streams for stream in range(mixture.streams + 1)]
        lengths = np.diff(cuts).tolist()
        counts = [mixture.read(stream, len(drawn) * mixture.batch_size // mixture.streams)[number] for stream in range(mixture.streams)]
        finished = min(count // length for count, length in zip(counts, lengths, strict=True))
        assert all(len(read[own]) == sum(sizes) for own in range(finished))


@THOROUGHLY
@given(mixtures())
def test_every_batch_is_whole_and_every_sample_is_of_a_set(mixture: Mixture) -> None:
    for epoch, step in steps(mixture, 8):
        positions, owns = mixture.draw(epoch, step)
        assert len(positions) == len(owns) == mixture.batch_size
        assert positions.min() >= 0
        assert positions.max() < mixture.num_samples


@THOROUGHLY
@given(mixtures(), st.integers(0, 1000))
def test_a_stream_has_read_of_each_set_what_its_share_says_up_to_rounding(mixture: Mixture, count: int) -> None:
    halvings = (len(mixture.sizes) - 1).bit_length()
    for stream in range(mixture.streams):
        before, after = mixture.read(stream, count), mixture.read(stream, count + 1)
        assert sum(before) == count
        assert sorted(later - earlier for earlier, later in zip(before, after, strict=True)) == [0] * (len(before) - 1) + [1]
        assert all(abs(has - count * share) < 1 + halvings for has, share in zip(before, shares_of(mixture), strict=True))
        exact = sum(mixture.parts) * count
        assert mixture.read(stream, exact) == [part * count for part in mixture.parts]


@THOROUGHLY
@given(st.integers(1, 1000), st.integers(1, 1000), st.sampled_from([1, 2, 3, 8, 64]), st.integers(1, 9), st.integers(0, 10_000))
def test_of_two_sets_all_streams_together_are_never_off_by_more_than_half_a_sample(
    one: int, other: int, streams: int, share: int, step: int
) -> None:
    mixture = Mixture(((5000,), (5000,)), (Share(weight=one), Share(weight=other)), 0, streams * share, streams)
    read = sum(mixture.read(stream, step * share)[0] for stream in range(streams))
    assert abs(read - Fraction(step * share * streams * one, one + other)) <= Fraction(1, 2)


@THOROUGHLY
@given(mixtures())
def test_global_batches_do_not_depend_on_the_number_of_ranks(mixture: Mixture) -> None:
    for epoch, step in steps(mixture, 5):
        alone = mixture.batch(epoch, step)
        for world in (world for world in range(1, mixture.streams + 1) if mixture.streams % world == 0):
            ranks = [mixture.batch(epoch, step, rank, world) for rank in range(world)]
            assert {len(part) for part in ranks} == {mixture.batch_size // world}
            np.testing.assert_array_equal(np.concatenate(ranks), alone)


@THOROUGHLY
@given(mixtures(), st.integers(0, 11), st.integers(0, 3))
def test_resuming_at_any_step_gives_what_would_have_come(mixture: Mixture, start: int, far: int) -> None:
    whole = [mixture.draw(epoch, step) for epoch, step in steps(mixture, 12)]
    fresh = Mixture(mixture.sizes, mixture.shares, mixture.seed, mixture.batch_size, mixture.streams, mixture.window)
    for (epoch, step), expected in list(zip(steps(mixture, 12), whole, strict=True))[start:]:
        np.testing.assert_array_equal(fresh.draw(epoch, step), expected)
    if mixture.steps_per_epoch:
        np.testing.assert_array_equal(fresh.draw(10**6 + far, 0), mixture.draw(10**6 + far, 0))


@THOROUGHLY
@given(mixtures())
def test_an_epoch_has_as_many_batches_as_weights_or_epochs_fill(mixture: Mixture) -> None:
    sizes = [sum(each) for each in mixture.sizes]
    if mixture.shares[0].epochs is None:
        assert mixture.steps_per_epoch == sum(sizes) // mixture.batch_size
    else:
        wanted = sum(Fraction(str(share.epochs)) * size for share, size in zip(mixture.shares, sizes, strict=True))
        assert mixture.steps_per_epoch == wanted // mixture.batch_size


def test_epochs_say_how_often_an_epoch_of_the_mixture_reads_each_set() -> None:
    mixture = Mixture(((40, 24), (100, 28)), (Share(epochs=2), Share(epochs=0.5)), seed=1, batch_size=32, streams=4)
    assert mixture.steps_per_epoch == (2 * 64 + 64) // 32
    for epoch in range(4):
        counts = Counter(np.concatenate([mixture.batch(epoch, step) for step in range(mixture.steps_per_epoch)]).tolist())
        assert {counts[position] for position in range(64)} == {2}
        assert sum(counts[position] for position in range(64, 192)) == 64
    two = Counter(np.concatenate([mixture.batch(epoch, step) for epoch in (0, 1) for step in range(6)]).tolist())
    assert {two[position] for position in range(64, 192)} == {1}, "two halves are all of it"


def test_every_batch_holds_the_share_of_each_set() -> None:
    mixture = Mixture(((500,), (90,), (300,)), (Share(weight=5), Share(weight=2), Share(weight=1)), seed=0, batch_size=64, streams=8)
    for step in range(mixture.steps_per_epoch):
        counts = np.bincount(of_sets(mixture, mixture.batch(0, step)), minlength=3)
        np.testing.assert_allclose(counts, [40, 16, 8], atol=3)
    total = np.bincount(of_sets(mixture, np.concatenate([mixture.batch(e, s) for e, s in steps(mixture, 100)])), minlength=3)
    assert total.tolist() == [4000, 1600, 800]


def test_the_sets_lie_evenly_among_each_other_inside_a_part_of_a_batch() -> None:
    mixture = Mixture(((500,), (500,)), (Share(weight=3), Share(weight=1)), seed=0, batch_size=16, streams=1)
    assert of_sets(mixture, mixture.batch(0, 0)).tolist() == [0, 0, 1, 0] * 4


def test_a_set_that_runs_out_begins_anew_in_another_order_while_the_other_goes_on() -> None:
    mixture = Mixture(((16,), (400,)), (Share(weight=1), Share(weight=1)), seed=0, batch_size=32, streams=2)
    rounds = [positions[positions < 16].tolist() for positions, _ in (mixture.draw(0, step) for step in range(4))]
    assert all(sorted(each) == list(range(16)) for each in rounds)
    assert len({tuple(each) for each in rounds}) == 4
    others = np.concatenate([mixture.batch(0, step) for step in range(4)])
    assert len(set(others[others >= 16].tolist())) == 64
    assert mixture.draw(0, 3)[1][mixture.batch(0, 3) < 16].tolist() == [3] * 16


def test_shares_that_decimals_say_are_exact() -> None:
    mixture = Mixture(((50,), (50,)), (Share(weight=0.7), Share(weight=0.1)), seed=0, batch_size=8)
    assert mixture.parts == (7, 1)


def test_the_order_is_the_same_on_every_machine_and_in_every_version() -> None:
    shares = (Share(weight=2), Share(weight=1), Share(weight=0.5))
    mixture = Mixture(((300, 17), (256, 99), (40,)), shares, seed=7, batch_size=24, streams=4, window=64)
    digest = hashlib.sha256(np.stack([mixture.batch(1, step) for step in range(mixture.steps_per_epoch)]).astype("<i8").tobytes())
    assert digest.hexdigest() == "10f0b122a7104f36fe7c51e320253bdd1b947e3b6644b2cb42610acc3968b8f8"


def test_what_cannot_work_is_refused() -> None:
    shares = (Share(weight=1), Share(weight=1))
    with pytest.raises(InputError, match=r"set 2 of the mixture has 3 samples, and each of the 4 streams"):
        Mixture(((100,), (3,)), shares, 0, 8, 4)
    with pytest.raises(InputError, match="streams must divide batch_size"):
        Mixture(((100,), (100,)), shares, 0, 9, 4)
    with pytest.raises(InputError, match="must divide streams"):
        Mixture(((100,), (100,)), shares, 0, 8, 4).batch(0, 0, 0, 3)
    with pytest.raises(IndexError):
        Mixture(((100,), (100,)), shares, 0, 8, 4).batch(0, 25)


@pytest.mark.parametrize(
    "given", [{}, {"weight": 1, "epochs": 1}, {"weight": 0}, {"weight": -1}, {"epochs": float("inf")}, {"weight": "x"}], ids=str
)
def test_a_share_is_one_positive_number(given: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Share.model_validate(given)
