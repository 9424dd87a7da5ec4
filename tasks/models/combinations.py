"""Parts of a model that cannot work together, as a table. In: a `ModelConfig`. Out: a sentence for each row that applies.

Read when a recipe is checked, so it imports no torch. Parts of the user's own are taken to go with everything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from tasks.models.targets import labels_of, learns_from

if TYPE_CHECKING:
    from tasks.models.config import ModelConfig

GIVE_ONE_TOKEN = frozenset({"concat", "sum", "mean", "max", "weighted", "gated", "low_rank", "attention"})
"""Fusions that give one token a sample; the others give several."""
READ_A_SEQUENCE = frozenset({"rnn", "cnn", "transformer"})
"""Trunks that mix the tokens of a sequence."""
NEED_TWO_MODALITIES = frozenset({"film", "cross_attention"})


class Row(NamedTuple):
    """One combination."""

    applies: Callable[[ModelConfig], bool]
    sentence: str
    """What is wrong and what to do; `{model}` is the config."""


FUSING: tuple[Row, ...] = (
    Row(
        lambda model: not _divides(model.fusion, model.width),
        "`width` ({model.width}) is not a multiple of the fusion's `num_heads` ({model.fusion.num_heads}); change one of them",
    ),
    Row(
        lambda model: not _divides(model.trunk, model.width),
        "`width` ({model.width}) is not a multiple of the trunk's `num_heads` ({model.trunk.num_heads}); change one of them",
    ),
    Row(
        lambda model: not _divides(model.branch, model.width),
        "`width` ({model.width}) is not a multiple of the branch's `num_heads` ({model.branch.num_heads}); change one of them",
    ),
    Row(
        lambda model: model.width % 2 == 1 and (_reads_both_ways(model.trunk) or _reads_both_ways(model.branch)),
        "an `rnn` that reads both ways halves `width`, which is odd: {model.width}; give an even `width`, or set `bidirectional: false`",
    ),
    Row(
        lambda model: model.fusion.kind in NEED_TWO_MODALITIES and len(model.encoders) < 2,
        "fusion {model.fusion.kind!r} is between modalities, and there is one encoder; add another, or take fusion 'attention'",
    ),
    Row(
        lambda model: model.fusion.kind == "film" and model.fusion.by is not None and model.fusion.by not in model.encoders,
        "fusion 'film': `by` is {model.fusion.by!r}, which has no encoder; name one of those in `encoders`, or add an encoder for it",
    ),
    Row(
        lambda model: model.fusion.kind in GIVE_ONE_TOKEN and _mixes(model.joint_trunk),
        "fusion {model.fusion.kind!r} gives one token, and trunk {model.trunk.kind!r} reads a sequence of them; "
        "take fusion 'sequence', trunk 'mlp', or `placement: late`, where the trunk reads the tokens of each modality",
    ),
    Row(
        lambda model: model.branch is not None and model.placement != "hybrid",
        "`branch` is the trunk of each modality in `placement: hybrid`, and the placement is {model.placement!r}; "
        "leave `branch` out, or set `placement: hybrid`",
    ),
    Row(
        lambda model: model.fusion.kind == "voting" and _mixes(model.joint_trunk),
        "fusion 'voting' gives a vote for each modality, and trunk {model.trunk.kind!r} would mix them; "
        "set `placement: late`, or take trunk 'mlp', which leaves each vote alone",
    ),
    Row(
        lambda model: model.fusion.kind == "voting" and model.fusion.weighted and model.joint_trunk is not None,
        "fusion 'voting' with `weighted: true` scales the votes for the heads, and with `placement: {model.placement}` a trunk stands "
        "between; set `placement: late`, or leave `weighted` out",
    ),
)
"""Of encoders, fusion, trunks and placement: the table of docs/fusions.md."""

LEARNING: tuple[Row, ...] = (
    Row(
        lambda model: bool(set(model.heads) & set(model.objectives)),
        "a head and an objective have the same name, and each loss needs its own; rename one of them in `objectives`",
    ),
    Row(
        lambda model: bool(_unknown_between(model.objectives, model)),
        "an objective names a modality in `between` that has no encoder; name some of those in `encoders`, or add an encoder for it",
    ),
    Row(
        lambda model: len(model.encoders) < 2 and any(hasattr(each, "between") for each in model.objectives.values()),
        "an objective is between modalities, and there is one encoder; add another, or leave the objective out",
    ),
    Row(
        lambda model: any(len(getattr(each, "between", ())) == 1 for each in model.objectives.values()),
        "an objective has one modality in `between`, and it takes two or more; add another, or leave `between` out for all of them",
    ),
    Row(
        lambda model: bool(_unknown_between(model.heads, model)),
        "a head names a modality in `between` that has no encoder; name some of those in `encoders`, or add an encoder for it",
    ),
    Row(
        lambda model: any(learns_from(head) == "modality" and head.target in model.encoders for head in model.heads.values()),
        "a head learns to say a modality that the model is fed with, so that it would only copy it; take another `target`, or leave the "
        "encoder of that modality out",
    ),
    Row(
        lambda model: any(_read_by(head) - set(model.encoders) for head in model.heads.values()),
        "a head reads the tokens of a modality, in `of` or `question`, that has no encoder; name one of those in `encoders`, or add an "
        "encoder for it",
    ),
    Row(
        lambda model: len(model.encoders) < 2 and any(hasattr(head, "question") for head in model.heads.values()),
        "a head answers questions about other modalities, and there is one encoder; add another, or take a `classification`",
    ),
    Row(
        lambda model: any(not _divides(head, model.width) for head in model.heads.values()),
        "`width` ({model.width}) is not a multiple of a head's `num_heads`; change one of them",
    ),
    Row(
        lambda model: model.fusion.kind == "voting" and any(not getattr(head, "linear_in_mean", True) for head in model.heads.values()),
        "fusion 'voting' gives a vote for each modality, and a head does something else with the votes than to count them; take another "
        "fusion, or heads `classification`, `multi_label` and `regression` alone",
    ),
    Row(
        lambda model: not model.objectives and all(head.kind == "anomaly" for head in model.heads.values()),
        "a head `anomaly` looks at features that something else must shape, and the model learns nothing else; add a head that learns from "
        "a label or a modality, or an objective",
    ),
    Row(
        lambda model: model.weighting == "uncertainty" and any(getattr(part, "may_be_negative", False) for part in _losses(model)),
        "`weighting: uncertainty` weighs a loss the more the smaller it is, and one that goes below zero, `cca` or an unbiased "
        "`mmd`, would weigh more without end; set `weighting: fixed` and a `weight`, or take another loss",
    ),
    Row(
        lambda model: bool({each.domain for each in model.objectives.values() if hasattr(each, "domain")} & set(labels_of(model.heads))),
        "an objective makes the model forget the label in its `domain`, and a head learns that label; name another label in one of them, "
        "or leave one of them out",
    ),
)
"""Of heads and objectives: the table of docs/losses.md."""

COMBINATIONS = (*FUSING, *LEARNING)


def refusals(model: ModelConfig) -> list[str]:
    """Why this model cannot be built; empty when it can."""
    return [row.sentence.format(model=model) for row in COMBINATIONS if row.applies(model)]


def _losses(model: ModelConfig) -> list[Any]:
    """The losses that heads and objectives choose."""
    return [part.loss for part in (*model.heads.values(), *model.objectives.values()) if hasattr(part, "loss")]


def _unknown_between(parts: Mapping[str, Any], model: ModelConfig) -> set[str]:
    return {name for each in parts.values() for name in getattr(each, "between", ())} - set(model.encoders)


def _read_by(head: Any) -> set[str]:
    """Modalities whose tokens a head reads by themselves."""
    return {value for name in ("of", "question") if (value := getattr(head, name, None)) is not None}


def _divides(part: Any, width: int) -> bool:
    return width % getattr(part, "num_heads", 1) == 0


def _reads_both_ways(part: Any) -> bool:
    return part is not None and part.kind == "rnn" and part.bidirectional


def _mixes(trunk: Any) -> bool:
    return trunk is not None and trunk.kind in READ_A_SEQUENCE
