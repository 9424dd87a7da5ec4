"""Whether what a head learns can be said at all: looked at on real samples, before a training starts. Must not import ray or mlflow.

In: a config, the shards, and the model's shapes and labels. Out: an InputError when nothing can be said, a note when something cannot. How
many tokens an encoder leaves of a sound is known to the encoder alone, so it is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import torch

from tasks.contracts import Fit, Json
from tasks.errors import InputError
from tasks.models.heads import HEADS
from tasks.registry import implementation
from tasks.shards.joined import AnyShards
from tasks.training.config import TrainConfig
from tasks.training.untrained import untrained

ENOUGH = 256
"""Samples to look at."""


class Told(NamedTuple):
    """What is said of a kind of head whose targets are out of reach; `{head}` is its config."""

    what: str
    cure: str
    otherwise: str
    """What becomes of these samples when there are others."""


TOLD = {
    "ctc": Told(
        "{head.target}s that were looked at have more tokens than the {head.of} that tells them",
        "take an encoder of {head.of} that leaves more tokens (`crnn` keeps every frame), a shorter `hop_seconds` in its `read`, or a "
        "tokenizer with longer tokens",
        "are left out of the loss; to have them in",
    ),
    "tagging": Told(
        "samples that were looked at have not as many tags as the encoder of {head.of} gives tokens",
        "read the {head.of} in the units that the tags are of (`tokenizer: word`, a `max_tokens` that cuts nothing), take an encoder that "
        "keeps them (`gru`, `transformer`), or set `align: stretch`, which divides the tokens evenly among the tags",
        "are tagged as far as both go; to have them match",
    ),
}
"""Kind of head → sentences. A head of the user's own that has `unreachable_B` is told of as `ctc` is."""


def check_reach(
    config: TrainConfig,
    shard_set: AnyShards,
    shapes: Mapping[str, Mapping[str, int]],
    labels: Mapping[str, Mapping[str, Json]],
    fitted: Mapping[str, Fit],
    note: Callable[[str], None],
) -> None:
    """Raises InputError naming the head, and what to change."""
    heads = [name for name, head in config.model.heads.items() if hasattr(implementation(HEADS, head.kind), "unreachable_B")]
    if not heads:
        return
    seen, looked_at = torch.zeros(len(heads), 2, dtype=torch.int64), 0
    with untrained(config, shard_set, shapes, labels, fitted, config.batch_size) as (model, batches):
        for batch in batches:
            features = model.features(model.encode(batch.inputs, model.present_BM(batch)), model.present_BM(batch))
            for place, name in enumerate(heads):
                head, target = cast(Any, model.head(name)), cast(Any, model.target(name, batch))
                counted_B = head.loss_weight_B(target, batch.weight) > 0
                if (of := getattr(config.model.heads[name], "of", None)) is not None:
                    counted_B &= features.present_B(of)
                seen[place] += torch.stack([head.unreachable_B(head(features), target).sum(), counted_B.sum()])
            looked_at += len(batch.keys)
            if looked_at >= ENOUGH:
                break
    for name, (unreachable, count) in zip(heads, seen.tolist(), strict=True):
        _tell(name, config.model.heads[name], unreachable, count, note)


def _tell(name: str, head: Any, unreachable: int, count: int, note: Callable[[str], None]) -> None:
    told = TOLD.get(head.kind, TOLD["ctc"])
    what, cure = f"head {name!r}: {unreachable} of {count} {told.what.format(head=head)}", told.cure.format(head=head)
    if count and unreachable == count:
        raise InputError(f"{what}, so that nothing can be learned; {cure}")
    if unreachable:
        note(f"{what}, and {told.otherwise}, {cure}")
