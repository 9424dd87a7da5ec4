"""Heads that learn from labels: losses and metrics beside torch, scikit-learn and closed forms; settings that are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.metrics import accuracy_score, f1_score
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from tasks.errors import LabelError
from tasks.models.heads.classification import Classification
from tasks.models.heads.config import ClassificationConfig
from tasks.models.heads.config_labels import LocalisationConfig, MultiLabelConfig, TaggingConfig
from tasks.models.heads.focal import binary_focal, focal_B
from tasks.models.heads.multi_label import MultiLabel
from tasks.models.heads.tagging import Tagging, TokenLogits, token_tags
from tests.tasks.models.example import LABELS
from tests.tasks.models.heading import features

CLASSES = ["a", "b", "c"]
SET: dict[str, Any] = {"kind": "set", "classes": CLASSES, "separator": ";"}
LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0], [-0.5, -0.5, 4.0], [60.0, -60.0, 0.0]])
CLASS_B = torch.tensor([0, 2, 1, 1])
TRUE = torch.tensor([[1.0, 0, 1], [0, 0, 1], [1, 1, 1], [0, 1, 0]])
ONES = torch.ones(4)


def multi_label(label: dict[str, Any] | None = None, **settings: Any) -> MultiLabel:
    return MultiLabel(MultiLabelConfig(**settings), "sounds", label or SET, 4)


def mean(loss: Any) -> Tensor:
    found: Tensor = loss.total / loss.weight
    return found


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_the_focal_loss_of_a_class_is_its_formula(gamma: float) -> None:
    p_B = LOGITS.double().softmax(1).gather(1, CLASS_B[:, None]).squeeze(1)
    torch.testing.assert_close(focal_B(LOGITS.double(), CLASS_B, gamma), -((1 - p_B) ** gamma) * p_B.log())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_focal_loss_with_gamma_0_is_cross_entropy(smoothing: float) -> None:
    torch.testing.assert_close(
        focal_B(LOGITS, CLASS_B, 0.0, smoothing), F.cross_entropy(LOGITS, CLASS_B, reduction="none", label_smoothing=smoothing)
    )
    torch.testing.assert_close(binary_focal(LOGITS, TRUE, 0.0), F.binary_cross_entropy_with_logits(LOGITS, TRUE, reduction="none"))


def test_the_binary_focal_loss_equals_torchvisions() -> None:
    torch.testing.assert_close(binary_focal(LOGITS, TRUE, 2.0), sigmoid_focal_loss(LOGITS, TRUE, alpha=-1, gamma=2.0))


def test_the_focal_loss_of_what_is_as_sure_as_can_be_has_a_gradient_that_is_a_number() -> None:
    for gamma in (0.5, 2.0):
        sure = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
        (focal_B(sure, torch.tensor([0]), gamma).sum() + binary_focal(sure, TRUE[:1], gamma).sum()).backward()
        assert sure.grad is not None
        assert sure.grad.isfinite().all()


def test_a_classification_takes_the_focal_loss_when_told() -> None:
    label = LABELS["digit"]
    usual = Classification(ClassificationConfig(), "digit", label, 4).loss(LOGITS, CLASS_B, ONES)
    focal = Classification(ClassificationConfig(loss="focal"), "digit", label, 4).loss(LOGITS, CLASS_B, ONES)
    torch.testing.assert_close(mean(usual), F.cross_entropy(LOGITS, CLASS_B))
    torch.testing.assert_close(mean(focal), focal_B(LOGITS, CLASS_B, 2.0).mean())


def test_a_config_that_says_nothing_new_is_written_as_before() -> None:
    assert ClassificationConfig().model_dump() == {"weight": 1.0, "kind": "classification", "label_smoothing": 0.0, "class_weights": {}}


@pytest.mark.parametrize("config", [ClassificationConfig, MultiLabelConfig])
def test_gamma_without_the_focal_loss_is_refused(config: Any) -> None:
    with pytest.raises(
        ValidationError, match=r"`gamma` \(1\) is of the focal loss, and `loss` is cross_entropy; set `loss: focal`, or leave"
    ):
        config(gamma=1.0)


def test_balanced_weights_of_a_classification_are_scikit_learns() -> None:
    counts = {"a": 6, "b": 3, "c": 1}
    head = Classification(ClassificationConfig(class_weights="balanced"), "digit", {**LABELS["digit"], "counts": counts}, 4)
    samples = [name for name, count in counts.items() for _ in range(count)]
    expected = compute_class_weight("balanced", classes=np.array(CLASSES), y=samples)
    torch.testing.assert_close(head.class_weight_K, torch.tensor(expected).float())


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_of_a_set_is_torchs_binary_cross_entropy(smoothing: float) -> None:
    found = multi_label(label_smoothing=smoothing).loss(LOGITS, TRUE, ONES)
    torch.testing.assert_close(mean(found), F.binary_cross_entropy_with_logits(LOGITS, TRUE * (1 - smoothing) + smoothing / 2))


def test_weights_of_classes_and_of_positives_go_in_as_in_torch() -> None:
    head = multi_label(class_weights={"a": 2.0, "c": 0.0}, positive_weights={"b": 3.0})
    weight_K, positive_K = torch.tensor([2.0, 1.0, 0.0]), torch.tensor([1.0, 3.0, 1.0])
    each = F.binary_cross_entropy_with_logits(LOGITS, TRUE, weight=weight_K, pos_weight=positive_K, reduction="none")
    torch.testing.assert_close(mean(head.loss(LOGITS, TRUE, ONES)), (each.sum(1) / weight_K.sum()).mean())


def test_balanced_positives_weigh_as_much_as_negatives() -> None:
    config = MultiLabelConfig(positive_weights="balanced")
    info = {"kind": "category", "values": [], "classes": ["a", "a;b", "", "c;b"], "counts": {"a": 4, "a;b": 2, "": 3, "c;b": 1}}
    label = config.described({**info, "column": "heard"})
    assert label == {**SET, "column": "heard", "counts": {"a": 6, "b": 3, "c": 1}, "samples": 10}
    head = MultiLabel(config, "sounds", label, 4)
    torch.testing.assert_close(head.positive_weight_K, torch.tensor([4 / 6, 7 / 3, 9.0]))


def test_samples_without_a_set_count_nothing() -> None:
    head, gap = multi_label(), TRUE.clone()
    gap[1] = torch.nan
    expected = head.loss(LOGITS[[0, 2, 3]], TRUE[[0, 2, 3]], torch.ones(3))
    torch.testing.assert_close(head.loss(LOGITS, gap, ONES), expected)
    torch.testing.assert_close(head.metrics(LOGITS, gap, ONES), head.metrics(LOGITS[[0, 2, 3]], TRUE[[0, 2, 3]], torch.ones(3)))


def test_metrics_of_a_set_equal_scikit_learns() -> None:
    found, said = multi_label().metrics(LOGITS, TRUE, ONES), (LOGITS >= 0).numpy()
    assert float(mean(found["f1"])) == pytest.approx(f1_score(TRUE.numpy(), said, average="micro"), abs=1e-6)
    assert float(mean(found["exact"])) == pytest.approx(accuracy_score(TRUE.numpy(), said), abs=1e-6)


def test_weights_that_leave_nothing_to_learn_are_refused() -> None:
    with pytest.raises(LabelError, match=r"all `class_weights` are 0, so that nothing is learned; leave one out, or give it more"):
        multi_label(class_weights=dict.fromkeys(CLASSES, 0.0))
    with pytest.raises(LabelError, match=r"`positive_weights` names 'd', no class of the label; classes: a, b, c"):
        multi_label(positive_weights={"d": 2.0})
    with pytest.raises(ValidationError, match=r"`class_weights` has a factor below 0; a factor is 0 or more"):
        multi_label(class_weights={"a": -1.0})


@pytest.mark.parametrize("config", [MultiLabelConfig(), TaggingConfig(of="text"), LocalisationConfig(of="audio")])
def test_a_label_of_numbers_stays_one_and_is_refused_by_the_head(config: Any) -> None:
    assert config.described({"kind": "number", "mean": 1.0}) == {"kind": "number", "mean": 1.0}
    with pytest.raises(LabelError, match=r"but its label is a number; use `kind: regression`, or make the label a category when ingesting"):
        multi_label(config.described({"kind": "number"}))


def test_a_label_without_any_class_is_refused() -> None:
    label = TaggingConfig(of="text").described({"kind": "category", "classes": ["", "  "]})
    with pytest.raises(LabelError, match=r"no sample of the split 'train' has a class in this label; leave the head out"):
        Tagging(TaggingConfig(of="text"), "pos", label, 4)


def test_tags_go_to_valid_tokens_in_their_order() -> None:
    mask_BT = torch.tensor([[True, False, True, True], [True, True, True, True], [True, False, False, False]])
    tags_BG = torch.tensor([[5, 6, 7], [1, -2, -1], [3, 4, 5]])
    found = token_tags(mask_BT, tags_BG, stretch=False)
    assert found.tolist() == [[5, -1, 6, 7], [1, -2, -1, -1], [3, -1, -1, -1]]


def test_stretched_tags_divide_the_tokens_evenly() -> None:
    mask_BT = torch.tensor([[True] * 6, [True] * 5 + [False], [True, False, True, False, False, False], [True] + [False] * 5])
    tags_BG = torch.tensor([[1, 2, 3, -1], [1, 2, -1, -1], [1, 2, 3, 4], [-1, -1, -1, -1]])
    found = token_tags(mask_BT, tags_BG, stretch=True)
    assert found[0].tolist() == [1, 1, 2, 2, 3, 3]
    assert found[1].tolist() == [1, 1, 2, 2, 2, -1]
    assert found[2].tolist() == [2, -1, 4, -1, -1, -1]
    assert found[3].tolist() == [-1] * 6


def tagging(**settings: Any) -> Tagging:
    torch.manual_seed(0)
    return Tagging(TaggingConfig(of="text", **settings), "pos", {"kind": "tags", "classes": CLASSES}, 16)


def test_the_loss_of_tags_is_each_samples_mean_over_its_tokens() -> None:
    logits_BTK = torch.randn(3, 4, 3, generator=torch.Generator().manual_seed(1))
    mask_BT = torch.tensor([[True, True, True, False], [True, True, True, True], [True, True, False, False]])
    tags_BG = torch.tensor([[0, 1, 2, -1], [2, -2, 1, 1], [-1, -1, -1, -1]])
    found = tagging().loss(TokenLogits(logits_BTK, mask_BT), tags_BG, torch.tensor([1.0, 2.0, 1.0]))
    first = F.cross_entropy(logits_BTK[0, :3], torch.tensor([0, 1, 2]))
    second = F.cross_entropy(logits_BTK[1, [0, 2, 3]], torch.tensor([2, 1, 1]))
    torch.testing.assert_close(found.total, first + 2 * second)
    assert found.weight == 3


def test_a_sample_that_lacks_the_modality_has_no_tags() -> None:
    head, given = tagging(), features()
    given.present_BM[0] = torch.tensor([True, True, False])
    tags_BG = torch.tensor([[0, 1, 2]] * 4)
    output = head(given)
    assert head.predict(output)[0].tolist() == [-1] * 4
    assert head.predict(output)[1].tolist() == [*output.logits_BTK[1, :3].argmax(-1).tolist(), -1]
    only_first = torch.tensor([1.0, 0, 0, 0])
    assert head.loss(output, tags_BG, only_first) == (0.0, 1.0)
    assert all(weight == 0 for _, weight in head.metrics(output, tags_BG, only_first).values())


def test_metrics_of_tags_count_tokens_and_tell_when_tags_and_tokens_do_not_match() -> None:
    logits_BTK = F.one_hot(torch.tensor([[0, 1, 2], [0, 0, 0]]), 3).float()
    mask_BT = torch.tensor([[True, True, True], [True, True, False]])
    found = tagging().metrics(TokenLogits(logits_BTK, mask_BT), torch.tensor([[0, 1, 1], [0, 0, 0]]), torch.ones(2))
    assert found["accuracy"] == (4.0, 5.0)
    assert found["matched"] == (1.0, 2.0)
