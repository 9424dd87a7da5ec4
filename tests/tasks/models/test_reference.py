"""Parts beside a reference implementation or a closed form, on tiny inputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tasks.errors import LabelError
from tasks.models.blocks import TransformerBlock
from tasks.models.encoders.cnn import Cnn
from tasks.models.encoders.config import CnnConfig
from tasks.models.encoders.recurrent import Recurrent
from tasks.models.heads.classification import Classification
from tasks.models.heads.config import ClassificationConfig, RegressionConfig
from tasks.models.heads.regression import Regression
from tasks.shards.label_arrays import number
from tests.tasks.models.example import LABELS


def test_a_bidirectional_gru_equals_torchs_packed_one() -> None:
    torch.manual_seed(0)
    ours = Recurrent(nn.GRU, 8, 2, True, 0.0)
    theirs = nn.GRU(8, 4, num_layers=2, batch_first=True, bidirectional=True)
    for layer in range(2):
        for suffix, cell in (("", ours.forwards[layer]), ("_reverse", ours.backwards[layer])):
            for name, value in cell.state_dict().items():
                getattr(theirs, f"{name[:-1]}{layer}{suffix}").data.copy_(value)
    values_BTD, lengths_B = torch.randn(3, 5, 8), torch.tensor([5, 1, 3])
    mask_BT = torch.arange(5) < lengths_B[:, None]
    packed, _ = theirs(pack_padded_sequence(values_BTD, lengths_B, batch_first=True, enforce_sorted=False))
    expected, _ = pad_packed_sequence(packed, batch_first=True)
    found = torch.where(mask_BT[..., None], ours(values_BTD, mask_BT), 0.0)
    torch.testing.assert_close(found, expected)


def test_a_transformer_block_equals_torchs_layer() -> None:
    torch.manual_seed(0)
    ours = TransformerBlock(8, 2, 0.0).eval()
    theirs = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, activation="gelu", batch_first=True, norm_first=True).eval()
    pairs = {
        "self_attn.in_proj_weight": ours.project_qkv.weight, "self_attn.in_proj_bias": ours.project_qkv.bias,
        "self_attn.out_proj.weight": ours.project_out.weight, "self_attn.out_proj.bias": ours.project_out.bias,
        "norm1.weight": ours.norm_attention.weight, "norm1.bias": ours.norm_attention.bias,
        "norm2.weight": ours.feed_forward.layers[0].weight, "norm2.bias": ours.feed_forward.layers[0].bias,
        "linear1.weight": ours.feed_forward.layers[1].weight, "linear1.bias": ours.feed_forward.layers[1].bias,
        "linear2.weight": ours.feed_forward.layers[3].weight, "linear2.bias": ours.feed_forward.layers[3].bias,
    }  # fmt: skip
    theirs.load_state_dict({name: value.detach() for name, value in pairs.items()})  # type: ignore[union-attr]
    values_BTD, mask_BT = torch.randn(2, 4, 8), torch.tensor([[True] * 4, [True, True, False, False]])
    expected = theirs.train()(values_BTD, src_key_padding_mask=~mask_BT)  # train mode takes the plain path; there is no dropout
    torch.testing.assert_close(ours(values_BTD, mask_BT)[mask_BT], expected[mask_BT])


def test_classification_loss_equals_torchs_with_weights_and_smoothing() -> None:
    config = ClassificationConfig(label_smoothing=0.0, class_weights={"b": 3.0})
    head = Classification(config, "digit", LABELS["digit"], 8)
    logits_BK, target_B = torch.randn(5, 3), torch.tensor([0, 1, 2, 1, 0])
    total, weight = head.loss(logits_BK, target_B, torch.ones(5))
    torch.testing.assert_close(total / weight, F.cross_entropy(logits_BK, target_B, weight=torch.tensor([1.0, 3.0, 1.0])))
    smooth = Classification(ClassificationConfig(label_smoothing=0.2), "digit", LABELS["digit"], 8)
    total, weight = smooth.loss(logits_BK, target_B, torch.ones(5))
    torch.testing.assert_close(total / weight, F.cross_entropy(logits_BK, target_B, label_smoothing=0.2))
    for loss in ({}, {"loss": "focal", "gamma": 0.0}):
        config = ClassificationConfig.model_validate({"label_smoothing": 0.2, "class_weights": {"b": 3.0, "a": 0.0}, **loss})
        total, weight = Classification(config, "digit", LABELS["digit"], 8).loss(logits_BK, target_B, torch.ones(5))
        weight_K = torch.tensor([0.0, 3.0, 1.0])
        torch.testing.assert_close(total / weight, F.cross_entropy(logits_BK, target_B, weight=weight_K, label_smoothing=0.2))


def test_class_weights_that_leave_nothing_to_learn_are_refused() -> None:
    config = ClassificationConfig(class_weights=dict.fromkeys("abc", 0.0))
    with pytest.raises(LabelError, match="all `class_weights` are 0, so that nothing is learned; leave one out, or give it more"):
        Classification(config, "digit", LABELS["digit"], 8)


def test_numbers_far_from_zero_are_learned_and_said_to_the_second() -> None:
    time_N = 1.7e9 + 30 * np.random.default_rng(0).standard_normal(1000)
    label = {"kind": "number", "mean": float(time_N.mean()), "std": float(time_N.std())}
    head, target_N = Regression(RegressionConfig(), "when", label, 8), torch.tensor(number(time_N, label))
    standardised_N = torch.tensor((time_N - time_N.mean()) / time_N.std(), dtype=torch.float32)
    assert float(head.loss(standardised_N, target_N, torch.ones(1000)).total) < 1e-6
    assert (head.predict(standardised_N).numpy() - time_N).max() < 1e-4
    assert float(head.metrics(standardised_N, target_N, torch.ones(1000))["mae"].total) < 1e-2


def test_accuracy_and_errors_are_those_counted_by_hand() -> None:
    head = Classification(ClassificationConfig(), "digit", LABELS["digit"], 8)
    logits_BK = torch.eye(3)[[0, 1, 2, 2]]
    total, weight = head.metrics(logits_BK, torch.tensor([0, 1, 0, -1]), torch.ones(4))["accuracy"]
    assert (float(total), float(weight)) == (2.0, 3.0)
    number = Regression(RegressionConfig(), "height", LABELS["height"], 8)
    metrics = number.metrics(torch.tensor([0.0, 1.0, 5.0]), torch.tensor([10.0, 10.0, torch.nan]), torch.ones(3))
    assert float(metrics["mae"].total) == 2.0
    assert float(metrics["mse"].total) == 4.0
    assert float(metrics["mae"].weight) == 2.0


def test_the_image_encoder_halves_as_far_as_the_picture_allows() -> None:
    for side, tokens in ((4, 16), (8, 16), (9, 16), (32, 16), (64, 16)):
        encoder = Cnn(CnnConfig(channels=(8, 8, 8)), {"channels": 3, "height": side, "width": side}, 8)
        values_BTD, _ = encoder(torch.randn(2, 3, side, side))
        assert values_BTD.shape == (2, tokens, 8), side
    wide = Cnn(CnnConfig(channels=(8,), grid=8), {"channels": 1, "height": 8, "width": 16}, 8)
    assert wide(torch.randn(1, 1, 8, 16)).values_BTD.shape == (1, 32, 8)
