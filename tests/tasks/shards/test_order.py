"""The order of reading: every property that training rests on, over shards of all shapes."""

from __future__ import annotations

import hashlib
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import InputError
from tasks.shards.order import Order, evaluation_batch, evaluation_steps

THOROUGHLY = settings(max_examples=60, deadline=None, derandomize=True, database=None)


@st.composite
def orders(draw: st.DrawFn) -> Order:
    sizes = tuple(draw(st.lists(st.integers(1, 60), min_size=1, max_size=12)))
    streams = draw(st.sampled_from([1, 2, 4, 6]))
    batch = streams * draw(st.integers(1, max(1, sum(sizes) // streams)))
    return Order(sizes, draw(st.integers(0, 5)), batch, streams, draw(st.integers(1, 50)))


def epoch_of(order: Order, epoch: int, rank: int = 0, world: int = 1) -> list[np.ndarray]:
    return [order.batch(epoch, step, rank, world) for step in range(order.steps_per_epoch)]


@THOROUGHLY
@given(orders(), st.integers(0, 3))
def test_an_epoch_has_each_sample_at_most_once_and_drops_less_than_a_batch(order: Order, epoch: int) -> None:
    batches = epoch_of(order, epoch)
    seen = np.concatenate(batches) if batches else np.array([], dtype=np.int64)
    assert len(set(seen.tolist())) == len(seen)
    assert 0 <= order.num_samples - len(seen) < order.batch_size
    assert all(len(batch) == order.batch_size for batch in batches)
    assert not len(seen) or (seen.min() >= 0 and seen.max() < order.num_samples)


@THOROUGHLY
@given(orders(), st.integers(0, 3))
def test_global_batches_do_not_depend_on_the_number_of_ranks(order: Order, epoch: int) -> None:
    alone = epoch_of(order, epoch)
    for world in (world for world in range(1, order.streams + 1) if order.streams % world == 0):
        ranks = [epoch_of(order, epoch, rank, world) for rank in range(world)]
        assert {len(batches) for batches in ranks} == {len(alone)}
        for step, batch in enumerate(alone):
            np.testing.assert_array_equal(np.concatenate([batches[step] for batches in ranks]), batch)


@THOROUGHLY
@given(orders(), st.integers(0, 3), st.data())
def test_resuming_at_a_step_gives_the_tail_of_the_epoch(order: Order, epoch: int, data: st.DataObject) -> None:
    if not order.steps_per_epoch:
        return
    whole = epoch_of(order, epoch)
    start = data.draw(st.integers(0, order.steps_per_epoch - 1))
    fresh = Order(order.sizes, order.seed, order.batch_size, order.streams, order.window)
    for step in range(start, order.steps_per_epoch):
        np.testing.assert_array_equal(fresh.batch(epoch, step), whole[step])


@THOROUGHLY
@given(st.integers(1, 200), st.integers(1, 8), st.sampled_from([1, 2, 4]))
def test_evaluation_takes_each_sample_once_in_order_and_pads_with_weight_zero(count: int, share: int, world: int) -> None:
    batch_size = share * world
    seen: list[int] = []
    for step in range(evaluation_steps(count, batch_size)):
        parts = [evaluation_batch(count, batch_size, step, rank, world) for rank in range(world)]
        assert {len(positions) for positions, _ in parts} == {share}
        for positions, weights in parts:
            assert positions.min() >= 0
            assert positions.max() < count
            assert weights.dtype == np.float32
            seen += positions[weights > 0].tolist()
    assert seen == list(range(count))


def test_epochs_differ_in_order_and_in_what_they_drop() -> None:
    order = Order((40,), seed=0, batch_size=16, streams=2)
    dropped = {frozenset(set(range(40)) - set(np.concatenate(epoch_of(order, epoch)).tolist())) for epoch in range(6)}
    assert len(dropped) > 3
    assert not np.array_equal(order.batch(0, 0), order.batch(1, 0))


def test_seeds_differ() -> None:
    one, other = (Order((50, 50), seed, 10, 2) for seed in (0, 1))
    assert not np.array_equal(one.batch(0, 0), other.batch(0, 0))


def test_a_batch_mixes_its_streams_and_a_window_mixes_its_samples() -> None:
    order = Order((100,) * 8, seed=3, batch_size=32, streams=4, window=64)
    batch = order.batch(0, 0)
    assert len({position // 100 for position in batch.tolist()}) >= 3
    first = np.concatenate([order.batch(0, step)[:8] for step in range(8)])  # one stream's first window
    assert (np.diff(first) < 0).sum() > 10


def test_the_order_is_the_same_on_every_machine_and_in_every_version() -> None:
    order = Order((300, 17, 256, 99), seed=7, batch_size=24, streams=4, window=128)
    digest = hashlib.sha256(np.stack(epoch_of(order, 2)).astype("<i8").tobytes()).hexdigest()
    assert digest == "3a95efd088bd0d5d6dfe776f4d8ef247d378742fd3f8d4abb6afea98752907b5"


@THOROUGHLY
@given(orders(), st.integers(0, 3))
def test_streams_are_equal_cuts_that_have_no_sample_in_common(order: Order, epoch: int) -> None:
    """And a stream reads shards that lie side by side: a shard is in two streams where a cut goes through it, in no more."""
    if not order.steps_per_epoch:
        return
    cuts = [np.concatenate(epoch_of(order, epoch, stream, order.streams)) for stream in range(order.streams)]
    assert {len(cut) for cut in cuts} == {order.steps_per_epoch * order.batch_size // order.streams}
    assert len(set(np.concatenate(cuts).tolist())) == sum(map(len, cuts))
    shard_of = np.repeat(np.arange(len(order.sizes)), order.sizes)
    assert sum(len(set(shard_of[cut].tolist())) for cut in cuts) <= len(order.sizes) + order.streams


def test_a_hundred_thousand_shards_cost_no_list_of_their_samples() -> None:
    sizes = (1000,) * 100_000
    tracemalloc.start()
    order = Order(sizes, seed=0, batch_size=8192, streams=1024)
    batches = [order.batch(0, step, 1000, 1024) for step in (0, order.steps_per_epoch // 2, order.steps_per_epoch - 1)]
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert {len(batch) for batch in batches} == {8}
    assert peak_bytes < 10 * 2**20, "a list of the samples would take 800 MB"


@pytest.mark.parametrize(
    ("streams", "world", "message"),
    [(3, 1, "streams must divide batch_size"), (4, 3, "must divide streams")],
)
def test_numbers_that_do_not_divide_are_refused(streams: int, world: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Order((100,), 0, 16, streams).batch(0, 0, 0, world)
    with pytest.raises(InputError, match="must divide batch_size"):
        evaluation_batch(10, 4, 0, 0, 3)
