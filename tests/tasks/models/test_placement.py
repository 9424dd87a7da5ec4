"""Where the fusion stands relative to the trunk, and that nothing of it shows in a model of the usual kind."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from tasks.models.config import ModelConfig, parts
from tasks.models.contracts import Features
from tasks.models.fused import FusedModel, build_model
from tasks.models.fusions import FUSIONS
from tasks.models.tokens import Tokens
from tests.tasks.models.example import LABELS, SHAPES, config, inputs

ALL = torch.ones(4, 3, dtype=torch.bool)
STILL = {"dropout": 0.0}


def model(**changes: object) -> FusedModel:
    torch.manual_seed(0)
    return build_model(config(**changes), SHAPES, LABELS).eval()


def encoded(fused: FusedModel) -> dict[str, Tokens]:
    """What the encoders give, before any trunk of a modality."""
    branches, fused.branches = fused.branches, nn.ModuleDict()
    tokens = fused.encode(inputs(), ALL)
    fused.branches = branches
    return tokens


def behind_all(fused: Tokens) -> Features:
    """What heads see, of tokens behind fusion and trunk."""
    return Features({}, fused, ALL, ("audio", "image", "text"))


def test_early_is_the_usual_and_leaves_no_trace_in_config_key_or_weights() -> None:
    usual = config()
    assert usual == config(placement="early")
    assert not {"placement", "branch"} & set(usual.model_dump(mode="json"))
    assert set(parts(usual)) == {"encoders", "fusion", "trunk", "heads"}
    assert not any(name.startswith("branches") for name in model().state_dict())


def test_early_runs_the_trunk_on_what_was_fused() -> None:
    fused = model()
    tokens = fused.encode(inputs(), ALL)
    expected = fused.head("digit")(behind_all(fused.trunk(fused.fusion(tokens, ALL))))
    assert torch.equal(fused(inputs(), ALL)["digit"], expected)


def test_late_runs_a_trunk_of_its_own_on_each_modality_and_none_behind() -> None:
    fused = model(placement="late", trunk={"kind": "rnn", **STILL})
    assert isinstance(fused.trunk, nn.Identity)
    weights = [branch.state_dict()["recurrent.forwards.0.weight_ih_l0"] for branch in fused.branches.values()]
    assert len(weights) == 3
    assert not torch.equal(weights[0], weights[1])
    tokens = encoded(fused)
    behind = {name: fused.branches[f"{name}_"](tokens[name]).masked() for name in tokens}
    assert torch.equal(fused(inputs(), ALL)["digit"], fused.head("digit")(behind_all(fused.fusion(behind, ALL))))


def test_hybrid_has_trunks_on_both_sides_of_another_kind_where_branch_says_so() -> None:
    fused = model(placement="hybrid", branch={"kind": "transformer", **STILL})
    assert {type(branch).__name__ for branch in fused.branches.values()} == {"Transformer"}
    assert type(fused.trunk).__name__ == "Mlp"
    tokens = encoded(fused)
    behind = {name: fused.branches[f"{name}_"](tokens[name]).masked() for name in tokens}
    expected = fused.head("digit")(behind_all(fused.trunk(fused.fusion(behind, ALL))))
    assert torch.equal(fused(inputs(), ALL)["digit"], expected)
    assert parts(config(placement="hybrid", branch="rnn"))["branch"] == {"kind": "rnn", "version": 1}
    assert {type(branch).__name__ for branch in model(placement="hybrid").branches.values()} == {"Mlp"}


@pytest.mark.parametrize("placement", ["late", "hybrid"])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_works_at_every_place(fusion: str, placement: str) -> None:
    fused = model(fusion={"kind": fusion, **STILL}, placement=placement, branch={"kind": "cnn", **STILL} if placement == "hybrid" else None)
    present = torch.tensor([[True, True, True], [True, False, False]])
    outputs = fused(inputs(2), present)
    (outputs["digit"].square().sum() + outputs["height"].square().sum()).backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in fused.parameters())
    changed = inputs(2)
    changed["text"].values[1] = 3
    for name, output in fused(changed, present).items():
        torch.testing.assert_close(output[1], outputs[name][1], rtol=0, atol=0)


@pytest.mark.parametrize("placement", ["early", "late", "hybrid"])
def test_a_placement_survives_being_written_down(placement: str) -> None:
    chosen = config(placement=placement, branch={"kind": "rnn", "cell": "lstm"} if placement == "hybrid" else None)
    assert ModelConfig.model_validate(chosen.model_dump(mode="json")) == chosen
    assert ModelConfig.model_validate_json(chosen.model_dump_json()) == chosen


def test_an_unknown_placement_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValidationError, match=r"'early', 'late' or 'hybrid'"):
        config(placement="middle")


@pytest.mark.parametrize("kind", ["rnn", "cnn", "transformer"])
def test_a_trunk_over_the_sequence_of_all_tokens_is_one_line(kind: str) -> None:
    fused = model(fusion={"kind": "sequence", **STILL}, trunk={"kind": kind, **STILL})
    present = torch.tensor([[True, True, True], [True, False, True], [False, True, False], [True, True, False]])
    outputs = fused(inputs(), present)["digit"]
    tokens: dict[str, Tokens] = fused.encode(inputs(), present)
    assert fused.fusion(tokens, present).mask_BT.shape[1] == sum(each.mask_BT.shape[1] for each in tokens.values())
    assert all(not torch.equal(outputs[0], other) for other in outputs[1:])


@pytest.mark.parametrize("name", ["digit", "height"])
def test_the_heads_there_are_say_of_votes_the_mean_of_what_they_say_of_each(name: str) -> None:
    head = model(placement="late", fusion="voting").head(name)
    votes, voters = (
        torch.randn(4, 3, 16),
        torch.tensor([[True, True, True], [True, False, True], [False, True, False], [True, True, False]]),
    )
    alone = torch.stack([head(behind_all(Tokens(votes[:, place : place + 1], voters.new_ones(4, 1)))) for place in range(3)], 1)
    expected = [alone[sample, voters[sample]].mean(0) for sample in range(4)]
    torch.testing.assert_close(head(behind_all(Tokens(votes, voters))), torch.stack(expected))
