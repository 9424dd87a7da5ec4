"""Marginal throughput of the shard step over that of a bare pool, on pictures.

In: a config of the step and two numbers of pictures. Out: the document of a benchmark. A side's marginal throughput is (large - small)
pictures over the difference of its two times, so that what a run costs once is counted apart, as `fixed_s`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import measure, sides
from benchmarks.pictures import make_media, write_corpus
from tasks.shard import ShardConfig

PEER_ROUNDS = 3
"""At most: what is reported beside the claim needs no narrow interval, and is slow."""

Way = Callable[[Path, Sequence[sides.Chunk]], float]
"""Another way to make the same tars from the same chunks below a folder; gives seconds."""


@dataclass(frozen=True)
class Claim:
    """What a benchmark of sharding measures."""

    name: str
    config: ShardConfig
    goal_ratio: float
    goal_fixed_s: float
    peers: Mapping[str, Way] = field(default_factory=dict)
    """Reported beside the claim."""


def compare(claim: Claim, rounds: int, small: int, large: int) -> dict[str, Any]:
    """Ratios of marginal throughputs, and seconds of fixed cost; throughputs in pictures a second beside them."""
    with tempfile.TemporaryDirectory(prefix="medley-sharding-") as name, sides.processes() as pool:
        folder = Path(name)
        rows = make_media(folder / "media", large, pool)
        corpora = {count: write_corpus(folder / f"corpus-{count}", folder / "media", rows[:count]) for count in (small, large)}
        chunks = {count: sides.chunks(folder, corpus, claim.config) for count, corpus in corpora.items()}
        ways: dict[str, Callable[[int], float]] = {
            "medley": lambda count: sides.timed(sides.medley(folder, corpora[count], claim.config), count),
            "pool": lambda count: sides.timed(sides.bare(folder, pool, chunks[count], claim.config), count),
        }
        peers = {name: lambda count, way=way: way(folder, chunks[count]) for name, way in claim.peers.items()}
        for way in (*ways.values(), *peers.values()):
            way(small)  # imports, byte code, page cache
        seconds = measure.interleave(rounds, _in_turns(ways, small, large))
        seconds |= measure.interleave(min(rounds, PEER_ROUNDS), _in_turns(peers, small, large))
    document = _document(claim, seconds, small, large)
    return document | {"shards": {str(count): len(chunks[count]) for count in chunks}}


def _in_turns(ways: Mapping[str, Callable[[int], float]], small: int, large: int) -> dict[str, Callable[[], float]]:
    return {f"{name} {count}": lambda way=way, count=count: way(count) for name, way in ways.items() for count in (small, large)}


def _document(claim: Claim, seconds: Mapping[str, list[float]], small: int, large: int) -> dict[str, Any]:
    names = ["medley", "pool", *claim.peers]
    rates = {name: _rates(seconds[f"{name} {small}"], seconds[f"{name} {large}"], large - small) for name in names}
    fixed = [first - small / rate for first, rate in zip(seconds[f"medley {small}"], rates["medley"], strict=True)]
    ratios = {
        "of_pool": measure.median(_over(rates["medley"], rates["pool"]), goal=claim.goal_ratio, sense="at least"),
        "fixed_s": measure.median(fixed, goal=claim.goal_fixed_s),
        **{f"{name}_of_pool": measure.median(_over(rates[name], rates["pool"])) for name in claim.peers},
    }
    return {
        "name": claim.name,
        "ok": all(entry["ok"] for entry in ratios.values()),
        "ratios": ratios,
        "pictures_per_s": {name: [round(rate, 1) for rate in values] for name, values in rates.items()},
        "seconds": {side: [round(value, 3) for value in values] for side, values in seconds.items()},
    }


def _rates(small_s: Sequence[float], large_s: Sequence[float], pictures: int) -> list[float]:
    return [pictures / (long - short) for short, long in zip(small_s, large_s, strict=True)]


def _over(above: Sequence[float], below: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(above, below, strict=False)]
