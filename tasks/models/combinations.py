"""Parts of a model that cannot work together, as tables. In: a `ModelConfig`. Out: a sentence for each row that applies.

Read when a recipe is checked, so it imports no torch. Parts of the user's own are taken to go with everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tasks.models.encoders import ENCODERS
from tasks.models.rows import Row, listed, told
from tasks.models.targets import label_of, learns_from

if TYPE_CHECKING:
    from tasks.models.config import ModelConfig

GIVE_ONE_TOKEN = frozenset({"concat", "sum", "mean", "max", "weighted", "gated", "low_rank", "attention"})
"""Fusions that give one token a sample; the others give several."""
READ_A_SEQUENCE = frozenset({"rnn", "cnn", "transformer"})
"""Trunks that mix the tokens of a sequence."""
NEED_TWO_MODALITIES = frozenset({"film", "cross_attention"})
SHARE_THE_WIDTH = frozenset({"transformer", "conformer", "video_transformer"})
"""Encoders whose attention heads divide the model's width; those of `vit` divide its own."""
FOLLOW_TOKENS = frozenset({"ctc", "localisation", "tagging"})
"""Heads that read the tokens of one modality as a sequence."""
WITHOUT_TIME = frozenset({"image", "table"})
"""Modalities whose tokens do not follow each other in time."""

