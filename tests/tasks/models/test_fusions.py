"""What every fusion promises beyond the contract of the registry, and each beside a formula worked out by hand on tiny tensors.

Shape suffixes: B samples, M modalities, T tokens, D width.
"""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from tasks.models.combinations import GIVE_ONE_TOKEN
from tasks.models.fusions import FUSIONS
from tasks.models.tokens import Tokens
from tests.tasks.models.fusing import MODALITIES, WIDTH, all_present, fusion_of, pooled, tokens

LEAVE_OUT = ("mean", "max", "weighted", "graph", "voting")
"""Fusions in which a missing modality has no part, not even its learned token."""
SUBSETS = [row for row in itertools.product([True, False], repeat=3) if any(row)]


@pytest.mark.parametrize("kind", FUSIONS)
@given(st.integers(0, 2**16), st.floats(-1e4, 1e4))
@settings(max_examples=8, deadline=None)
def test_masked_tokens_and_what_stands_there_have_no_influence(kind: str, seed: int, noise: float) -> None:
    fusion, clean = fusion_of(kind), tokens(seed=seed)
    dirty = {name: Tokens(torch.where(mask_BT[..., None], values_BTD, noise), mask_BT) for name, (values_BTD, mask_BT) in clean.items()}
    expected, found = fusion(clean, all_present()), fusion(dirty, all_present())
    torch.testing.assert_close(found.masked().values_BTD, expected.masked().values_BTD, rtol=1e-5, atol=1e-6)
    assert torch.equal(found.mask_BT, expected.mask_BT)


@pytest.mark.parametrize("kind", FUSIONS)
def test_longer_padding_changes_nothing(kind: str) -> None:
    fusion, short = fusion_of(kind), tokens()
    longer = {
        name: Tokens(F.pad(values_BTD, (0, 0, 0, 3), value=9.0), F.pad(mask_BT, (0, 3))) for name, (values_BTD, mask_BT) in short.items()
    }
    expected, found = fusion(short, all_present()).packed(), fusion(longer, all_present()).packed()
    torch.testing.assert_close(found.values_BTD[:, : expected.values_BTD.shape[1]], expected.values_BTD)
    assert torch.equal(found.mask_BT.sum(1), expected.mask_BT.sum(1))


@pytest.mark.parametrize("kind", FUSIONS)
def test_the_order_of_keys_means_nothing(kind: str) -> None:
    fusion, expected = fusion_of(kind), fusion_of(kind)(tokens(), all_present())
    for order in itertools.permutations(MODALITIES):
        found = fusion({name: tokens()[name] for name in order}, all_present())
        assert torch.equal(found.values_BTD, expected.values_BTD)


@pytest.mark.parametrize("kind", FUSIONS)
def test_a_sample_alone_is_fused_as_in_a_batch_whatever_it_has(kind: str) -> None:
    fusion, together = fusion_of(kind), tokens(len(SUBSETS))
    present_BM = torch.tensor(SUBSETS)
    expected = fusion(together, present_BM).masked()
    for place in range(len(SUBSETS)):
        alone = {
            name: Tokens(values_BTD[place : place + 1], mask_BT[place : place + 1]) for name, (values_BTD, mask_BT) in together.items()
        }
        found = fusion(alone, present_BM[place : place + 1]).masked()
        assert found.mask_BT.any()
        torch.testing.assert_close(found.values_BTD[0], expected.values_BTD[place])


@pytest.mark.parametrize("kind", FUSIONS)
def test_a_sample_without_any_modality_has_an_answer(kind: str) -> None:
    fused = fusion_of(kind)(tokens(), torch.zeros(3, 3, dtype=torch.bool))
    assert fused.mask_BT.any(1).all()
    assert fused.values_BTD.isfinite().all()


@pytest.mark.parametrize("kind", FUSIONS)
@pytest.mark.parametrize("row", SUBSETS)
def test_gradients_reach_the_tokens_of_every_present_modality(kind: str, row: tuple[bool, ...]) -> None:
    fusion, given_ = fusion_of(kind), tokens(1)
    for values_BTD, _ in given_.values():
        values_BTD.requires_grad_()
    weights = torch.linspace(-1, 2, WIDTH)  # a plain sum would vanish behind a layer norm
    (fusion(given_, torch.tensor([row])).mean_BD() * weights).sum().backward()
    for place, name in enumerate(MODALITIES):
        gradient = given_[name].values_BTD.grad
        assert gradient is not None
        if row[place]:
            assert gradient[0, 0].abs().max() > 1e-7, name
        elif kind in LEAVE_OUT:
            assert not gradient.any(), name


