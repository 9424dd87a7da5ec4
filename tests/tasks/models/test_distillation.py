"""Distillation against its formula, a teacher that rests and is in no checkpoint, and heads that cannot learn from one."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import numpy as np
import pytest
import torch

from tasks.errors import InputError
from tasks.models.config import ModelConfig
from tasks.models.contracts import Setting
from tasks.models.fused import FusedModel, build_model
from tasks.models.heads import HEADS
from tasks.models.load import LoadedModel
from tasks.models.policies.config_teacher import COMPARED, DistillationConfig
from tasks.models.policies.distillation import DISTANCES, Distillation, taught_heads
from tasks.registry import implementation
from tests.tasks.models.example import LABELS, SHAPES, batch, config
from tests.tasks.models.test_policies_contract import ToyStep

ALONE: dict[str, Any] = {"encoders": {"image": {"kind": "cnn", "channels": [8, 8], "dropout": 0.0}}}
"""A student of the picture alone."""


def built(seed: int, **changes: Any) -> tuple[FusedModel, ModelConfig]:
    torch.manual_seed(seed)
    chosen = config(**changes)
    return build_model(chosen, SHAPES, LABELS), chosen


def policy(teacher: FusedModel, of: ModelConfig, student: FusedModel, **settings: Any) -> Distillation:
    loaded = LoadedModel(teacher, {}, LABELS, of, teacher.modalities, {})
    return Distillation(DistillationConfig(**settings), student, Setting(contextlib.nullcontext, teacher=loaded))


def log_softmax(given: Any) -> Any:
    return given - np.log(np.exp(given).sum(-1, keepdims=True))


def test_distances_are_those_of_the_formulas() -> None:
    (student, _), (teacher, of) = built(0, **ALONE), built(1, width=24)
    teaching = policy(teacher, of, student.eval(), temperature=3.0, features=0.5)
    given = batch(4)
    given.weight[-1] = 0.0
    with torch.no_grad():
        found = teaching.losses(given)
        ours = student.outputs(given.inputs, student.present_BM(given))
        theirs = teacher.eval().outputs(given.inputs, teacher.present_BM(given))
    p, q = (log_softmax(each.heads["digit"].double().numpy() / 3.0) for each in (theirs, ours))
    weight = given.weight.double().numpy()
    assert float(found["teacher/digit"].total) == pytest.approx(9.0 * (weight * (np.exp(p) * (p - q)).sum(-1)).sum(), rel=1e-4)
    numbers = (ours.heads["height"] - theirs.heads["height"]).double().numpy() ** 2
    assert float(found["teacher/height"].total) == pytest.approx((weight * numbers).sum(), rel=1e-4)
    assert teaching.project is not None
    with torch.no_grad():
        apart = (teaching.project(ours.features.fused.mean_BD()) - theirs.features.fused.mean_BD()).square().mean(-1)
    assert float(found["teacher/features"].total) == pytest.approx(float((apart * given.weight).sum()), rel=1e-4)
    assert all(float(found[name].weight) == 3.0 for name in ("teacher/digit", "teacher/height", "teacher/features"))


def test_a_number_is_compared_in_the_students_unit() -> None:
    (student, _), (teacher, of) = built(0), built(1)
    teacher.head("height").std.fill_(4.0)  # type: ignore[attr-defined]
    teacher.head("height").mean.fill_(11.0)  # type: ignore[attr-defined]
    given = batch(4)
    with torch.no_grad():
        found = policy(teacher, of, student.eval(), heads=("height",)).losses(given)
        ours = student.outputs(given.inputs, student.present_BM(given)).heads["height"] * 2.0 + 10.0
        theirs = teacher.eval().outputs(given.inputs, teacher.present_BM(given)).heads["height"] * 4.0 + 11.0
    assert float(found["teacher/height"].total) == pytest.approx(float(((ours - theirs) / 2.0).square().sum()), rel=1e-4)
    assert "teacher/digit" not in found


def test_alpha_shares_out_between_task_and_teacher() -> None:
    (student, _), (teacher, of) = built(0, heads={"digit": {"kind": "classification", "weight": 2.0}, "height": "regression"}), built(1)
    teaching = policy(teacher, of, student, alpha=0.25, features=0.5)
    means = {"digit": 1.0, "height": 10.0, "teacher/digit": 100.0, "teacher/height": 1000.0, "teacher/features": 10_000.0}
    total = teaching.total({name: torch.tensor(value) for name, value in means.items()}, 1.0)
    assert float(total) == pytest.approx(0.75 * (2 * 1 + 10) + 0.25 * (2 * 100 + 1000 + 0.5 * 10_000))
    assert float(total) == pytest.approx(sum(teaching.factors[name] * value for name, value in means.items()))


def test_the_teacher_rests_and_is_in_no_checkpoint_while_every_weight_of_the_student_learns() -> None:
    (student, _), (teacher, of) = built(0, **ALONE), built(1)
    teaching = policy(teacher, of, student, alpha=1.0, features=0.5).train()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    teaching.step(ToyStep(teaching), batch(6))
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())
    assert not teacher.training
    assert {name for name in teaching.state_dict() if not name.startswith("model.")} == {"project.weight", "project.bias"}
    sums = teaching(batch(6), teaching.losses)
    teaching.total({name: each.total for name, each in sums.items()}, 1.0).backward()
    assert all(parameter.grad is not None for name, parameter in teaching.named_parameters() if "missing" not in name)
    assert all(parameter.grad is None for parameter in teacher.parameters())


@pytest.mark.parametrize(
    ("settings", "heads", "sentence"),
    [
        (
            {"heads": ("size",)},
            {},
            "policy.heads: 'size' cannot learn from the teacher: the student has no such head; heads that can: digit",
        ),
        (
            {"heads": ("height",)},
            {"digit": "classification"},
            "policy.heads: 'height' cannot learn from the teacher: the teacher has no such head; it has: digit;",
        ),
        (
            {},
            {"tall": {"kind": "regression", "label": "height"}},
            (
                "policy 'distillation': no head can learn from the teacher: digit: the teacher has no such head; it has: tall; "
                "height: the teacher has no such head; it has: tall; take a teacher with digit or height, of the same kind"
            ),
        ),
    ],
)
def test_heads_that_cannot_learn_are_named(settings: dict[str, Any], heads: dict[str, Any], sentence: str) -> None:
    student, _ = built(0)
    torch.manual_seed(1)
    chosen = config(**({"heads": heads} if heads else {}))
    teacher = build_model(chosen, SHAPES, {**LABELS, "tall": LABELS["height"]})
    with pytest.raises(InputError, match=f"^{re.escape(sentence)}"):
        policy(teacher, chosen, student, **settings)


def test_the_kinds_that_a_recipe_is_checked_for_are_those_that_are_compared() -> None:
    assert {implementation(HEADS, kind) for kind in COMPARED} == set(DISTANCES)


def test_a_student_without_a_head_that_is_compared_is_not_told_to_look_for_a_teacher() -> None:
    sets = {"digit": {"kind": "multi_label"}}
    of_sets = {"digit": {"kind": "set", "classes": ["a", "b"], "separator": ";"}}
    one, other = (build_model(config(heads=sets), SHAPES, of_sets) for _ in range(2))
    with pytest.raises(InputError) as caught:
        taught_heads(DistillationConfig(), one, other)
    assert str(caught.value) == (
        "policy 'distillation': no head can learn from the teacher: digit: a head of the kind 'multi_label' is not compared, only "
        "classification and regression; give both a head classification or regression"
    )
