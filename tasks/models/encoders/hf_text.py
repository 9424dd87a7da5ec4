"""Token ids to tokens by a pretrained text model of Hugging Face Transformers. Must not import ray or mlflow.

Shape suffixes: B samples, T tokens, V words of the vocabulary, D features.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from tasks.contracts import Reader
from tasks.errors import InputError
from tasks.models.encoders import hugging_face
from tasks.models.encoders.config_pretrained import HfTextConfig
from tasks.models.encoders.hf_probe import check_texts, still_unused, usable
from tasks.models.tokens import Tokens, need, valid_BT

ROLES = {
    "<pad>": ("[PAD]", "<pad>"),
    "<unk>": ("[UNK]", "<unk>"),
    "<bos>": ("[CLS]", "<s>", "<|startoftext|>"),
    "<eos>": ("[SEP]", "</s>", "<|endoftext|>"),
}
"""A special token of our tokenizers → what models call the one of its role."""


class HfText(nn.Module):
    """The shards' own tokens go through the pretrained layers.

    The shards' tokenizer counts other words than the model's. So each of its words begins with the mean of the vectors of the pieces that
    the model's tokenizer makes of it (arXiv:2402.09977): with the same tokenizer, with the very same vectors.
    """

    def __init__(self, config: HfTextConfig, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        vocab_size, max_tokens = need(shape, ("vocab_size", "max_tokens"), config.kind)
        given = config.architecture or hugging_face.architecture(config)
        self.config = config
        nowhere = {"pad_token_id": None} if (given.get("pad_token_id") or 0) >= vocab_size else {}
        with usable(config, given):
            self.body = hugging_face.build(config, given, vocab_size=vocab_size, **nowhere)
            self.by_vectors = "inputs_embeds" in inspect.signature(self.body.forward).parameters
            self._words().padding_idx = None  # a number that the shards' tokenizer may use for a word, which would never learn
            sizes = cast(Any, self.body.config)
            longest = num_places(self.body, max_tokens)
            if max_tokens > longest > 0:
                raise InputError(
                    f"encoder 'hf_text': {config.model} takes {longest} tokens, and the texts have up to {max_tokens}; "
                    f"set `max_tokens: {longest}` or less in their `read`"
                )
            for parameter in self.body.parameters():
                parameter.requires_grad_(config.tune)
            self.project = nn.Linear(sizes.hidden_size, width)
            self.norm = nn.LayerNorm(width)
            self.dropout = nn.Dropout(config.dropout)
            ids_BT = torch.zeros(1, 2, dtype=torch.int64)
            still_unused(self.body, lambda: self._hidden_BTD(ids_BT, torch.ones(1, 2, dtype=torch.bool)))
            check_texts(config, self.body, self._hidden_BTD, longest)

    def load_pretrained(self, reader: Reader) -> None:
        """Fill the body from the folder or the hub, and the vectors of the reader's words. Raises InputError when it does not fit."""
        if not self.config.pretrained:
            return
        loaded = hugging_face.load(self.config, self.body)
        vectors_VD = cast(Any, loaded).get_input_embeddings().weight.detach()
        own = self._words().weight
        spellings: Sequence[str] = cast(Any, reader).spellings()
        tokenizer = hugging_face.tokenizer(self.config)
        own_VD = transferred(spellings, tokenizer, vectors_VD, own.detach(), self.config.model)
        weights = dict(loaded.state_dict())
        name = next(name for name, parameter in self.body.named_parameters() if parameter is own)
        self.body.load_state_dict({**weights, name: own_VD})

    def forward(self, ids_BT: Tensor, lengths_B: Tensor | None = None) -> Tokens:
        mask_BT = valid_BT(lengths_B, ids_BT)
        return Tokens(self.dropout(self.norm(self.project(self._hidden_BTD(ids_BT, mask_BT)))), mask_BT)

    def _hidden_BTD(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """By vectors, not ids: of ids, some models take the one that was padding for them to be padding still. CLIP's takes ids alone."""
        words = {"inputs_embeds": self._words()(ids_BT)} if self.by_vectors else {"input_ids": ids_BT}
        hidden_BTD: Tensor = self.body(**words, attention_mask=mask_BT.long()).last_hidden_state
        return hidden_BTD

    def _words(self) -> nn.Embedding:
        return cast(nn.Embedding, cast(Any, self.body).get_input_embeddings())


def num_places(body: nn.Module, otherwise: int) -> int:
    """The longest text that the model takes; `otherwise` where it says -1, which is any.

    RoBERTa and its kin leave the places up to that of padding out.
    """
    longest = int(getattr(body.config, "max_position_embeddings", otherwise))
    if longest < 0:
        return otherwise
    found = [module for name, module in body.named_modules() if name.endswith("position_embeddings") and isinstance(module, nn.Embedding)]
    return longest - sum(module.padding_idx + 1 for module in found[:1] if module.padding_idx is not None)


def transferred(spellings: Sequence[str], tokenizer: Any, vectors_VD: Tensor, own_VD: Tensor, model: str) -> Tensor:
    """`own_VD` with the mean vector of its pieces for each word that has any; `spellings` are the words by their number.

    Raises InputError when the tokenizer counts further than the vectors.
    """
    result_VD = own_VD.clone()
    for place, spelling in enumerate(spellings):
        known = [number for name in ROLES.get(spelling, (spelling,)) if (number := tokenizer.token_to_id(name)) is not None]
        pieces = known[:1] or tokenizer.encode(spelling, add_special_tokens=False).ids
        if max(pieces, default=0) >= len(vectors_VD):
            raise InputError(
                f"encoder 'hf_text': the tokenizer.json of {model} has number {max(pieces)} for a piece of {spelling!r}, and the weights "
                f"have {len(vectors_VD)} vectors; give a folder whose tokenizer and weights are of one model"
            )
        if pieces:
            result_VD[place] = vectors_VD[pieces].mean(0)
    return result_VD