@pytest.mark.parametrize("kind", FUSIONS)
def test_the_table_of_combinations_knows_how_many_tokens_a_fusion_gives(kind: str) -> None:
    assert (fusion_of(kind)(tokens(), all_present()).values_BTD.shape[1] == 1) == (kind in GIVE_ONE_TOKEN)


@pytest.mark.parametrize("kind", [kind for kind in FUSIONS if kind not in ("film", "cross_attention")])
def test_a_fusion_of_a_single_modality_works(kind: str) -> None:
    fused = fusion_of(kind, ("text",))({"text": tokens()["text"]}, torch.ones(3, 1, dtype=torch.bool))
    assert fused.mask_BT.any(1).all()


def normed(values: torch.Tensor) -> torch.Tensor:
    return F.layer_norm(values, (WIDTH,))


def test_concat_mixes_the_pooled_vectors_in_one_layer() -> None:
    fusion = fusion_of("concat")
    together = torch.cat(pooled(fusion, tokens()), 1)
    mix = fusion.mix[0]
    expected = normed(F.gelu(together @ mix.weight.T + mix.bias))
    torch.testing.assert_close(fusion(tokens(), all_present()).values_BTD[:, 0], expected)


def test_attention_is_a_transformer_in_which_a_learned_query_gathers() -> None:
    fusion, given_ = fusion_of("attention"), tokens(1)
    values = [fusion.query_D[None], *(given_[name].values_BTD[0] + fusion.modality_MD[place] for place, name in enumerate(MODALITIES))]
    mask_T = torch.cat([torch.tensor([True]), *(given_[name].mask_BT[0] for name in MODALITIES)])
    valid_1TD = torch.cat(values)[mask_T][None]  # without the masked ones there is nothing to mask
    expected = fusion.norm(fusion.blocks[0](valid_1TD, torch.ones(1, valid_1TD.shape[1], dtype=torch.bool)))[:, :1]
    torch.testing.assert_close(fusion(given_, all_present(1)).values_BTD, expected)


def test_sum_mean_and_max_are_those_of_the_pooled_vectors() -> None:
    present_BM = torch.tensor([[True, True, True], [True, False, True], [False, True, False]])
    for kind in ("sum", "mean", "max"):
        fusion = fusion_of(kind)
        vectors = torch.stack(pooled(fusion.pool, tokens()), 1)
        kept = [vectors[row, mask_M] for row, mask_M in enumerate(present_BM)]
        expected = {
            "sum": vectors.sum(1),
            "mean": torch.stack([each.mean(0) for each in kept]),
            "max": torch.stack([each.max(0).values for each in kept]),
        }
        torch.testing.assert_close(fusion(tokens(), present_BM).values_BTD[:, 0], normed(expected[kind]))


def test_weights_of_absent_modalities_go_to_those_present() -> None:
    fusion = fusion_of("weighted")
    fusion.weight_M.data = torch.tensor([1.0, 2.0, 4.0]).log()
    audio, image, text = pooled(fusion.pool, tokens())
    found = fusion(tokens(), torch.tensor([[True, True, True], [True, False, True], [False, True, False]])).values_BTD[:, 0]
    expected = [(audio[0] + 2 * image[0] + 4 * text[0]) / 7, (audio[1] + 4 * text[1]) / 5, image[2]]
    torch.testing.assert_close(found, normed(torch.stack(expected)))


def test_gated_is_the_multimodal_unit_of_the_paper() -> None:
    fusion = fusion_of("gated")
    vectors = pooled(fusion.pool, tokens())
    together = torch.cat(vectors, 1)
    expected = torch.zeros(3, WIDTH)
    for place, vector in enumerate(vectors):
        rows = slice(place * WIDTH, (place + 1) * WIDTH)
        gate = torch.sigmoid(together @ fusion.gates.weight[rows].T + fusion.gates.bias[rows])
        expected = expected + gate * torch.tanh(vector @ fusion.states[place].weight.T + fusion.states[place].bias)
    torch.testing.assert_close(fusion(tokens(), all_present()).values_BTD[:, 0], expected)


