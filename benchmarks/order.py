"""What it costs to know which samples come next, at 1,024 ranks and 100,000 shards of about 1,000 samples.

Each number is of one rank, with one stream of 1,024 and 8 samples of each batch of 8,192. `first_batch_ms` begins with the sizes of the
shards and nothing else, as a training does; `next_batch_ms` follows it; `resume_90_percent_ms` is the first batch of a run that goes on at
90 % of an epoch, also from nothing; `batch_90_percent_ms` the one after that. `peak_mb` and `kept_mb` are what a rank's plan takes of
memory while it is made and afterwards, without the list of sizes itself. The same for a mixture of two sets of 50,000 shards. Then all
1,024 ranks draw the epoch, 256 samples at a time, and a bitmap shows that together they read each of the 100 million samples once, all but
less than a batch: anything else is an error and no number. Nothing is compared, so all of it is reported, and no goal can be missed.
"""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import measure
from tasks.shards.mixture import Mixture
from tasks.shards.order import Order
from tasks.shards.shares import Share

NUM_RANKS, NUM_SHARDS, PER_RANK = 1024, 100_000, 8
BATCH = NUM_RANKS * PER_RANK
WHOLE_PER_RANK = 256
"""Samples a rank draws at a time where it draws the whole epoch."""
STEPS_TIMED = 50
"""Batches behind the median of one round."""

Plan = Callable[[], Order | Mixture]


def run(rounds: int) -> dict[str, Any]:
    """Milliseconds and megabytes of one rank; whether all ranks together read every sample once."""
    sizes = tuple(np.random.default_rng(0).integers(900, 1101, NUM_SHARDS).tolist())
    half = NUM_SHARDS // 2
    shares = (Share(weight=3), Share(weight=1))
    plans: dict[str, Plan] = {
        "": lambda: Order(sizes, 0, BATCH, NUM_RANKS),
        "mixture_": lambda: Mixture((sizes[:half], sizes[half:]), shares, 0, BATCH, NUM_RANKS),
    }
    taken: dict[str, list[float]] = {}
    for number in range(rounds):
        rank = int(np.random.default_rng(number).integers(NUM_RANKS))
        for prefix, plan in plans.items():
            for name, value in {**timed(plan, rank), **held(plan, rank)}.items():
                taken.setdefault(f"{prefix}{name}", []).append(value)
    seconds, missed = check_permutation(sizes)
    ratios = {name: measure.median(values) for name, values in taken.items()}
    ratios["samples_left_out"] = measure.metric(missed, missed, missed)
    ratios["whole_epoch_of_a_rank_s"] = measure.metric(*[seconds / NUM_RANKS] * 3)
    return {"name": "order", "ok": True, "ratios": ratios}


def timed(plan: Plan, rank: int) -> dict[str, float]:
    """Milliseconds of one rank: from nothing, and going on."""
    fresh, first = clock(lambda: begun(plan, 0.0, rank))
    resumed, again = clock(lambda: begun(plan, 0.9, rank))
    return {
        "first_batch_ms": first,
        "next_batch_ms": statistics.median(clock(lambda step=step: fresh.batch(0, step, rank, NUM_RANKS))[1] for step in steps(fresh, 0.0)),
        "resume_90_percent_ms": again,
        "batch_90_percent_ms": statistics.median(
            clock(lambda step=step: resumed.batch(0, step, rank, NUM_RANKS))[1] for step in steps(resumed, 0.9)
        ),
    }


def begun(plan: Plan, share: float, rank: int) -> Order | Mixture:
    """A plan made anew, with its first batch drawn at a share of the epoch."""
    order = plan()
    order.batch(0, int(order.steps_per_epoch * share), rank, NUM_RANKS)
    return order


def steps(order: Order | Mixture, share: float) -> range:
    """The batches after the one at a share of the epoch."""
    start = int(order.steps_per_epoch * share) + 1
    return range(start, start + STEPS_TIMED)


def clock(work: Callable[[], Any]) -> tuple[Any, float]:
    """What the work returns, and its milliseconds."""
    start = time.perf_counter()
    result = work()
    return result, 1000 * (time.perf_counter() - start)


def held(plan: Plan, rank: int) -> dict[str, float]:
    """Megabytes of one rank, traced apart from the clock since tracing slows it."""
    tracemalloc.start()
    try:
        order = begun(plan, 0.9, rank)
        kept, peak = tracemalloc.get_traced_memory()
        del order
    finally:
        tracemalloc.stop()
    return {"peak_mb": peak / 1e6, "kept_mb": kept / 1e6}


def check_permutation(sizes: tuple[int, ...]) -> tuple[float, int]:
    """All ranks draw an epoch. Returns their seconds together, and how many samples the epoch leaves out.

    Raises RuntimeError when a sample is drawn twice, more are left out than a batch, or ranks have unequal batches.
    """
    batch_size = NUM_RANKS * WHOLE_PER_RANK
    order = Order(sizes, 0, batch_size, NUM_RANKS)
    seen = np.zeros(order.num_samples, dtype=bool)
    drawn, start = 0, time.perf_counter()
    for rank in range(NUM_RANKS):
        mine = np.concatenate([order.batch(0, step, rank, NUM_RANKS) for step in range(order.steps_per_epoch)])
        if seen[mine].any() or len(mine) != order.steps_per_epoch * WHOLE_PER_RANK:
            raise RuntimeError(f"rank {rank} drew {len(mine)} samples, {int(seen[mine].sum())} of which another rank had drawn before")
        seen[mine] = True
        drawn += len(mine)
    missed = order.num_samples - int(seen.sum())
    if int(seen.sum()) != drawn or missed >= batch_size:
        raise RuntimeError(f"{drawn} samples were drawn, {int(seen.sum())} different ones, and {missed} were left out")
    return time.perf_counter() - start, missed
