"""Pretrained models of Transformers, tiny ones on disk: their own answers, transferred words, and folders that are not whole."""

from __future__ import annotations

import builtins
import contextlib
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers

from tasks.errors import InputError
from tasks.models.encoders import hugging_face
from tasks.models.encoders.config_pretrained import HfImageConfig, HfTextConfig
from tasks.models.encoders.hf_image import HfImage
from tasks.models.encoders.hf_text import HfText, num_places
from tests.tasks.models.encoders.conftest import PIECES, tiny_bert, tiny_roberta
from tests.tasks.models.encoders.example import SHAPES, encoder, values


def reader(spellings: list[str]) -> Any:
    return SimpleNamespace(spellings=lambda: spellings)


def bert(path: Path, spellings: list[str], **given: Any) -> HfText:
    torch.manual_seed(0)
    built = HfText(HfTextConfig(model=str(path), **given), {"vocab_size": len(spellings), "max_tokens": 9}, 16).eval()
    built.load_pretrained(reader(spellings))
    return built


def test_with_the_models_own_words_it_answers_as_transformers_does(pretrained: dict[str, Path]) -> None:
    theirs = transformers.AutoModel.from_pretrained(pretrained["bert"]).eval()
    ours = bert(pretrained["bert"], PIECES)
    ids_BT, lengths_B = torch.tensor([[5, 6, 7], [8, 4, 0]]), torch.tensor([3, 2])
    mask_BT = torch.arange(3) < lengths_B[:, None]
    expected = theirs(input_ids=ids_BT, attention_mask=mask_BT.long()).last_hidden_state
    torch.testing.assert_close(ours._hidden_BTD(ids_BT, mask_BT)[mask_BT], expected[mask_BT])


def test_a_word_of_the_shards_begins_with_the_mean_of_its_pieces(pretrained: dict[str, Path]) -> None:
    ours = bert(pretrained["bert"], ["<pad>", "<unk>", "<bos>", "<eos>", "dogs", "cat", "running"])
    theirs = transformers.AutoModel.from_pretrained(pretrained["bert"]).get_input_embeddings().weight
    own = ours.body.get_input_embeddings().weight  # type: ignore[operator]
    at = {piece: place for place, piece in enumerate(PIECES)}
    torch.testing.assert_close(own[:4], theirs[:4])  # ours for padding, unknown, beginning and end begin as the model's
    torch.testing.assert_close(own[4], (theirs[at["dog"]] + theirs[at["##s"]]) / 2)
    torch.testing.assert_close(own[5], theirs[at["cat"]])
    torch.testing.assert_close(own[6], (theirs[at["run"]] + theirs[at["##ning"]]) / 2)


@pytest.mark.parametrize("name", ["vit", "clip"])
def test_a_picture_model_answers_as_transformers_does(pretrained: dict[str, Path], name: str) -> None:
    theirs = (transformers.ViTModel if name == "vit" else transformers.CLIPVisionModel).from_pretrained(pretrained[name]).eval()
    ours = HfImage(HfImageConfig(model=str(pretrained[name])), SHAPES["image"], 16).eval()
    ours.load_pretrained(reader([]))
    image = values("image").values
    torch.testing.assert_close(ours._hidden_BTD(image), theirs(pixel_values=image).last_hidden_state)


def test_a_trained_model_is_built_without_the_folder(pretrained: dict[str, Path]) -> None:
    for kind, config in (
        ("hf_text", HfTextConfig(model=str(pretrained["bert"]))),
        ("hf_image", HfImageConfig(model=str(pretrained["clip"]))),
    ):
        known = hugging_face.architecture(config)
        medium = "text" if kind == "hf_text" else "image"
        first, second = encoder(kind, medium), encoder(kind, medium, seed=1, model="gone", architecture=known)
        second.load_state_dict(first.state_dict())
        given = values(medium)
        assert torch.equal(second(given.values, given.lengths).values_BTD, first(given.values, given.lengths).values_BTD)


def test_without_tuning_only_the_projection_learns(pretrained: dict[str, Path]) -> None:
    built = bert(pretrained["bert"], PIECES, tune=False)
    learning = {name for name, parameter in built.named_parameters() if parameter.requires_grad}
    assert learning == {"project.weight", "project.bias", "norm.weight", "norm.bias"}


def test_not_pretrained_it_begins_at_random(pretrained: dict[str, Path]) -> None:
    theirs = transformers.AutoModel.from_pretrained(pretrained["bert"]).state_dict()
    built = bert(pretrained["bert"], PIECES, pretrained=False)
    assert not torch.equal(built.body.state_dict()["encoder.layer.0.output.dense.weight"], theirs["encoder.layer.0.output.dense.weight"])


