"""torch.compile for the parts of a model: the same answers, the same names, and a sentence where it can't be had."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import pytest
import torch

from tasks.errors import InputError
from tasks.models.compiled import check_compiler, compile_parts
from tasks.models.fused import build_model
from tasks.models.lora import UP, adapt
from tasks.models.recompute import recompute_layers
from tests.tasks.models import example

# torch reads `.grad` of every tensor it captures and hides the warning of it; here warnings are errors before that.
CAPTURED = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
HAS_COMPILER = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++, which is not here")


@CAPTURED
@pytest.mark.parametrize(
    ("backend", "recomputed"),  # what is recomputed is adapted by LoRA as well
    [("aot_eager", False), ("aot_eager", True), pytest.param("inductor", True, marks=[pytest.mark.slow, HAS_COMPILER])],
)
def test_compiled_parts_give_the_same_gradients_under_the_same_names(
    backend: str, recomputed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch._dynamo.reset()
    text = {"kind": "transformer", "dropout": 0.0}
    config = example.config(encoders={"text": text}, fusion={"kind": "mean", "dropout": 0.0})
    torch.manual_seed(0)
    plain = build_model(config, example.SHAPES, example.LABELS)
    if recomputed:
        assert adapt(plain.encoders, 2, 4.0, 0.0)
        for name, parameter in plain.named_parameters():
            if name.endswith(UP):
                torch.nn.init.normal_(parameter, std=0.1)
    compiled = copy.deepcopy(plain)
    if recomputed:
        recompute_layers(compiled)
    compile_parts(compiled, backend)
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    batch = example.batch()
    captured = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    for model in (plain, compiled):
        losses = model.losses(model.outputs(batch.inputs, model.present_BM(batch)), batch)
        sum(loss.total for loss in losses.values()).backward()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= captured + 3, "encoder, fusion and trunk are captured"
    named = dict(plain.named_parameters())
    for name, parameter in compiled.named_parameters():
        assert (parameter.grad is None) == (named[name].grad is None)
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, named[name].grad, rtol=1e-4, atol=1e-5)


@CAPTURED
def test_with_gradient_checkpointing_batch_norm_counts_a_batch_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch._dynamo.reset()
    image = {"kind": "cnn", "channels": [8], "norm": "batch", "dropout": 0.0}
    torch.manual_seed(0)
    plain = build_model(example.config(encoders={"image": image}, fusion={"kind": "mean", "dropout": 0.0}), example.SHAPES, example.LABELS)
    compiled = copy.deepcopy(plain)
    recompute_layers(compiled, compiled=True)
    compile_parts(compiled, "aot_eager")
    batch = example.batch()
    for model in (plain, compiled):
        outputs = model.outputs(batch.inputs, model.present_BM(batch))
        sum(loss.total for loss in model.losses(outputs, batch).values()).backward()
    for (name, one), other in zip(plain.named_buffers(), compiled.buffers(), strict=True):
        torch.testing.assert_close(other, one, msg=name)


def test_without_a_compiler_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InputError, match="needs a C\\+\\+ compiler, and no-such-compiler is not here; install g\\+\\+"):
        check_compiler()
