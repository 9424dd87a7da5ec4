"""The page of a shards artifact, as one file: `medley shards preview`.

In: the folder of the artifact. Out: HTML in the manner of the report, with all media inside, within `MEDIA_BUDGET`. Samples come from the
shards through their checksums; what was left out comes through `left_out`, which shows nothing as it lies in its source.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.errors import InputError
from tasks.evaluation.facts import data_facts
from tasks.evaluation.page import figures
from tasks.evaluation.page.data import data_section
from tasks.evaluation.page.document import document, heading, listed, section
from tasks.evaluation.page.markup import Markup, join, shorten, tag
from tasks.evaluation.page.members import Budget
from tasks.modalities import merge_all
from tasks.preview.left_out import corpus_of, reasons, section_of
from tasks.preview.samples import cards, pick
from tasks.shards.read import ShardSet

MEDIA_BUDGET = 6_000_000
"""Characters of data URIs on the page, so that it stays below about 7 MB; members beyond it are named, not shown."""
LEFT_OUT_BUDGET = 1_500_000
"""Of these, what examples of the left-out may take."""
DEFAULT_SAMPLES = 12
"""Of each split."""


def write_preview(path: Path, shards: Path, *, split: str | None = None, limit: int = DEFAULT_SAMPLES) -> dict[str, Any]:
    """Write the page to `path`, with up to `limit` samples of one split or of each. Returns what is on it.

    Raises CorruptArtifact when the shards are none or damaged, InputError for a split that they do not have and a
    limit below 1.
    """
    if limit < 1:
        raise InputError(f"--limit is {limit}; at least 1 sample of a split is shown")
    shard_set = ShardSet.open(shards)
    if split is not None and split not in shard_set.splits:
        raise InputError(f"{shards} has no samples of split {split!r}; it has {', '.join(shard_set.splits)}")
    shown = {name: pick(shard_set, name, limit) for name in ([split] if split else shard_set.splits)}
    corpus = corpus_of(shards)
    left_out = reasons(shards, corpus)
    facts = data_facts(shards)
    budget = Budget(MEDIA_BUDGET - LEFT_OUT_BUDGET)
    parts: list[Markup | None] = [_top(facts, shards.name, shown), _tiles(facts, shards)]
    for name, samples in shown.items():
        total = figures.count(shard_set.num_samples(name))
        lead = f"{figures.count(len(samples))} of {total}, of as many classes and groups as there is room for."
        parts.append(section(f"Samples of {name}", lead, cards(samples, budget)))
    if left_out:
        parts.append(section("Left out", _left_out_lead(corpus is not None), section_of(left_out, Budget(LEFT_OUT_BUDGET + budget.left))))
    parts.append(section("Data", "", data_section(facts)))
    parts.append(section("Origin", "", _origin(shard_set.meta, shards)))
    path.write_text(document(f"Shards {shards.name[:12]}", join(parts)), encoding="utf-8")
    return {
        "page": str(path),
        "bytes": path.stat().st_size,
        "samples": {name: len(samples) for name, samples in shown.items()},
        "left_out": [{"status": one.status, "reason": one.reason, "records": one.records} for one in left_out],
    }


def _top(facts: Mapping[str, Any], key: str, shown: Mapping[str, Sequence[Any]]) -> Markup:
    shards = "1 shard" if facts["shards"] == 1 else f"{figures.count(facts['shards'])} shards"
    number = sum(map(len, shown.values()))
    lede = (
        f"{listed(sorted(facts['modalities']))[:1].upper()}{listed(sorted(facts['modalities']))[1:]} in {shards}, "
        f"{figures.num_bytes(facts['bytes'])}. {figures.count(number)} samples of {listed(list(shown))} are below, as they are stored; "
        f"then what was left out and why. Artifact {key[:12]}."
    )
    return heading("shards", f"{figures.count(facts['samples'])} samples", lede)


def _tiles(facts: Mapping[str, Any], shards: Path) -> Markup:
    """A figure for each modality: what a sample of it is on the average."""
    stats = json.loads((shards / "stats.json").read_bytes())["modalities"]
    tiles = []
    for name, numbers in facts["modalities"].items():
        merged = merge_all(split[name] for split in stats.values() if name in split)
        value, unit, spread = _figure(merged)
        share = figures.percent(numbers["samples"] / max(1, facts["samples"]), 0)
        tiles.append(
            tag(
                "div",
                tag("p", tag("b", shorten(name, 40)), f" in {share} of the samples", class_="what"),
                tag("p", value, tag("span", f" {unit}", class_="unit"), class_="big"),
                tag("p", spread, class_="range"),
                tag("p", f"{figures.num_bytes(numbers['bytes'])}, as {listed(list(numbers['extensions'])[:4])}", class_="further"),
                class_="tile",
            )
        )
    return tag("section", tag("div", tiles, class_="tiles"), class_="verdict", aria_label="What each modality is like")


def _figure(stats: Mapping[str, Any]) -> tuple[str, str, str]:
    """Number, unit, and between what it lies; by the statistics there are, so that a medium of the user's own has one too."""
    count = max(1, stats.get("count", 0))
    if "max_width" in stats:
        smallest = f"{stats['min_width']} × {stats['min_height']}"
        largest = f"{stats['max_width']} × {stats['max_height']}"
        return largest, "pixels", "all of one size" if smallest == largest else f"the largest sides; the smallest are {smallest}"
    if "milliseconds" in stats:
        rates = {stats["min_rate_hz"], stats["max_rate_hz"]}
        at = f" {figures.DASH} ".join(f"{rate / 1000:g}" for rate in sorted(rates))
        spread = f"{_duration(stats['milliseconds'] / 1000)} in all, at {at}{figures.NARROW}kHz"
        return f"{stats['milliseconds'] / count / 1000:.2f}", "s on average", spread
    if "words" in stats:
        spread = f"{figures.count(stats['min_words'])} {figures.DASH} {figures.count(stats['max_words'])} words"
        return f"{stats['words'] / count:.1f}", "words on average", f"{spread}, {figures.count(stats['chars'])} characters in all"
    return figures.num_bytes(stats.get("bytes", 0) / count), "on average", ""


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f}{figures.NARROW}{unit}"
    return f"{seconds:.1f}{figures.NARROW}s"


def _left_out_lead(has_corpus: bool) -> str:
    lead = "Every reason in the ledger, with its first records. Pictures and texts are decoded and made anew; what cannot be is not shown."
    return lead if has_corpus else f"{lead} The corpus is no longer in the store, so files cannot be named."


def _origin(meta: Mapping[str, Any], shards: Path) -> Markup:
    entries = [("These shards", shards.name), ("Corpus", meta["corpus"]), ("Folder", str(shards))]
    rows = [join(tag("dt", name), tag("dd", tag("code", shorten(value, 400)))) for name, value in entries]
    commands = f"medley shards verify {shards}\nmedley shards inspect {shards}"
    prepare = json.dumps(meta["prepare"], indent=1, ensure_ascii=False)
    return join(
        tag("dl", rows, class_="facts"),
        tag("pre", tag("code", commands), tabindex=0, class_="block"),
        tag("details", tag("summary", "How the media were prepared"), tag("pre", tag("code", shorten(prepare, 20_000)), tabindex=0)),
    )
