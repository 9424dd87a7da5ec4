"""The multimodal autoencoder against closed forms: product of experts, divergence, views, and the bound itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import distributions
from torch.nn import functional as F

from tasks.contracts import ModalityBatch
from tasks.errors import InputError
from tasks.models.objectives.fixed_views import FixedView, segments_BSF
from tasks.models.objectives.gaussians import divergence_B, product
from tasks.models.objectives.multimodal_vae import MultimodalVae
from tests.tasks.models.example import batch
from tests.tasks.models.objectives.made import model_with


def test_a_product_of_experts_is_the_normalised_product_of_their_densities() -> None:
    mean, log_variance = torch.tensor([[[0.7], [-1.2], [9.0]]]), torch.tensor([[[-0.5], [0.3], [-3.0]]])
    found_mean, found_log_variance = product(mean, log_variance, torch.tensor([[True, True, False]]))
    grid = np.linspace(-12, 12, 200_001)
    density = np.exp(-(grid**2) / 2)
    for place in (0, 1):
        centre, variance = float(mean[0, place, 0]), float(log_variance[0, place, 0].exp())
        density *= np.exp(-((grid - centre) ** 2) / (2 * variance))
    density /= density.sum()
    centre = (grid * density).sum()
    assert float(found_mean) == pytest.approx(centre, abs=1e-6)
    assert float(found_log_variance.exp()) == pytest.approx((((grid - centre) ** 2) * density).sum(), abs=1e-6)


def test_without_any_expert_the_product_is_the_prior_and_as_far_from_it_as_it_is() -> None:
    mean, log_variance = product(torch.randn(2, 3, 4), torch.randn(2, 3, 4), torch.zeros(2, 3, dtype=torch.bool))
    assert torch.equal(mean, torch.zeros(2, 4))
    assert torch.equal(log_variance, torch.zeros(2, 4))
    assert torch.equal(divergence_B(mean, log_variance), torch.zeros(2))


def test_the_divergence_is_that_of_torch() -> None:
    torch.manual_seed(0)
    mean, log_variance = torch.randn(5, 7), torch.randn(5, 7)
    normal = distributions.Normal(mean, (log_variance / 2).exp())
    expected = distributions.kl_divergence(normal, distributions.Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(divergence_B(mean, log_variance), expected)


@pytest.mark.parametrize("length", [1, 3, 7, 8, 21])
def test_parts_of_a_sound_are_cut_as_torch_cuts_and_padding_has_no_influence(length: int) -> None:
    torch.manual_seed(0)
    values = torch.randn(2, 25, 3)
    mask = (torch.arange(25) < length).expand(2, 25)
    expected = F.adaptive_avg_pool1d(values[:, :length].transpose(1, 2), 8).transpose(1, 2)
    torch.testing.assert_close(segments_BSF(values, mask, 8), expected)


def test_views_are_what_the_input_says_in_so_many_numbers() -> None:
    words = FixedView("text", {"vocab_size": 5, "max_tokens": 4}, 8)
    assert words.of(ModalityBatch(torch.tensor([[1, 1, 4, 0]]), torch.tensor([3]))).tolist() == [[0, 2, 0, 0, 1]]
    said = torch.randn(1, 5)
    torch.testing.assert_close(
        words.surprise_B(said, torch.tensor([[0.0, 2, 0, 0, 1]])), F.cross_entropy(said.expand(3, 5), torch.tensor([1, 1, 4])).view(1) * 3
    )
    picture = FixedView("image", {"channels": 1, "height": 4, "width": 2}, 2)
    assert picture.of(ModalityBatch(torch.arange(8.0).view(1, 1, 4, 2))).tolist() == [[1.0, 2.0, 5.0, 6.0]]
    assert picture.surprise_B(torch.zeros(1, 4), torch.tensor([[1.0, 2.0, 0.0, 0.0]])).tolist() == [2.5]
    video = FixedView("video", {"frames": 3, "channels": 1, "height": 2, "width": 2}, 1)
    frames = torch.stack([torch.full((1, 2, 2), float(at)) for at in (1, 3, 99)])[None]
    assert video.of(ModalityBatch(frames, torch.tensor([2]))).tolist() == [[2.0]]


def test_a_medium_that_no_decoder_says_is_refused_with_a_way_out() -> None:
    with pytest.raises(InputError, match=r"no decoder for table, whose reader gives numbers, categories; .* name others in `between`"):
        FixedView("table", {"numbers": 3, "categories": 0}, 8)


def test_the_loss_is_minus_the_bound_of_all_and_of_each_for_each_number() -> None:
    fused, given = model_with("multimodal_vae", between=["image", "text"], dim=4, cells=2), batch(3)
    given.present[1] = torch.tensor([True, False, True])
    given.weight[2] = 0
    vae: Any = fused.objective("aligned")
    assert isinstance(vae, MultimodalVae)
    outputs = fused.outputs(given.inputs, given.present)
    found = vae(outputs, given)
    numbers = 3 * 2 * 2 + 6
    expected = 0.0
    for sample in (0, 1):
        bounds = []
        for names in (("image", "text"), ("image",), ("text",)):
            names = tuple(name for name in names if sample == 0 or name == "text")
            if not names:
                continue
            precision, weighted = torch.ones(4), torch.zeros(4)
            for name in names:
                mean, log_variance = vae.experts[f"{name}_"](outputs.features.towers[name].mean_BD()[sample]).chunk(2)
                precision, weighted = precision + (-log_variance).exp(), weighted + mean * (-log_variance).exp()
            normal = distributions.Normal(weighted / precision, precision.rsqrt())
            bound = distributions.kl_divergence(normal, distributions.Normal(torch.zeros(4), torch.ones(4))).sum()
            for name in names:
                said = vae.decoders[f"{name}_"](normal.mean)
                if name == "image":
                    view = F.adaptive_avg_pool2d(given.inputs["image"].values[sample], 2).flatten()
                    bound = bound + (said - view).square().sum() / 2
                else:
                    length = int(given.inputs["text"].lengths[sample])
                    bound = bound - said.log_softmax(-1)[given.inputs["text"].values[sample, :length]].sum()
            bounds.append(bound)
        expected += float(torch.stack(bounds).mean().detach()) / numbers
    assert float(found.total.detach()) == pytest.approx(expected, rel=1e-5)
    assert found.weight == 2


def test_the_latent_is_drawn_in_training_alone_and_beta_rises_in_training_alone() -> None:
    fused, given = model_with("multimodal_vae", warmup=0.5), batch(3)
    still = [float(_loss(fused, given, seed)) for seed in (0, 1)]
    assert still[0] == still[1]
    fused.train()
    drawn = [float(_loss(fused, given, seed)) for seed in (0, 1)]
    assert drawn[0] != drawn[1]
    vae: Any = fused.objective("aligned")
    assert [vae._beta() for done in (0.0, 0.25, 0.5, 1.0) if not fused.advance(done)] == [0.0, 0.5, 1.0, 1.0]
    fused.advance(0.0)
    assert vae.eval()._beta() == 1.0


def test_a_decoder_says_a_modality_that_a_sample_lacks_better_after_training_than_the_mean_does() -> None:
    """Text names a brightness and the picture has it: from text alone, the picture is said."""
    torch.manual_seed(0)
    fused = model_with("multimodal_vae", between=["image", "text"], dim=4, cells=2, beta=0.1).train()
    optimizer = torch.optim.AdamW(fused.parameters(), lr=1e-2)
    given = batch(12)
    shades = torch.arange(12) % 4 - 1.5
    given.inputs["image"].values[:] = shades[:, None, None, None]
    given.inputs["text"].values[:] = (torch.arange(12) % 4)[:, None]
    for step in range(100):
        torch.manual_seed(step)
        loss = fused.objective("aligned")(fused.outputs(given.inputs, given.present), given)
        (loss.total / loss.weight).backward()
        optimizer.step()
        optimizer.zero_grad()
    vae: Any = fused.eval().objective("aligned")
    towers = fused.outputs(given.inputs, given.present).features.towers
    mean, log_variance = vae.experts["text_"](towers["text"].mean_BD()).chunk(2, dim=-1)
    latent, _ = product(mean[:, None], log_variance[:, None], torch.ones(12, 1, dtype=torch.bool))
    error = (vae.decoders["image_"](latent).mean(-1) - shades).square().mean()
    assert error < 0.3 * shades.square().mean()


def _loss(fused: Any, given: Any, seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    total: torch.Tensor = fused.objective("aligned")(fused.outputs(given.inputs, given.present), given).total
    return total.detach()
