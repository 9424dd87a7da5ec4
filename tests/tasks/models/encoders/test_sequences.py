"""Encoders of sound, sensors and video beside torchaudio's, and what each step may see."""

from __future__ import annotations

import pytest
import torch
import torchaudio
from torch import Tensor, nn

from tasks.errors import InputError
from tasks.models.encoders.conformer import ConformerBlock
from tests.tasks.models.encoders.example import SHAPES, encoder, values


class OverChannels(nn.Module):
    """Layer norm of BDT: what we have in place of the batch norm of torchaudio's convolution."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, values_BDT: Tensor) -> Tensor:
        normed_BDT: Tensor = self.norm(values_BDT.transpose(1, 2)).transpose(1, 2)
        return normed_BDT


def test_a_conformer_block_equals_torchaudios_with_layer_norm_in_its_convolution() -> None:
    torch.manual_seed(0)
    ours = ConformerBlock(8, 2, 3, 5, 0.0).eval()
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.5)
    theirs = torchaudio.models.Conformer(8, 2, 24, 1, 5, dropout=0.0).conformer_layers[0].eval()
    for ffn, mine in ((theirs.ffn1, ours.before), (theirs.ffn2, ours.after)):
        ffn.sequential.load_state_dict(mine.state_dict())
    attention = theirs.self_attn
    attention.load_state_dict(
        {
            "in_proj_weight": ours.project_qkv.weight, "in_proj_bias": ours.project_qkv.bias,
            "out_proj.weight": ours.project_out.weight, "out_proj.bias": ours.project_out.bias,
        }
    )  # fmt: skip
    convolution = theirs.conv_module
    theirs.self_attn_layer_norm.load_state_dict(ours.norm_attention.state_dict())
    theirs.final_layer_norm.load_state_dict(ours.norm.state_dict())
    convolution.layer_norm.load_state_dict(ours.norm_convolution.state_dict())
    for place, mine in ((0, ours.expand), (5, ours.contract)):
        convolution.sequential[place].weight.data.copy_(mine.weight[..., None])
        convolution.sequential[place].bias.data.copy_(mine.bias)
    convolution.sequential[2].load_state_dict(ours.depthwise.state_dict())
    convolution.sequential[3] = OverChannels(ours.norm_depthwise)
    values_BTD = torch.randn(3, 7, 8)
    expected = theirs(values_BTD.transpose(0, 1), None).transpose(0, 1)
    torch.testing.assert_close(ours(values_BTD, torch.ones(3, 7, dtype=torch.bool)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("causal", [True, False])
def test_a_causal_network_sees_nothing_of_what_comes_later(causal: bool) -> None:
    built, steps = encoder("tcn", "sensor", causal=causal), torch.randn(1, 12, 5)
    changed = steps.clone()
    changed[:, 8:] += 1
    same = (built(steps).values_BTD == built(changed).values_BTD).all(-1)[0]
    assert same[:8].all() == causal
    assert not same[8:].any()


def test_a_tcn_sees_twice_as_far_with_each_layer() -> None:
    for layers, reach in ((1, 2), (2, 6), (3, 14)):
        built, steps = encoder("tcn", "sensor", layers=layers), torch.randn(1, 40, 5)
        changed = steps.clone()
        changed[:, 0] += 1
        differs = (built(steps).values_BTD != built(changed).values_BTD).any(-1)[0]
        assert int(differs.nonzero().max()) == reach


@pytest.mark.parametrize(("kind", "tokens"), [("spectrogram_cnn", 5), ("cnn_lstm", 10), ("crnn", 40), ("conformer", 10), ("lstm", 40)])
def test_how_many_tokens_forty_frames_give(kind: str, tokens: int) -> None:
    assert encoder(kind, "audio")(torch.randn(1, 40, 12)).mask_BT.shape == (1, tokens)


def test_a_waveform_is_taken_with_and_without_its_last_dimension() -> None:
    built, given = encoder("waveform_cnn", "waveform"), values("waveform")
    expected = built(given.values, given.lengths)
    assert expected.mask_BT.sum(1).tolist() == [2, 1, 1, 1]
    assert torch.equal(built(given.values[..., 0], given.lengths).values_BTD, expected.values_BTD)


def test_a_waveform_encoder_says_how_sound_becomes_a_waveform(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="given 12 features; set `features: waveform`"):
        encoder("waveform_cnn", "audio")
    with pytest.raises(ValueError, match="2 `channels` and 4 `strides`"):
        encoder("waveform_cnn", "waveform", channels=[8, 8])


def test_how_many_tokens_six_frames_of_video_give() -> None:
    given = values("video")
    for kind, counts in (("frame_cnn_lstm", [6, 1, 3, 2]), ("video_transformer", [6, 1, 3, 2]), ("cnn_3d", [12, 4, 8, 4])):
        assert encoder(kind, "video")(given.values, given.lengths).mask_BT.sum(1).tolist() == counts, kind


def test_a_video_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="patches of 5 pixels do not divide frames of 16 by 16"):
        encoder("video_transformer", "video", patch=5)
    monkeypatch.setitem(SHAPES, "video", {"frames": 2, "channels": 3, "height": 2, "width": 16})
    with pytest.raises(InputError, match="'frame_cnn_lstm' takes images of 4 pixels a side and more, given 2 by 16"):
        encoder("frame_cnn_lstm", "video")


def test_the_order_of_frames_matters() -> None:
    video, turned = values("video").values[:1], values("video").values[:1].flip(1)
    for kind in ("frame_cnn_lstm", "cnn_3d", "video_transformer"):
        built = encoder(kind, "video")
        assert not torch.allclose(built(video).values_BTD.mean(1), built(turned).values_BTD.mean(1), atol=1e-5), kind
