"""The fused model: missing modalities, order, and the losses of its heads."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from tasks.contracts import ModalityBatch
from tasks.errors import InputError, LabelError
from tasks.models.batches import take
from tasks.models.config import ModelConfig, parts
from tasks.models.fused import FusedModel, build_model
from tasks.models.fusions import FUSIONS
from tasks.models.trunks import TRUNKS
from tests.tasks.models.example import LABELS, MODALITIES, SHAPES, batch, config, inputs


def model(**changes: object) -> FusedModel:
    torch.manual_seed(0)
    return build_model(config(**changes), SHAPES, LABELS).eval()


def present(*rows: str) -> torch.Tensor:
    """One row a sample, such as `ai` for audio and image."""
    return torch.tensor([[modality[0] in row for modality in MODALITIES] for row in rows])


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_missing_modality_has_no_influence_whatever_stands_in_its_place(fusion: str) -> None:
    fused, shown = model(fusion=fusion), present("ait", "at", "it", "t")
    expected = fused(inputs(), shown)
    changed = inputs()
    changed["image"].values[1] = torch.nan
    changed["image"].values[3] = 100.0
    changed["audio"].values[2:] = torch.inf
    for name, output in fused(changed, shown).items():
        torch.testing.assert_close(output, expected[name], rtol=0, atol=0)


def test_a_missing_modality_becomes_one_learned_token() -> None:
    fused = model()
    tokens = fused.encode(inputs(), present("ait", "at", "at", "at"))["image"]
    torch.testing.assert_close(tokens.values_BTD[1, 0], fused.missing["image_"])
    assert tokens.mask_BT.sum(1).tolist() == [tokens.mask_BT.shape[1], 1, 1, 1]
    assert not tokens.values_BTD[1, 1:].any()


def test_every_subset_of_modalities_gives_an_answer_of_its_own() -> None:
    fused = model()
    answers = [fused(inputs(1), present(row))["digit"] for row in ("ait", "ai", "at", "it", "a", "i", "t")]
    assert all(not torch.equal(one, other) for place, one in enumerate(answers) for other in answers[:place])


def test_a_sample_is_answered_alike_alone_and_in_a_batch() -> None:
    fused, given = model(), inputs()
    together = fused(given, present("ait", "ai", "t", "it"))
    one = {
        modality: ModalityBatch(many.values[2:3], None if many.lengths is None else many.lengths[2:3]) for modality, many in given.items()
    }
    for name, output in fused(one, present("t")).items():
        torch.testing.assert_close(output[0], together[name][2], rtol=1e-4, atol=1e-5)


def test_presence_follows_the_models_order_of_modalities() -> None:
    fused, given = model(), batch()
    shown = torch.tensor([[True, False, False]] * 4)
    turned = replace(given, present=shown, modalities=("text", "image", "audio"))
    assert fused.present_BM(turned).tolist() == [[False, False, True]] * 4


def test_losses_and_their_weights_agree_and_padding_counts_nothing() -> None:
    fused, given = model(), batch()
    given.weight[3] = 0
    given.labels["height"][0] = torch.nan
    outputs = fused.outputs(given.inputs, given.present)
    losses, weights = fused.losses(outputs, given), fused.loss_weight(given)
    assert {name: float(loss.weight) for name, loss in losses.items()} == {"digit": 3.0, "height": 2.0}
    assert {name: float(weight) for name, weight in weights.items()} == {"digit": 3.0, "height": 2.0}


def test_learned_weights_of_losses_go_to_the_closed_form() -> None:
    """exp(-s) L + s is least at s = log L, where every loss counts 1 (arXiv:1705.07115, without its halves)."""
    chosen = {"digit": "classification", "height": {"kind": "regression", "weight": 0.5}}
    fused = model(weighting="uncertainty", heads=chosen)
    assert fused.log_variances is not None
    means = {"digit": torch.tensor(3.0), "height": torch.tensor(0.4)}
    with torch.no_grad():
        fused.log_variances.copy_(torch.tensor([0.7, -0.2]))
    torch.testing.assert_close(fused.total(means, 1.0), torch.tensor(math.exp(-0.7) * 3 + 0.7 + math.exp(0.2) * 0.5 * 0.4 - 0.2))
    parts = [fused.total({name: value * share for name, value in means.items()}, share) for share in (0.25, 0.75)]
    torch.testing.assert_close(torch.stack(parts).sum(), fused.total(means, 1.0))
    optimizer = torch.optim.SGD([fused.log_variances], lr=0.3)
    for _ in range(200):
        fused.total(means, 1.0).backward()
        optimizer.step()
        optimizer.zero_grad()
    torch.testing.assert_close(fused.log_variances.detach(), torch.tensor([math.log(3.0), math.log(0.5 * 0.4)]))
    torch.testing.assert_close(fused.total(means, 1.0), torch.tensor(2 + math.log(3.0) + math.log(0.2)))


def test_losses_of_heads_that_lack_a_label_are_those_of_the_samples_that_have_it() -> None:
    fused, given = model(), batch()
    given.labels["digit"][:] = torch.tensor([1, -1, 0, -1])
    given.labels["height"][:] = torch.tensor([torch.nan, 11.0, torch.nan, 9.0])
    losses = fused.losses(fused.outputs(given.inputs, given.present), given)
    for name, rows in (("digit", [0, 2]), ("height", [1, 3])):
        some = take(given, rows)
        expected = fused.losses(fused.outputs(some.inputs, some.present), some)[name]
        torch.testing.assert_close(losses[name].total, expected.total)
        assert losses[name].weight == expected.weight == 2
    given.labels["height"][:] = torch.nan
    nothing = fused.losses(fused.outputs(given.inputs, given.present), given)["height"]
    assert (float(nothing.total.detach()), float(nothing.weight)) == (0.0, 0.0)
    nothing.total.backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in fused.parameters())


def test_predictions_are_probabilities_and_numbers_in_the_labels_unit() -> None:
    fused = model()
    predicted = fused.predict({"digit": torch.tensor([[0.0, 1.0, 2.0]]), "height": torch.tensor([1.5])})
    torch.testing.assert_close(predicted["digit"], torch.tensor([[0.0, 1.0, 2.0]]).softmax(-1))
    torch.testing.assert_close(predicted["height"], torch.tensor([13.0], dtype=torch.float64))


def test_labels_may_have_names_that_modules_use_themselves() -> None:
    chosen = config(heads={"type": "classification", "a.b": "classification"})
    fused = build_model(chosen, SHAPES, {"type": LABELS["digit"], "a.b": LABELS["digit"]})
    assert set(fused(inputs(), present("ait", "a", "i", "t"))) == {"type", "a.b"}


def test_the_same_seed_gives_the_same_weights() -> None:
    first, second = model().state_dict(), model().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


PARTS = [{"fusion": kind} for kind in FUSIONS] + [{"placement": "late", "trunk": kind} for kind in TRUNKS]


@pytest.mark.parametrize("changes", PARTS, ids=str)
def test_bfloat16_keeps_outputs_in_float32(changes: dict[str, str]) -> None:
    fused, shown = model(**changes), present("ait", "at", "it", "t")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = fused(inputs(), shown)
    assert {output.dtype for output in outputs.values()} == {torch.float32}
    for name, exact in fused(inputs(), shown).items():
        torch.testing.assert_close(outputs[name], exact, rtol=0.05, atol=0.05)


def test_a_head_without_its_label_names_those_there_are() -> None:
    with pytest.raises(LabelError, match=r"head 'digits' has no label.*did you mean 'digit'\?; labels there are: digit, height"):
        build_model(config(heads={"digits": "classification"}), SHAPES, LABELS)


@pytest.mark.parametrize(
    ("label", "kind", "way_out"), [("digit", "regression", "classification"), ("height", "classification", "regression")]
)
def test_a_head_of_the_other_kind_than_its_label_is_refused(label: str, kind: str, way_out: str) -> None:
    with pytest.raises(LabelError, match=f"use `kind: {way_out}`"):
        build_model(config(heads={label: kind}), SHAPES, LABELS)


def test_a_label_that_training_never_saw_is_refused() -> None:
    with pytest.raises(LabelError, match="no sample of the split 'train' carries this label"):
        build_model(config(heads={"digit": "classification"}), SHAPES, {"digit": {"kind": "category", "values": ["a"], "classes": []}})


def test_an_encoder_for_another_medium_is_refused() -> None:
    with pytest.raises(InputError, match="encoder 'gru' needs vocab_size"):
        build_model(config(encoders={"image": "gru"}), SHAPES, LABELS)


def test_a_width_that_the_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`width` \(18\) is not a multiple of the fusion's `num_heads` \(4\)"):
        config(width=18)


def test_parts_name_the_version_of_each_entry_and_the_digest_of_the_users_own() -> None:
    own = "tests.tasks.models.own:Mean"
    chosen = config(encoders={"image": {"kind": own, "scale": 2.0}, "text": "gru"})
    found = parts(chosen)["encoders"]
    assert found["text"] == {"kind": "gru", "version": 1}
    assert found["image"]["kind"] == own
    assert len(found["image"]["source"]) == 64


def test_an_encoder_of_the_users_own_works_like_ours() -> None:
    chosen = config(encoders={"image": {"kind": "tests.tasks.models.own:Mean", "scale": 2.0}})
    fused = build_model(chosen, SHAPES, LABELS)
    assert fused({"image": inputs()["image"]}, torch.ones(4, 1, dtype=torch.bool))["digit"].shape == (4, 3)
    assert ModelConfig.model_validate(chosen.model_dump(mode="json")) == chosen