def test_a_folder_without_its_files_is_told(pretrained: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no architecture that can be read .*config\.json"):
        bert(tmp_path, PIECES)
    for missing, problem in (("model.safetensors", "needs a whole model.safetensors"), ("tokenizer.json", "has no tokenizer.json")):
        folder = tmp_path / missing
        shutil.copytree(pretrained["bert"], folder)
        (folder / missing).unlink()
        with pytest.raises(InputError, match=problem):
            bert(folder, PIECES)
    torn = tmp_path / "torn"
    shutil.copytree(pretrained["bert"], torn)
    (torn / "model.safetensors").write_bytes((torn / "model.safetensors").read_bytes()[:500])
    with pytest.raises(InputError, match="can't be read"):
        bert(torn, PIECES)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"num_hidden_layers": 3}, r"encoder\.layer\.2\.\S+ is missing; .*, and \d+ more"),
        ({"intermediate_size": 40}, r"has shape \[32\], needs \[40\]"),
    ],
)
def test_weights_of_another_architecture_are_refused(
    pretrained: dict[str, Path], tmp_path: Path, changes: dict[str, float], problem: str
) -> None:
    folder = tiny_bert(tmp_path / "other", **changes)
    shutil.copyfile(pretrained["bert"] / "model.safetensors", folder / "model.safetensors")
    with pytest.raises(InputError, match=f"are not those of its config.json: .*{problem}"):
        bert(folder, PIECES)


def test_a_model_that_numbers_its_places_from_its_padding_on_answers_as_transformers_does(tmp_path: Path) -> None:
    theirs = transformers.AutoModel.from_pretrained(tiny_roberta(tmp_path / "roberta")).eval()
    ours = bert(tmp_path / "roberta", PIECES)
    ids_BT, mask_BT = torch.tensor([[5, 6, 7], [8, 4, 1]]), torch.tensor([[True] * 3, [True, True, False]])
    expected = theirs(input_ids=ids_BT, attention_mask=mask_BT.long()).last_hidden_state
    torch.testing.assert_close(ours._hidden_BTD(ids_BT, mask_BT)[mask_BT], expected[mask_BT])
    assert num_places(ours.body, 0) == 16
    for length in (16, 17):
        shape, config = {"vocab_size": len(PIECES), "max_tokens": length}, HfTextConfig(model=str(tmp_path / "roberta"))
        with contextlib.nullcontext() if length == 16 else pytest.raises(InputError, match="takes 16 tokens"):
            HfText(config, shape, 16)(torch.full((1, length), 5))


def test_every_word_learns_also_the_one_that_was_padding(tmp_path: Path) -> None:
    ours = bert(tiny_roberta(tmp_path / "roberta"), PIECES)
    ours(torch.tensor([[1, 5]])).values_BTD.square().sum().backward()
    gradient = ours.body.get_input_embeddings().weight.grad  # type: ignore[operator]
    assert gradient[[1, 5]].abs().sum(1).gt(0).all()


def test_weights_of_half_precision_are_learned_on_in_whole(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "bert")
    transformers.AutoModel.from_pretrained(folder).half().save_pretrained(folder)
    ours = bert(folder, PIECES)
    assert {parameter.dtype for parameter in ours.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("kind", "of"),
    [
        ("hf_text", lambda: transformers.T5Config(vocab_size=30, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)),
        ("hf_image", lambda: transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1])),
    ],
)
def test_a_model_that_gives_no_vector_for_each_token_is_refused(tmp_path: Path, kind: str, of: Any) -> None:
    of().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="does not give a vector for each token; choose another model, one like"):
        encoder(kind, "text" if kind == "hf_text" else "image", model=str(tmp_path))


def test_sizes_that_the_model_does_not_take_are_told(pretrained: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="takes 16 tokens, and the texts have up to 99"):
        HfText(HfTextConfig(model=str(pretrained["bert"])), {"vocab_size": 30, "max_tokens": 99}, 16)
    with pytest.raises(InputError, match=r"takes pictures of 32 by 32 pixels, given 48 by 48; set `size: \[32, 32\]`"):
        HfImage(HfImageConfig(model=str(pretrained["vit"])), {"channels": 3, "height": 48, "width": 48}, 16)


def test_without_transformers_the_extra_is_named(pretrained: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name == "transformers":
            raise ModuleNotFoundError("No module named 'transformers'", name="transformers")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"pip install 'medley-pipeline\[hf\]'"):
        encoder("hf_text", "text")
