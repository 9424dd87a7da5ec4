"""Every encoder in other forms than that of the contract: in bfloat16, and exported for batches of any size."""

from __future__ import annotations

import pytest
import torch
from torch.export import Dim

from tasks.models.encoders import ENCODERS
from tests.tasks.models.encoders.example import encoder, values

CASES = [(kind, entry.config.media[0]) for kind, entry in ENCODERS.items()]  # type: ignore[attr-defined]
SHORT = 9
ALIKE = {"lstm", "gru", "spectrogram_cnn", "cnn_lstm", "frame_cnn_lstm", "video_transformer", "vgg", "mlp"}
"""Kinds of the same layers as others, which are exported by default: each takes a second or two."""


@pytest.mark.parametrize(("kind", "medium"), CASES)
def test_in_bfloat16_it_gives_nearly_the_same(kind: str, medium: str) -> None:
    built, given = encoder(kind, medium), values(medium)
    expected = built(given.values, given.lengths).masked()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = built(given.values, given.lengths).masked()
    assert torch.equal(found.mask_BT, expected.mask_BT)
    torch.testing.assert_close(found.values_BTD.float(), expected.values_BTD, rtol=0, atol=0.1)


@pytest.mark.filterwarnings("ignore:The tensor attributes .*_flat_weights")  # torch's own, of its recurrent layers
@pytest.mark.parametrize(("kind", "medium"), [pytest.param(*case, marks=[pytest.mark.slow] * (case[0] in ALIKE)) for case in CASES])
def test_exported_once_it_takes_batches_of_any_size(kind: str, medium: str) -> None:
    built, given = encoder(kind, medium), values(medium)
    steps = SHORT if medium == "audio" else given.values.shape[1]  # recurrent layers are unrolled, step by step
    arguments = (given.values,) if given.lengths is None else (given.values[:, :steps], given.lengths.clamp(max=steps))
    size = Dim("B", min=1, max=64)
    exported = torch.export.export(built, arguments, dynamic_shapes=({0: size},) * len(arguments)).module()
    for number in (1, 4, 7):
        batch = tuple(torch.cat([argument, argument])[:number] for argument in arguments)
        expected, mask_BT = built(*batch)
        found = exported(*batch)
        assert torch.equal(found[1], mask_BT)
        torch.testing.assert_close(found[0], expected)
