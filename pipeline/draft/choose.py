"""How to split and how long to train, from how much there is.

In: a `Survey`. Out: numbers for a first recipe. They are starting points that train in minutes on a CPU, not the best ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.draft.columns import textual
from pipeline.draft.survey import Survey

VAL, TEST = 0.1, 0.2
SALTS = 50
"""Salts tried until a small corpus splits well."""
MAX_TRIED = 5000
"""Records up to which they are."""
STEPS = 1500
"""Optimizer steps that a first training takes, about."""
MAX_BATCH, MIN_BATCH = 64, 4

NO_LABELS = (
    "no labels were found, so the recipe ends with the shards; to train, put the samples of each class into a folder of its own, or name "
    "them in a table with a column that says what each is"
)


@dataclass(frozen=True)
class Plan:
    """Split and training."""

    salt: str
    counts: dict[str, int]
    """Split → records, as ingest will deal them."""
    unseen: tuple[str, ...]
    """Classes that no training record has."""
    batch_size: int
    epochs: int
    notes: tuple[str, ...] = ()
    """What a user should know before running."""


def choose(survey: Survey) -> Plan:
    """A split in which val and test have records and train has every class, if there is one; batches that fit into it."""
    if survey.splits:
        salt, counts, unseen = "", Counter(survey.splits), tuple[str, ...]()
    else:
        salts = [str(number) if number else "" for number in range(SALTS if len(survey.groups) <= MAX_TRIED else 1)]
        salt, (counts, unseen) = min(((salt, _dealt(survey, salt)) for salt in salts), key=lambda tried: _badness(*tried[1]))
    train = counts["train"] or 1
    batch_size = MIN_BATCH
    while batch_size < MAX_BATCH and batch_size * 8 <= train:
        batch_size *= 2
    epochs = min(30, max(3, round(STEPS * batch_size / train)))
    return Plan(salt, dict(counts), unseen, batch_size, epochs, tuple(_notes(survey, counts, unseen)))


def _notes(survey: Survey, counts: Counter[str], unseen: tuple[str, ...]) -> Iterator[str]:
    if not survey.labels:
        yield NO_LABELS
        return
    if counts["train"] < MIN_BATCH:
        yield f"{counts['train']:,} records to train on are too few, {MIN_BATCH} are the least; add data before running"
    if unseen:
        shown = ", ".join(textual(one) for one in unseen[:5])
        yield f"no training record has {shown}{' and more' if len(unseen) > 5 else ''}, so such records of val and test are left out"


def _dealt(survey: Survey, salt: str) -> tuple[Counter[str], tuple[str, ...]]:
    from tasks.sources.corpus import split_of

    counts: Counter[str] = Counter()
    seen: dict[str, set[str]] = {"train": set(), "val": set(), "test": set()}
    for group, classes in survey.groups:
        split = split_of(group, VAL, TEST, salt)
        counts[split] += 1
        seen[split].update(classes)
    return counts, tuple(sorted((seen["val"] | seen["test"]) - seen["train"]))


def _badness(counts: Counter[str], unseen: tuple[str, ...]) -> tuple[int, int]:
    """Empty splits first, then classes that training never sees; the first salt of the best is taken."""
    return sum(not counts[split] for split in ("train", "val", "test")), len(unseen)