FUSING: tuple[Row[ModelConfig], ...] = (
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

ENCODING: tuple[Row[ModelConfig], ...] = (
    Row(
        lambda model: [
            {"modality": modality, "given": encoder}
            for modality, encoder in sorted(model.encoders.items())
            if encoder.kind in SHARE_THE_WIDTH and not _divides(encoder, model.width)
        ],
        "`width` ({model.width}) is not a multiple of the `num_heads` ({given.num_heads}) of the encoder of {modality}; change one of them",
    ),
    Row(
        lambda model: [{"kinds": kinds} for kinds in [_reading_both_ways(model)] if model.width % 2 and kinds],
        "`width` is odd ({model.width}), and what reads both ways halves it: the encoder of {kinds}; give an even `width`, or set "
        "`bidirectional: false`",
    ),
)
"""Of encoders and the width of the model: the table of docs/encoders.md."""

LEARNING: tuple[Row[ModelConfig], ...] = (
    Row(
        lambda model: [
            {"what": what, "name": name, "part": part}
            for what, parts in (("head", model.heads), ("objective", model.objectives))
            for name, part in parts.items()
            if not hasattr(part, "weight")
        ],
        "{what} {name!r} ({part.kind}) has a `Config` without `weight`, the factor of its loss in the sum of losses; give it one, "
        "`weight: float = 1.0`",
    ),
    Row(
        lambda model: [{"name": name} for name in sorted(set(model.heads) & set(model.objectives))],
        "{name!r} names a head and an objective, and each loss needs its own; rename it in `objectives`",
    ),
    Row(
        lambda model: _unknown_between(model.objectives, model),
        "objective {name!r} names {modality!r} in `between`, which has no encoder; name some of those in `encoders` ({encoders}), or add "
        "an encoder for it",
    ),
    Row(
        lambda model: len(model.encoders) < 2 and [{"name": name} for name, each in model.objectives.items() if hasattr(each, "between")],
        "objective {name!r} is between modalities, and there is one encoder; add another, or leave the objective out",
    ),
    Row(
        lambda model: [{"name": name} for name, each in model.objectives.items() if len(getattr(each, "between", ())) == 1],
        "objective {name!r} has one modality in `between`, and it takes two or more; add another, or leave `between` out for all of them",
    ),
    Row(
        lambda model: _unknown_between(model.heads, model),
        "head {name!r} names {modality!r} in `between`, which has no encoder; name some of those in `encoders` ({encoders}), or add an "
        "encoder for it",
    ),
    Row(
        lambda model: [
            {"name": name, "head": head}
            for name, head in model.heads.items()
            if learns_from(head) == "modality" and head.target in model.encoders
        ],
        "head {name!r} learns to say {head.target}, which the model is fed with, so that it would only copy it; take another `target`, or "
        "leave the encoder of {head.target} out",
    ),
    Row(
        lambda model: [
            {"name": name, "modality": modality}
            for name, head in model.heads.items()
            for modality in sorted(_read_by(head) - set(model.encoders))
        ],
        "head {name!r} reads the tokens of {modality!r}, which has no encoder; name one of those in `encoders` ({encoders}), or add an "
        "encoder for it",
    ),
    Row(
        lambda model: [
            {"name": name, "head": head, "given": model.encoders[head.of]}
            for name, head in model.heads.items()
            if _follows(head, model) and _gives_one_token(model.encoders[head.of])
        ],
        "head {name!r} ({head.kind}) reads the tokens of {head.of} one after the other, and encoder {given.kind!r} makes one of all; take "
        "an encoder that gives a token for each step, such as `gru`",
    ),
    Row(
        lambda model: [
            {"name": name, "head": head, "others": listed(sorted(set(model.encoders) - WITHOUT_TIME))}
            for name, head in model.heads.items()
            if _follows(head, model) and head.of in WITHOUT_TIME and (head.kind != "tagging" or head.align == "stretch")
        ],
        "head {name!r} ({head.kind}) follows the tokens of {head.of} in time, where they do not follow each other; set `of` to an encoded "
        "modality that runs in time ({others}), or take another kind of head",
    ),
    Row(
        lambda model: len(model.encoders) < 2 and [{"name": name} for name, head in model.heads.items() if hasattr(head, "question")],
        "head {name!r} answers questions about other modalities, and there is one encoder; add another, or take a `classification`",
    ),
    Row(
        lambda model: [{"name": name, "head": head} for name, head in model.heads.items() if not _divides(head, model.width)],
        "`width` ({model.width}) is not a multiple of the `num_heads` ({head.num_heads}) of head {name!r}; change one of them",
    ),
    Row(
        lambda model: (
            model.fusion.kind == "voting"
            and [{"name": name, "head": head} for name, head in model.heads.items() if not getattr(head, "linear_in_mean", True)]
        ),
        "fusion 'voting' gives a vote for each modality, and head {name!r} ({head.kind}) does something else with the votes than to count "
        "them; take another fusion, or heads `classification`, `multi_label` and `regression` alone",
    ),
    Row(
        lambda model: not model.objectives and all(head.kind == "anomaly" for head in model.heads.values()),
        "a head `anomaly` looks at features that something else must shape, and the model learns nothing else; add a head that learns from "
        "a label or a modality, or an objective",
    ),
    Row(
        lambda model: (
            model.weighting == "uncertainty"
            and [{"name": name, "loss": loss} for name, loss in _losses(model) if getattr(loss, "may_be_negative", False)]
        ),
        "`weighting: uncertainty` weighs a loss the more the smaller it is, and that of {name!r} (`{loss.kind}`) goes below zero and would "
        "weigh more without end; set `weighting: fixed` and a `weight`, or take another loss",
    ),
    Row(
        lambda model: [
            {"name": name, "objective": objective, "head": head}
            for name, objective in model.objectives.items()
            for head, given in model.heads.items()
            if hasattr(objective, "domain") and objective.domain == label_of(head, given)
        ],
        "objective {name!r} makes the model forget the label {objective.domain!r}, its `domain`, and head {head!r} learns that label; name "
        "another label in one of them, or leave one of them out",
    ),
)
"""Of heads and objectives: the table of docs/losses.md."""

COMBINATIONS = (*FUSING, *ENCODING, *LEARNING)


def refusals(model: ModelConfig) -> list[str]:
    """Why this model cannot be built; empty when it can."""
    return told(COMBINATIONS, model, model=model, encoders=listed(sorted(model.encoders)))


def _losses(model: ModelConfig) -> list[tuple[str, Any]]:
    """The losses that heads and objectives choose, with their names."""
    return [(name, part.loss) for name, part in (*model.heads.items(), *model.objectives.items()) if hasattr(part, "loss")]


def _unknown_between(parts: Mapping[str, Any], model: ModelConfig) -> list[dict[str, Any]]:
    return [
        {"name": name, "modality": modality}
        for name, each in parts.items()
        for modality in getattr(each, "between", ())
        if modality not in model.encoders
    ]


def _read_by(head: Any) -> set[str]:
    """Modalities whose tokens a head reads by themselves."""
    return {value for name in ("of", "question") if (value := getattr(head, name, None)) is not None}


def _follows(head: Any, model: ModelConfig) -> bool:
    """Does it take the tokens of one modality, by an encoder of ours, as a sequence?"""
    return head.kind in FOLLOW_TOKENS and head.of in model.encoders and model.encoders[head.of].kind in ENCODERS


def _gives_one_token(encoder: Any) -> bool:
    return encoder.kind in ("embedding_bag", "mlp") or (encoder.kind == "text_cnn" and encoder.pool)


def _divides(part: Any, width: int) -> bool:
    return width % getattr(part, "num_heads", 1) == 0


def _reads_both_ways(part: Any) -> bool:
    return part is not None and part.kind == "rnn" and part.bidirectional


def _reading_both_ways(model: ModelConfig) -> str:
    """Modalities and kinds of the encoders that do."""
    recurrent = {modality: encoder.kind for modality, encoder in sorted(model.encoders.items()) if getattr(encoder, "bidirectional", False)}
    return ", ".join(f"{modality} ({kind})" for modality, kind in recurrent.items() if kind in ENCODERS)


def _mixes(trunk: Any) -> bool:
    return trunk is not None and trunk.kind in READ_A_SEQUENCE
