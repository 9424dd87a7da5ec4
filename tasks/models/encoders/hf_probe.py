"""Whether a model of Transformers can be an encoder: it is called once, when it is built. Must not import ray or mlflow.

In: a model with random weights. Out: the same, or an InputError that says what to choose instead.

Shape suffixes: B samples, T tokens, D features.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from tasks.errors import InputError
from tasks.models.encoders.config_pretrained import HfImageConfig, HfTextConfig

LIKE = {"hf_text": "one like BERT, or CLIP, of which the half for text is taken", "hf_image": "one like ViT or CLIP"}
"""Kind of encoder → what may be chosen."""
NEAR = 1e-3
"""How far apart, for numbers near one, two answers may be that are the same but for rounding."""
LOOKED_AT = 4
"""Tokens of the text that a model is tried with."""
TRIES = 8
"""Times that one is called again which draws random numbers: of few patches it may hide the same ones twice."""


@contextlib.contextmanager
def usable(config: HfTextConfig | HfImageConfig, given: Mapping[str, Any]) -> Iterator[None]:
    """Tell what goes wrong inside, whatever it is, as a model that can't be used. `given`: what its config.json says."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:  # what a model makes of a setting or an input that it wasn't written for
        raise InputError(
            f"encoder {config.kind!r}: {config.model} is of the kind {given.get('model_type')!r} and can't be used here "
            f"({first_line(error)}); choose another model, {LIKE[config.kind]}, or another version of Transformers"
        ) from error


def first_line(error: BaseException) -> str:
    """The whole of an error whose first line only announces the others."""
    line = str(error).strip().partition("\n")[0]
    return (" ".join(str(error).split()) if line.endswith(":") else line) or type(error).__name__


def still_unused(body: nn.Module, hidden: Callable[[], Tensor]) -> None:
    """Parameters that the tokens do not depend on, such as those of a pooler, do not learn: data-parallel training would wait for them."""
    learning = [parameter for parameter in body.parameters() if parameter.requires_grad]
    if learning:
        with torch.enable_grad():  # a model is also built where nothing learns
            found = torch.autograd.grad(hidden().sum(), learning, allow_unused=True)
        for parameter, gradient in zip(learning, found, strict=True):
            parameter.requires_grad_(gradient is not None)


def check_pictures(config: HfImageConfig, body: nn.Module, hidden_BTD: Callable[[Tensor], Tensor], sides: tuple[int, int]) -> None:
    """Raises InputError when the body does not give tokens of the size that it says, or gives others each time."""
    with _at_rest(body):
        image_BCHW = torch.randn(1, 3, *sides)
        found_BTD = _the_same_always(config, lambda: hidden_BTD(image_BCHW))
    if found_BTD.ndim != 3 or found_BTD.shape[::2] != (1, _size(body)):
        raise _no_vectors(config)


def check_texts(config: HfTextConfig, body: nn.Module, hidden_BTD: Callable[[Tensor, Tensor], Tensor], longest: int) -> None:
    """Raises InputError when the body does not give a vector for each token, gives others each time, or others beside padding."""
    steps = min(LOOKED_AT, longest)
    shorter = (steps + 1) // 2
    ids_BT = torch.zeros(1, steps, dtype=torch.int64)  # the one number that every vocabulary has
    all_BT = torch.ones(1, steps, dtype=torch.bool)
    with _at_rest(body):
        found_BTD = _the_same_always(config, lambda: hidden_BTD(ids_BT, all_BT))
        alone_BTD = hidden_BTD(ids_BT[:, :shorter], all_BT[:, :shorter])
        padded_BTD = hidden_BTD(ids_BT, torch.arange(steps)[None] < shorter)
    if found_BTD.shape != (1, steps, _size(body)):
        raise _no_vectors(config)
    if not torch.allclose(padded_BTD[:, :shorter], alone_BTD, NEAR, NEAR):
        raise InputError(
            f"encoder 'hf_text': {config.model} gives a text other tokens when padding stands behind it, so it doesn't look at the mask; "
            f"choose another model, {LIKE[config.kind]}"
        )


def _the_same_always(config: HfTextConfig | HfImageConfig, call: Callable[[], Tensor]) -> Tensor:
    before = torch.random.get_rng_state()
    first = call()
    drew = not torch.equal(torch.random.get_rng_state(), before)
    for _ in range(TRIES if drew else 1):
        if not torch.allclose(call(), first, NEAR, NEAR):
            raise InputError(
                f"encoder {config.kind!r}: {config.model} gives other tokens each time that it is given the same, as one that hides parts "
                f"at random does; choose another model, {LIKE[config.kind]}"
            )
    return first


def _size(body: nn.Module) -> int:
    return int(cast(Any, body.config).hidden_size)


def _no_vectors(config: HfTextConfig | HfImageConfig) -> InputError:
    return InputError(
        f"encoder {config.kind!r}: {config.model} does not give a vector for each token, as its config.json says it would; choose another "
        f"model, {LIKE[config.kind]}"
    )


@contextlib.contextmanager
def _at_rest(body: nn.Module) -> Iterator[None]:
    """In eval mode, without gradients; what random numbers come next stays as it was."""
    training = body.training
    body.eval()
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            yield
    finally:
        body.train(training)