def test_low_rank_equals_the_explicit_outer_product() -> None:
    fusion = fusion_of("low_rank", rank=3)
    fusion.bias_D.data.normal_()
    vectors = pooled(fusion.pool, tokens())
    a, b, c = (torch.cat([vector, torch.ones(3, 1)], 1) for vector in vectors)
    outer_BEFG = torch.einsum("be,bf,bg->befg", a, b, c)
    one, two, three = fusion.factor_MRED
    tensor_EFGD = torch.einsum("r,red,rfd,rgd->efgd", fusion.weight_R, one, two, three)
    expected = torch.einsum("befg,efgd->bd", outer_BEFG, tensor_EFGD) + fusion.bias_D
    torch.testing.assert_close(fusion.products_BD(torch.stack(vectors, 1)), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fusion(tokens(), all_present()).values_BTD[:, 0], normed(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("by", "others"), [(None, ("image", "text")), ("text", ("audio", "image"))])
def test_film_scales_and_shifts_the_tokens_of_the_others(by: str | None, others: tuple[str, ...]) -> None:
    fusion, given_ = fusion_of("film", by=by), tokens()
    (condition,) = pooled(fusion.pool, given_, (by or "audio",))
    expected = []
    for name, layer in zip(others, fusion.modulations, strict=True):
        scale, shift = layer(condition).split(WIDTH, 1)
        changed = given_[name].values_BTD * (1 + scale)[:, None] + shift[:, None]
        expected.append(changed * given_[name].mask_BT[..., None])
    found = fusion(given_, all_present())
    torch.testing.assert_close(found.values_BTD, torch.cat(expected, 1))
    assert torch.equal(found.mask_BT, torch.cat([given_[name].mask_BT for name in others], 1))


def test_sequence_keeps_every_token_and_marks_whose_it_is() -> None:
    fusion, given_ = fusion_of("sequence"), tokens()
    expected = torch.cat([given_[name].values_BTD + fusion.modality_MD[place] for place, name in enumerate(MODALITIES)], 1)
    found = fusion(given_, all_present())
    mask_BT = torch.cat([given_[name].mask_BT for name in MODALITIES], 1)
    assert torch.equal(found.mask_BT, mask_BT)
    torch.testing.assert_close(found.values_BTD, torch.where(mask_BT[..., None], expected, 0.0))


def test_a_cross_attention_block_equals_torchs_attention() -> None:
    fusion = fusion_of("cross_attention", num_heads=2)
    block = fusion.layers[0][0]
    theirs = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
    theirs.load_state_dict(
        {
            "in_proj_weight": torch.cat([block.project_query.weight, block.project_kv.weight]),
            "in_proj_bias": torch.cat([block.project_query.bias, block.project_kv.bias]),
            "out_proj.weight": block.project_out.weight,
            "out_proj.bias": block.project_out.bias,
        }
    )
    (asking_BTD, _), (asked_BSD, asked_BS) = tokens()["audio"], tokens()["text"]
    keys_BSD = block.norm_asked(asked_BSD)
    mixed_BTD, _ = theirs(block.norm_asking(asking_BTD), keys_BSD, keys_BSD, key_padding_mask=~asked_BS)
    torch.testing.assert_close(block(asking_BTD, asked_BSD, asked_BS), block.feed_forward(asking_BTD + mixed_BTD))


def test_with_cross_attention_nobody_attends_to_themselves() -> None:
    fusion, given_ = fusion_of("cross_attention"), tokens(1)
    given_["audio"].values_BTD.requires_grad_()
    fused = fusion(given_, all_present(1)).values_BTD
    (gradient,) = torch.autograd.grad(fused[0, 1].square().sum(), given_["audio"].values_BTD)
    touched = gradient[0].abs().amax(1) > 0
    assert touched.tolist() == [False, bool(given_["audio"].mask_BT[0, 1]), False, False, False]


def test_with_one_bottleneck_layer_a_modality_meets_the_others_in_the_shared_tokens_alone() -> None:
    fusion, given_ = fusion_of("bottleneck", layers=1, tokens=2), tokens()
    found = fusion(given_, all_present()).values_BTD
    each = []
    for block, name in zip(fusion.layers[0], MODALITIES, strict=True):
        values_BTD = torch.cat([fusion.bottleneck_KD.expand(3, -1, -1), given_[name].values_BTD], 1)
        each.append(block(values_BTD, torch.cat([torch.ones(3, 2, dtype=torch.bool), given_[name].mask_BT], 1))[:, :2])
    torch.testing.assert_close(found, fusion.norm((each[0] + each[1] + each[2]) / 3))


def test_a_second_bottleneck_layer_reads_what_the_first_averaged() -> None:
    two, one = fusion_of("bottleneck", layers=2, tokens=2), fusion_of("bottleneck", layers=1, tokens=2)
    one.load_state_dict({name: value for name, value in two.state_dict().items() if not name.startswith("layers.1")})
    given_, always = tokens(), torch.ones(3, 2, dtype=torch.bool)
    shared, values = two.bottleneck_KD.expand(3, -1, -1), [given_[name].values_BTD for name in MODALITIES]
    masks = [torch.cat([always, given_[name].mask_BT], 1) for name in MODALITIES]
    for layer in range(2):
        after = [two.layers[layer][place](torch.cat([shared, values[place]], 1), masks[place]) for place in range(3)]
        shared, values = sum(each[:, :2] for each in after) / 3, [each[:, 2:] for each in after]  # type: ignore[assignment]
    torch.testing.assert_close(two(given_, all_present()).values_BTD, two.norm(shared))
    assert not torch.equal(two(given_, all_present()).values_BTD, one(given_, all_present()).values_BTD)


def test_graph_passes_messages_node_by_node() -> None:
    fusion, given_ = fusion_of("graph", layers=2), tokens()
    present_BM = torch.tensor([[True, True, True], [True, False, True], [False, False, True]])
    found = fusion(given_, present_BM)
    assert torch.equal(found.mask_BT, present_BM)
    for sample, row_M in enumerate(present_BM):
        here = [place for place in range(3) if row_M[place]]
        nodes = {place: fusion.modality_MD[place] for place in here}
        leaves = {place: list(given_[MODALITIES[place]].values_BTD[sample][given_[MODALITIES[place]].mask_BT[sample]]) for place in here}
        for layer in range(2):
            to, before = fusion.to_modalities[layer], dict(nodes)
            for place in here:
                others = [before[other] for other in here if other != place]
                message = to.own.weight @ before[place] + to.own.bias + to.of_tokens.weight @ torch.stack(leaves[place]).mean(0)
                if others:
                    message = message + to.of_modalities.weight @ torch.stack(others).mean(0)
                nodes[place] = to.norm(before[place] + F.gelu(message))
            if layer == 0:
                down = fusion.to_tokens[0]
                for place in here:
                    told = down.of_modality.weight @ before[place]
                    leaves[place] = [down.norm(leaf + F.gelu(down.own.weight @ leaf + down.own.bias + told)) for leaf in leaves[place]]
        for place in range(3):
            expected = nodes[place] if place in nodes else torch.zeros(WIDTH)
            torch.testing.assert_close(found.values_BTD[sample, place], expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_linear_head_on_votes_is_an_average_of_heads_of_the_modalities(weighted: bool) -> None:
    fusion, head = fusion_of("voting", weighted=weighted), nn.Linear(WIDTH, 4)
    shares = torch.tensor([1.0, 2.0, 4.0]) if weighted else torch.ones(3)
    if weighted:
        fusion.weight_M.data = shares.log()
    present_BM = torch.tensor([[True, True, True], [True, False, True], [False, True, False]])
    found = head(fusion(tokens(), present_BM).mean_BD())
    vectors = pooled(fusion.pool, tokens())
    expected = torch.zeros(3, 4)
    for place, (norm, layer) in enumerate(fusion.layers):
        own = nn.Linear(WIDTH, 4)  # the modality's own head: the matrices multiplied
        own.weight.data, own.bias.data = head.weight @ layer.weight, head.weight @ layer.bias + head.bias
        expected = expected + (present_BM * shares)[:, place, None] * own(norm(vectors[place]))
    torch.testing.assert_close(found, expected / (present_BM * shares).sum(1, keepdim=True), rtol=1e-4, atol=1e-5)
