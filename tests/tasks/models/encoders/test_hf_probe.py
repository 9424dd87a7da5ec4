"""Models and folders of Transformers that can't be an encoder are told in a sentence, whatever they make of being called."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models

from tasks.errors import InputError
from tasks.models.encoders import hf_image, hf_text
from tasks.models.encoders.config_pretrained import HfImageConfig, HfTextConfig
from tasks.models.encoders.hf_image import HfImage
from tasks.models.encoders.hf_text import HfText
from tests.tasks.models.encoders.conftest import PIECES, SIZES, STILL, tiny_bert
from tests.tasks.models.encoders.example import SHAPES
from tests.tasks.models.encoders.test_hugging_face import bert, reader

TEXT = {"vocab_size": len(PIECES), "max_tokens": 9}


def edited(folder: Path, to: Path, **changes: Any) -> str:
    """A copy of a folder with other settings in its config.json."""
    shutil.copytree(folder, to)
    config = json.loads((to / "config.json").read_text())
    (to / "config.json").write_text(json.dumps(config | changes))
    return str(to)


def text(model: str, **given: Any) -> HfText:
    return HfText(HfTextConfig(model=model, **given), TEXT, 16)


def picture(model: str, **given: Any) -> HfImage:
    return HfImage(HfImageConfig(model=model, **given), SHAPES["image"], 16)


CANT = r"is of the kind '{}' and can't be used here \(.+\); choose another model, one like {}, .*or another version of Transformers"


@pytest.mark.parametrize(
    "changes",
    [{"hidden_size": 0}, {"hidden_size": -24}, {"num_attention_heads": 5}, {"hidden_act": "nope"}, {"max_position_embeddings": 0}],
    ids=str,
)
def test_settings_that_no_model_has_are_told(pretrained: dict[str, Path], tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=CANT.format("bert", "BERT")):
        text(edited(pretrained["bert"], tmp_path / "odd", **changes))


@pytest.mark.parametrize("changes", [{"patch_size": 0}, {"num_channels": 1}], ids=str)
def test_a_picture_model_that_takes_no_such_pictures_is_told(pretrained: dict[str, Path], tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=CANT.format("vit", "ViT or CLIP")):
        picture(edited(pretrained["vit"], tmp_path / "odd", **changes))


def test_a_model_of_the_other_medium_is_told(pretrained: dict[str, Path]) -> None:
    with pytest.raises(InputError, match=CANT.format("bert", "ViT or CLIP")):
        picture(str(pretrained["bert"]))
    with pytest.raises(InputError, match=CANT.format("vit", "BERT")):
        text(str(pretrained["vit"]))


def test_an_architecture_that_cant_be_read_is_told(pretrained: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no architecture that can be read \(.*'hidden_size'.*\); the folder needs config\.json"):
        text(edited(pretrained["bert"], tmp_path / "a", hidden_size="abc"))
    with pytest.raises(InputError, match=r"no architecture that can be read .*'vision_config'.*the folder needs config\.json"):
        picture(edited(pretrained["clip"], tmp_path / "b", vision_config="x"))
    with pytest.raises(InputError, match=r"are quantised, and such can't be learned on; give the same model with whole weights"):
        text(edited(pretrained["bert"], tmp_path / "c", quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}))


def test_a_model_that_hides_parts_at_random_is_refused(tmp_path: Path) -> None:
    small = {f"decoder_{name}": value for name, value in SIZES.items()}
    transformers.ViTMAEConfig(image_size=32, patch_size=16, **SIZES, **STILL, **small).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"gives other tokens each time .*, as one that hides parts at random does; choose another model"):
        picture(str(tmp_path))


def test_a_model_that_looks_at_padding_is_refused(tmp_path: Path) -> None:
    transformers.FNetConfig(vocab_size=30, hidden_size=24, num_hidden_layers=1, intermediate_size=32).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"gives a text other tokens when padding stands behind it, so it doesn't look at the mask"):
        text(str(tmp_path))


@pytest.mark.parametrize(("built", "name"), [(text, "bert"), (picture, "vit")])
def test_being_tried_leaves_random_numbers_and_mode_as_they_were(
    pretrained: dict[str, Path], monkeypatch: pytest.MonkeyPatch, built: Any, name: str
) -> None:
    found = []
    for tried in (True, False):
        if not tried:
            for module, check in ((hf_text, "check_texts"), (hf_image, "check_pictures")):
                monkeypatch.setattr(module, check, lambda *_: None)
        torch.manual_seed(0)
        encoder = built(str(pretrained[name]))
        assert encoder.body.training
        found.append([torch.rand(1), *encoder.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_it_is_built_where_nothing_learns(pretrained: dict[str, Path]) -> None:
    with torch.no_grad():
        learning = {name for name, each in text(str(pretrained["bert"])).named_parameters() if each.requires_grad}
    assert learning == {name for name, each in text(str(pretrained["bert"])).named_parameters() if each.requires_grad}


def test_a_model_that_takes_any_length_says_so(tmp_path: Path) -> None:
    transformers.XLNetConfig(vocab_size=30, d_model=24, n_layer=1, n_head=2, d_inner=32).save_pretrained(tmp_path)
    assert text(str(tmp_path))(torch.full((1, 9), 5)).values_BTD.shape == (1, 9, 16)


def test_weights_of_more_layers_than_the_architecture_or_without_numbers_are_refused(pretrained: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"are not those of its config\.json: encoder\.layer\.1\.\S+ is of a layer too many"):
        bert(Path(edited(pretrained["bert"], tmp_path / "fewer", num_hidden_layers=1)), PIECES)
    weights = load_file(pretrained["bert"] / "model.safetensors")
    weights["encoder.layer.0.output.dense.bias"][3] = torch.nan
    folder = tiny_bert(tmp_path / "nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"the weights of \S+nan: encoder\.layer\.0\.output\.dense\.bias has numbers that are NaN or inf"):
        bert(folder, PIECES)


def test_a_head_beside_the_body_is_no_layer_too_many(tmp_path: Path) -> None:
    config = transformers.BertConfig(vocab_size=len(PIECES), max_position_embeddings=16, **SIZES)
    transformers.BertForMaskedLM(config).save_pretrained(tiny_bert(tmp_path / "masked"))
    bert(tmp_path / "masked", PIECES)


def test_a_tokenizer_of_another_model_is_told(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "bert")
    Tokenizer(models.WordLevel({piece: place + 90 for place, piece in enumerate(PIECES)}, unk_token="[UNK]")).save(
        str(folder / "tokenizer.json")
    )
    with pytest.raises(
        InputError, match=r"tokenizer\.json of \S+ has number \d+ for a piece of .*30 vectors; give a folder whose tokenizer"
    ):
        bert(folder, PIECES)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"the folder needs tokenizer\.json, as Transformers saves it \(`AutoTokenizer.*fetch it anew"):
        bert(folder, PIECES)


def test_what_the_hub_does_not_give_is_told_with_the_way_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise OSError("We couldn't connect to 'https://huggingface.co' to load the files")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", away)
    cure = rf"reaches the hub .*`hf download name/model --revision {'0' * 40} --local-dir FOLDER`, and give that folder with config\.json"
    with pytest.raises(InputError, match=cure):
        text("name/model", revision="0" * 40)


def test_a_model_that_writes_can_be_computed_again(tmp_path: Path) -> None:
    transformers.GPT2Config(vocab_size=30, n_positions=16, n_embd=24, n_layer=2, n_head=2, bos_token_id=2, eos_token_id=3).save_pretrained(
        tmp_path
    )
    assert text(str(tmp_path)).body.config.use_cache is False  # type: ignore[union-attr]


@pytest.mark.parametrize("whole", [True, False])
def test_the_half_of_clip_for_text_answers_as_transformers_does(tmp_path: Path, whole: bool) -> None:
    torch.manual_seed(7)
    words = {**SIZES, "vocab_size": len(PIECES), "max_position_embeddings": 16, "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    if whole:
        config = transformers.CLIPConfig(text_config=words, vision_config={**SIZES, "image_size": 32, "patch_size": 16}, projection_dim=24)
        transformers.CLIPModel(config).save_pretrained(tmp_path)
    else:
        transformers.CLIPTextModel(transformers.CLIPTextConfig(**words)).save_pretrained(tmp_path)
    vocabulary = {piece: place for place, piece in enumerate(PIECES)}
    Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]")).save(str(tmp_path / "tokenizer.json"))
    theirs = transformers.CLIPTextModel.from_pretrained(tmp_path).eval()
    ours = text(str(tmp_path)).eval()
    ours.load_pretrained(reader(PIECES))
    ids_BT, mask_BT = torch.tensor([[5, 6, 7], [8, 4, 0]]), torch.tensor([[True] * 3, [True, True, False]])
    expected = theirs(input_ids=ids_BT, attention_mask=mask_BT.long()).last_hidden_state
    torch.testing.assert_close(ours._hidden_BTD(ids_BT, mask_BT)[mask_BT], expected[mask_BT])
    ours(ids_BT).values_BTD.square().sum().backward()
    assert all(parameter.grad is not None for parameter in ours.parameters() if parameter.requires_grad)
