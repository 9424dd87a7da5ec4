"""Trunks over a sequence of fused tokens: holes, lengths, and each beside torch's own layers.

Shape suffixes: B samples, T tokens, D width.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tasks.models.combinations import READ_A_SEQUENCE
from tasks.models.tokens import Tokens
from tasks.models.trunks import TRUNKS
from tasks.models.trunks.config import CnnTrunkConfig
from tasks.registry import implementation

WIDTH = 8


def trunk_of(kind: str, **settings_: Any) -> Any:
    torch.manual_seed(0)
    return implementation(TRUNKS, kind)(TRUNKS[kind].config(kind=kind, **settings_), WIDTH).eval()


def sequences(seed: int = 0, size: int = 3, count: int = 6) -> Tokens:
    """One valid token a sample and more, with holes."""
    generator = torch.Generator().manual_seed(seed)
    mask_BT = torch.rand(size, count, generator=generator) < 0.6
    mask_BT[:, 1] = True
    return Tokens(torch.randn(size, count, WIDTH, generator=generator), mask_BT).masked()


def valid(tokens: Tokens) -> list[Tensor]:
    """Sample by sample, its valid tokens in their order."""
    return [values_TD[mask_T] for values_TD, mask_T in zip(*tokens, strict=True)]


def test_packing_moves_valid_tokens_to_the_front_and_keeps_their_order() -> None:
    values_BTD = torch.arange(1.0, 5)[None, :, None]
    packed = Tokens(values_BTD, torch.tensor([[False, True, False, True]])).packed()
    assert packed.values_BTD.flatten().tolist() == [2, 4, 0, 0]
    assert packed.mask_BT.tolist() == [[True, True, False, False]]


@pytest.mark.parametrize("kind", TRUNKS)
@given(st.integers(0, 2**16), st.floats(-1e4, 1e4))
@settings(max_examples=8, deadline=None)
def test_holes_in_a_sequence_and_what_stands_there_have_no_influence(kind: str, seed: int, noise: float) -> None:
    trunk, (values_BTD, mask_BT) = trunk_of(kind), sequences(seed)
    dirty = trunk(Tokens(torch.where(mask_BT[..., None], values_BTD, noise), mask_BT))
    for sample, without_holes in enumerate(valid(Tokens(values_BTD, mask_BT))):
        alone = trunk(Tokens(without_holes[None], torch.ones(1, len(without_holes), dtype=torch.bool))).values_BTD[0]
        torch.testing.assert_close(valid(dirty)[sample], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", TRUNKS)
def test_the_table_of_combinations_knows_which_trunks_mix_tokens(kind: str) -> None:
    trunk, (values_BTD, _) = trunk_of(kind), sequences(size=1, count=3)
    whole = torch.ones(1, 3, dtype=torch.bool)
    changed_BTD = values_BTD.clone()
    changed_BTD[0, 2] += 1
    before, after = (trunk(Tokens(each, whole)).values_BTD[0, 1] for each in (values_BTD, changed_BTD))
    assert torch.equal(before, after) == (kind not in READ_A_SEQUENCE)


@pytest.mark.parametrize("kind", TRUNKS)
def test_a_sequence_of_one_token_goes_through(kind: str) -> None:
    given_ = Tokens(torch.randn(1, 1, WIDTH), torch.ones(1, 1, dtype=torch.bool))
    assert trunk_of(kind)(given_).values_BTD.isfinite().all()


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_an_rnn_equals_torchs_packed_one_over_the_valid_tokens(cell: str) -> None:
    trunk = trunk_of("rnn", cell=cell, layers=2, dropout=0.0)
    theirs = (nn.GRU if cell == "gru" else nn.LSTM)(WIDTH, WIDTH // 2, num_layers=2, batch_first=True, bidirectional=True)
    for layer in range(2):
        for suffix, cells in (("", trunk.recurrent.forwards), ("_reverse", trunk.recurrent.backwards)):
            for name, value in cells[layer].state_dict().items():
                getattr(theirs, f"{name[:-1]}{layer}{suffix}").data.copy_(value)
    packed = sequences().packed()
    run, _ = theirs(pack_padded_sequence(packed.values_BTD, packed.mask_BT.sum(1), batch_first=True, enforce_sorted=False))
    expected, _ = pad_packed_sequence(run, batch_first=True, total_length=packed.mask_BT.shape[1])
    found = trunk(sequences())
    torch.testing.assert_close(found.values_BTD[found.mask_BT], trunk.norm(expected)[packed.mask_BT])


def test_a_convolution_sees_its_neighbours_and_nothing_beyond_the_ends() -> None:
    trunk = trunk_of("cnn", layers=1, kernel_size=3)
    (layer,) = trunk.layers
    values_TD = torch.randn(4, WIDTH)
    normed = F.pad(layer.norm(values_TD), (0, 0, 1, 1))
    weight, bias = layer.convolve.weight, layer.convolve.bias
    expected = [
        values_TD[place] + F.gelu(sum(weight[..., offset] @ normed[place + offset] for offset in range(3)) + bias) for place in range(4)
    ]
    found = trunk(Tokens(values_TD[None], torch.ones(1, 4, dtype=torch.bool)))
    torch.testing.assert_close(found.values_BTD[0], torch.stack(expected))


def test_a_convolution_without_a_middle_is_refused_with_the_sizes_beside_it() -> None:
    with pytest.raises(ValidationError, match="needs to be odd, so that it has a middle; take 3 or 5"):
        CnnTrunkConfig(kernel_size=4)


def test_a_transformer_trunk_equals_torchs_encoder() -> None:
    trunk = trunk_of("transformer", layers=2, num_heads=2, expansion=3)
    for each in (trunk.blocks[0], trunk.blocks[1]):
        assert each.feed_forward.layers[1].out_features == 3 * WIDTH
    theirs = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(WIDTH, 2, 3 * WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=True),
        2,
        norm=nn.LayerNorm(WIDTH),
        enable_nested_tensor=False,
    )
    names = {
        "self_attn.in_proj_": "project_qkv.", "self_attn.out_proj.": "project_out.", "norm1.": "norm_attention.",
        "norm2.": "feed_forward.layers.0.", "linear1.": "feed_forward.layers.1.", "linear2.": "feed_forward.layers.3.",
    }  # fmt: skip
    ours = trunk.state_dict()
    theirs.load_state_dict(
        {
            **{f"layers.{n}.{a}{c}": ours[f"blocks.{n}.{b}{c}"] for n in range(2) for a, b in names.items() for c in ("weight", "bias")},
            **{f"norm.{c}": ours[f"norm.{c}"] for c in ("weight", "bias")},
        }
    )
    given_ = sequences()
    expected = theirs.train()(given_.values_BTD, src_key_padding_mask=~given_.mask_BT)
    torch.testing.assert_close(trunk(given_).values_BTD[given_.mask_BT], expected[given_.mask_BT])
