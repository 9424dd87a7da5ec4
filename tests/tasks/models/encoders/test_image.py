"""Encoders of pictures: sizes, torchvision's own answers, boxes, and weights from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from tasks.errors import InputError
from tasks.models.encoders.config_image import RegionsConfig, ResNetConfig, VitConfig
from tasks.models.encoders.regions import Regions, overlapping
from tasks.models.encoders.resnet import ResNet
from tests.tasks.models.encoders.example import SHAPES, encoder, values

VIT = {"patch": 8, "layers": 1, "num_heads": 2, "hidden": 16, "feed_forward": 32}


def saved(model: nn.Module, path: Path) -> str:
    """A state dict as torchvision hands it out, or as safetensors."""
    if path.suffix == ".pth":
        torch.save(model.state_dict(), path)
    else:
        save_file(model.state_dict(), path)
    return str(path)


def vit_of_torchvision() -> nn.Module:
    torch.manual_seed(3)
    return torchvision.models.VisionTransformer(32, 8, 1, 2, 16, 32)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_vit_with_weights_from_a_file_sees_what_torchvisions_sees(tmp_path: Path, suffix: str) -> None:
    theirs, image = vit_of_torchvision().eval(), values("image").values
    ours = encoder("vit", "image", weights=saved(theirs, tmp_path / f"vit{suffix}"), **VIT)
    ours.load_pretrained(None)
    seen: list[torch.Tensor] = []
    theirs.encoder.register_forward_hook(lambda module, given, output: seen.append(output))  # type: ignore[union-attr]
    theirs(image)
    ours.body.encoder.register_forward_hook(lambda module, given, output: seen.append(output))
    ours(image)
    assert torch.equal(seen[0], seen[1])


def test_a_resnet_with_weights_keeps_their_statistics_and_gives_torchvisions_map(tmp_path: Path) -> None:
    torch.manual_seed(1)
    theirs = torchvision.models.resnet18()
    theirs(torch.randn(4, 3, 32, 32))  # so that the statistics are not those of the beginning
    ours = encoder("resnet", "image", weights=saved(theirs, tmp_path / "resnet18.pth"))
    ours.load_pretrained(None)
    image = values("image").values
    headless = nn.Sequential(*list(theirs.eval().children())[:-2])
    seen: list[torch.Tensor] = []
    ours.body.layer4.register_forward_hook(lambda module, given, output: seen.append(output))
    ours.train()(image)
    torch.testing.assert_close(seen[0], headless(image), rtol=1e-4, atol=1e-5)


def test_a_resnet_of_random_weights_has_no_batch_norm() -> None:
    assert not [layer for layer in encoder("resnet", "image").modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]


def test_a_vgg_takes_torchvisions_weights_without_the_classifier(tmp_path: Path) -> None:
    ours = encoder("vgg", "image", weights=str(tmp_path / "vgg.safetensors"))
    wanted = {name: torch.full_like(value, 0.5) for name, value in ours.body.state_dict().items()}
    save_file({**wanted, "classifier.0.weight": torch.zeros(2)}, tmp_path / "vgg.safetensors")
    ours.load_pretrained(None)
    assert all(torch.equal(value, wanted[name]) for name, value in ours.body.state_dict().items())


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda weights: weights.pop("class_token"), "class_token is missing"),
        (lambda weights: weights.update(extra=torch.zeros(1)), "extra is not a part of this model"),
        (lambda weights: weights.update(class_token=torch.zeros(1, 1, 9)), r"class_token has shape \[1, 1, 9\], needs \[1, 1, 16\]"),
    ],
)
def test_weights_of_another_architecture_are_refused_with_what_does_not_fit(tmp_path: Path, change: Any, problem: str) -> None:
    weights = vit_of_torchvision().state_dict()
    change(weights)
    save_file(weights, tmp_path / "vit.safetensors")
    with pytest.raises(InputError, match=problem):
        encoder("vit", "image", weights=str(tmp_path / "vit.safetensors"), **VIT).load_pretrained(None)


class Sly:
    def __reduce__(self) -> Any:
        return (print, ("loaded",))


def test_a_file_that_holds_more_than_tensors_is_not_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"class_token": Sly()}, tmp_path / "sly.pth")
    with pytest.raises(InputError, match="holds more than tensors"):
        encoder("vit", "image", weights=str(tmp_path / "sly.pth"), **VIT).load_pretrained(None)
    assert not capsys.readouterr().out


@pytest.mark.parametrize("name", ["torn.pth", "torn.safetensors"])
def test_a_damaged_or_missing_file_is_told(tmp_path: Path, name: str) -> None:
    built = encoder("vit", "image", weights=str(tmp_path / name), **VIT)
    with pytest.raises(InputError, match=r"there is no such file"):
        built.load_pretrained(None)
    (tmp_path / name).write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(InputError, match=r"torn\.\w+: (cannot be read|holds more than tensors)"):
        built.load_pretrained(None)


@pytest.mark.parametrize(
    ("kind", "given", "shape", "problem"),
    [
        ("vgg", {}, (24, 40), "takes 32 pixels a side and more, given 24 by 40"),
        ("vit", {}, (32, 16), "takes square pictures, given 32 by 16"),
        ("vit", {"patch": 5}, (32, 32), "`patch` may be 1, 2, 4, 8, 16, 32"),
        ("regions", {}, (3, 32), "takes images of 4 pixels a side and more, given 3 by 32"),
    ],
)
def test_a_picture_that_does_not_fit_is_refused(
    monkeypatch: pytest.MonkeyPatch, kind: str, given: dict[str, Any], shape: tuple[int, int], problem: str
) -> None:
    monkeypatch.setitem(SHAPES, "image", {"channels": 3, "height": shape[0], "width": shape[1]})
    with pytest.raises(InputError, match=problem):
        encoder(kind, "image", **given)


def test_sizes_that_contradict_each_other_are_refused_when_the_recipe_is_read() -> None:
    with pytest.raises(ValueError, match=r"`hidden` \(10\) is not a multiple of `num_heads` \(4\)"):
        VitConfig(hidden=10)
    with pytest.raises(ValueError, match="left < right and top < bottom"):
        RegionsConfig(boxes=((0.5, 0.0, 0.5, 1.0),))


def test_a_grey_picture_is_seen_like_the_same_picture_in_colour() -> None:
    image = values("image").values[:, :1]
    for kind in ("resnet", "vit"):
        built = encoder(kind, "image")
        assert torch.equal(built(image).values_BTD, built(image.repeat(1, 3, 1, 1)).values_BTD)


def test_a_region_sees_its_box_and_nothing_far_from_it() -> None:
    torch.manual_seed(0)
    config = RegionsConfig(channels=(8,), boxes=((0.0, 0.0, 0.4, 0.4), (0.6, 0.6, 1.0, 1.0)))
    built = Regions(config, {"channels": 3, "height": 64, "width": 64}, 16).eval()
    built.stages = nn.Sequential(nn.Conv2d(3, 8, 1))  # type: ignore[assignment] # group norm would see the whole picture
    built.sides_4 = torch.full((4,), 64.0)
    image = torch.randn(1, 3, 64, 64)
    changed = image.clone()
    changed[..., 40:, 40:] += 1
    before, after = built(image).values_BTD[0], built(changed).values_BTD[0]
    assert torch.equal(before[0], after[0])
    assert not torch.allclose(before[1], after[1])


def test_a_region_is_of_its_own_picture_in_large_batches_of_half_precision() -> None:
    torch.manual_seed(0)
    built = Regions(RegionsConfig(channels=(8,), grid=1), {"channels": 3, "height": 8, "width": 8}, 8).eval()
    image = torch.randn(300, 3, 8, 8)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        together, alone = built(image).values_BTD[257:], torch.cat([built(each[None]).values_BTD for each in image[257:]])
    torch.testing.assert_close(together, alone, rtol=0.05, atol=0.05)


def test_regions_by_a_grid_overlap_and_end_at_the_edges() -> None:
    assert overlapping(1) == [(0.0, 0.0, 1.0, 1.0)]
    assert overlapping(2) == [(0.0, 0.0, 0.75, 0.75), (0.25, 0.0, 1.0, 0.75), (0.0, 0.25, 0.75, 1.0), (0.25, 0.25, 1.0, 1.0)]


def test_larger_pictures_give_more_tokens_up_to_the_grid() -> None:
    for side, tokens in ((8, 1), (32, 1), (33, 4), (96, 4)):
        built = ResNet(ResNetConfig(grid=2), {"channels": 3, "height": side, "width": side}, 8)
        assert built(torch.randn(1, 3, side, side)).values_BTD.shape == (1, tokens, 8), side


def test_a_cnn_norms_over_the_batch_when_asked_and_by_running_statistics_afterwards() -> None:
    built, image = encoder("cnn", "image", norm="batch", channels=(8,), dropout=0.0), values("image").values
    convolution, norm, _ = built.stages[0]
    built.train()(image)
    map_BCHW = convolution(image).detach()
    mean, variance = map_BCHW.mean((0, 2, 3)), map_BCHW.var((0, 2, 3))
    torch.testing.assert_close(norm.running_mean, 0.1 * mean)
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * variance)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(map_BCHW.var((0, 2, 3), correction=0))
    expected = built.train()(image).values_BTD
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(map_BCHW.var((0, 2, 3), correction=0))
    torch.testing.assert_close(built.eval()(image).values_BTD, expected, rtol=1e-4, atol=1e-5)
