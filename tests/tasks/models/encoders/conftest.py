"""Tiny pretrained models on disk, written once: Transformers' own classes, random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from tests.tasks.models.encoders import example

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "cat", "dog", "##s", "run", "##ning", *(f"w{number}" for number in range(20))]
SIZES = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def tiny_bert(folder: Path, **changes: float) -> Path:
    torch.manual_seed(7)
    config = transformers.BertConfig(vocab_size=len(PIECES), max_position_embeddings=16, **{**SIZES, **STILL, **changes})
    transformers.BertModel(config).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def tiny_roberta(folder: Path) -> Path:
    """Its padding is 1, and its places begin behind that: 18 of them are for 16 tokens."""
    torch.manual_seed(7)
    config = transformers.RobertaConfig(vocab_size=len(PIECES), max_position_embeddings=18, pad_token_id=1, **SIZES, **STILL)
    transformers.RobertaModel(config).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def save_tokenizer(folder: Path) -> None:
    tokenizer = Tokenizer(models.WordPiece({piece: place for place, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))


def tiny_vit(folder: Path) -> Path:
    torch.manual_seed(7)
    transformers.ViTModel(transformers.ViTConfig(image_size=32, patch_size=16, **SIZES, **STILL)).save_pretrained(folder)
    return folder


def tiny_clip(folder: Path) -> Path:
    torch.manual_seed(7)
    picture, text = {**SIZES, "image_size": 32, "patch_size": 16}, {**SIZES, "vocab_size": 30, "max_position_embeddings": 16}
    config = transformers.CLIPConfig(text_config=text, vision_config=picture, projection_dim=24)
    transformers.CLIPModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Kind of model → its folder; the contract tests take BERT and CLIP."""
    folder = tmp_path_factory.mktemp("pretrained")
    found = {"bert": tiny_bert(folder / "bert"), "vit": tiny_vit(folder / "vit"), "clip": tiny_clip(folder / "clip")}
    example.SMALL |= {"hf_text": {"model": str(found["bert"])}, "hf_image": {"model": str(found["clip"])}}
    return found
