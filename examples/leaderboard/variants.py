"""Writes the recipe beside this file: every fusion in every placement it goes with, as wide as one budget of parameters allows.

    python examples/leaderboard/variants.py             prints width and parameters of every variant
    python examples/leaderboard/variants.py --write     writes recipe.yaml anew

In: the registry of fusions. Out: `recipe.yaml`. The width of a variant is the even number whose model is nearest to BUDGET parameters, so
that no fusion is better because it is larger. A variant off by more than WITHIN is an error.
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from tasks.models.config import ModelConfig
from tasks.models.fusions import FUSIONS

HERE = Path(__file__).parent
RECIPE = HERE / "recipe.yaml"
BUDGET = 56_000
"""Parameters of a model, encoders and all."""
WITHIN = 0.05
"""Share of the budget that a variant may be off."""
WIDTHS = range(16, 128, 2)
SEEDS = range(5)
PLACEMENTS = ("early", "late", "hybrid")
ALONE = "alone"
ENCODERS: dict[str, Any] = {"image": {"kind": "cnn", "channels": [16, 32]}, "audio": {"kind": "cnn_lstm", "channels": [8, 16]}}
SHAPES = {"image": {"channels": 1, "height": 8, "width": 8}, "audio": {"features": 20}}
LABELS = {"digit": {"kind": "category", "classes": [str(digit) for digit in range(10)]}}

HEAD = """\
# Which fusion, and where should it stand? All of them in every placement they go with, beside each modality alone: {models} models with
# {seeds} seeds each, {budget:,} parameters (within {within:.0%}) and as many steps for every one of them.
#
#     medley run examples/leaderboard/recipe.yaml             {trainings} trainings
#     python examples/leaderboard/leaderboard.py              the page, from the reports of that run
#
# Written by variants.py, which chooses the widths; change it there.

name: leaderboard
store: ../../.medley
seed: 0

steps:
  corpus:
    task: ingest
    source: {{format: "faint_digits:FaintDigits", seed: 0}}

  shards:
    task: shard
    corpus: corpus
    prepare: {{image: {{}}, audio: {{}}}}
"""

FAMILY = """
  {name}:
    task: train
    shards: shards
    read:
{read}
    model:
{encoders}
      placement: {placement}
      heads: {{digit: classification}}
    epochs: 20
    batch_size: 32
    resources: {{workers: 0}}
    matrix:
{variants}

  {name}_report: {{task: evaluate, model: {name}, shards: shards, split: test, resamples: 200, latency_calls: 50}}
"""

BEST = """
  # Chosen on the validation split: what the page compares the others with.
  {name}_best: {{task: select, from: {name}, metric: val.digit.loss, mode: min, over: seed}}
"""

READ = {
    "image": "      image: {size: [8, 8], channels: 1}",
    "audio": "      audio: {features: log_mel, rate_hz: 8000, num_mels: 20, frame_seconds: 0.064, hop_seconds: 0.04, max_seconds: 1.2}",
}
ENCODER_LINES = {"image": "image: {kind: cnn, channels: [16, 32]}", "audio": "audio: {kind: cnn_lstm, channels: [8, 16]}"}


class Variant(NamedTuple):
    """One model."""

    family: str
    """Its placement; `alone` for a modality alone."""
    fusion: dict[str, Any]
    modalities: tuple[str, ...]
    width: int
    parameters: int

    @property
    def off(self) -> float:
        """Its parameters over the budget, minus one."""
        return self.parameters / BUDGET - 1


def variants() -> Iterator[Variant]:
    """All that can be built, in the order of the registry; a modality alone, pooled, comes last."""
    for placement in PLACEMENTS:
        for kind in FUSIONS:
            found = _nearest(placement, _fusion(kind), ("audio", "image"))
            if found is not None:
                yield found
    for modality in sorted(ENCODERS):
        found = _nearest(ALONE, _fusion("mean"), (modality,))
        assert found is not None
        yield found


def _fusion(kind: str) -> dict[str, Any]:
    """Two heads wherever a fusion has any, so that every even width will do."""
    return {"kind": kind, **({"num_heads": 2} if "num_heads" in FUSIONS[kind].config.model_fields else {})}


def _nearest(family: str, fusion: dict[str, Any], modalities: tuple[str, ...]) -> Variant | None:
    """The width that comes nearest to the budget; None when these parts do not go together."""
    try:
        # Parameters grow with the width: the first width at or over the budget, or the one below it.
        over = bisect_left(WIDTHS, BUDGET, key=lambda width: _count(family, fusion, modalities, width))
    except ValidationError:
        return None
    near = [WIDTHS[place] for place in (over - 1, over) if 0 <= place < len(WIDTHS)]
    parameters, width = min(((_count(family, fusion, modalities, width), width) for width in near), key=lambda pair: abs(pair[0] - BUDGET))
    variant = Variant(family, fusion, modalities, width, parameters)
    if abs(variant.off) > WITHIN:
        raise SystemExit(f"{variant}: {variant.off:+.1%} off the budget, and {WITHIN:.0%} is allowed; change BUDGET or WIDTHS")
    return variant


def _count(family: str, fusion: dict[str, Any], modalities: tuple[str, ...], width: int) -> int:
    from tasks.models.fused import build_model

    config = ModelConfig.model_validate(
        {
            "encoders": {modality: ENCODERS[modality] for modality in modalities},
            "fusion": fusion,
            "placement": "early" if family == ALONE else family,
            "heads": {"digit": "classification"},
            "width": width,
        }
    )
    return sum(parameter.numel() for parameter in build_model(config, SHAPES, LABELS).parameters())


def recipe(found: list[Variant]) -> str:
    """The text of recipe.yaml."""
    facts = {"models": len(found), "seeds": len(SEEDS), "budget": BUDGET, "within": WITHIN, "trainings": len(found) * len(SEEDS)}
    text = HEAD.format(**facts)
    for family in (*PLACEMENTS, *sorted(ENCODERS)):
        mine = [variant for variant in found if variant.family == family or (variant.family == ALONE and variant.modalities == (family,))]
        modalities = mine[0].modalities
        lines = [
            f"      - {{model.fusion: {_flow(variant.fusion)}, model.width: {variant.width}, seed: {seed}}}"
            for variant in mine
            for seed in SEEDS
        ]
        text += FAMILY.format(
            name=family,
            read="\n".join(READ[modality] for modality in modalities),
            encoders=f"      encoders: {{{', '.join(ENCODER_LINES[modality] for modality in modalities)}}}",
            placement="early" if family not in PLACEMENTS else family,
            variants="\n".join(lines),
        )
        if family in PLACEMENTS:
            text += BEST.format(name=family)
    return text


def _flow(fusion: dict[str, Any]) -> str:
    return f"{{{', '.join(f'{key}: {value}' for key, value in fusion.items())}}}"


def main(arguments: list[str]) -> None:
    found = list(variants())
    for variant in found:
        name = variant.fusion["kind"] if variant.family != ALONE else variant.modalities[0]
        print(f"{variant.family:8} {name:16} width {variant.width:3}  {variant.parameters:,} parameters  {variant.off:+.1%}")
    if "--write" in arguments:
        RECIPE.write_text(recipe(found), encoding="utf-8")
        print(f"{RECIPE} written: {len(found)} models, {len(SEEDS)} seeds")


if __name__ == "__main__":
    main(sys.argv[1:])
