"""A batch over two processes gives the loss and the gradients of the whole batch in one: of each alignment, and of a model with the head
`retrieval` in the wrapper of data-parallel training. One interpreter imports torch and forks both.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

SCRIPT = """
import contextlib, os, sys
from datetime import timedelta

import torch
from torch import distributed as dist, nn

from tasks.models.alignments import ALIGNMENTS
from tasks.models.alignments.canonical import CanonicalSpace
from tasks.models.batches import take
from tasks.models.contracts import Setting
from tasks.models.fused import build_model
from tasks.models.heads.retrieval import first_in_batch
from tasks.models.policies.config import SupervisedConfig
from tasks.models.policies.supervised import Supervised
from tasks.registry import implementation
from tests.tasks.models.example import SHAPES, batch, config

folder = sys.argv[1]
WHOLE, DIM = 12, 4
weight = torch.tensor([1.0, 1, 0, 1, 1, 1, 1, 0, 0, 0, 1, 1])


def given(kind, part):
    torch.manual_seed(0)
    alignment = implementation(ALIGNMENTS, kind)(ALIGNMENTS[kind].config(), DIM)
    towers = nn.ModuleList([nn.Linear(6, DIM), nn.Linear(6, DIM)])
    one, other = torch.randn(2, WHOLE, 6)
    total, own = alignment(towers[0](one[part]), towers[1](other[part]), weight[part])
    (total / weight.sum()).backward()
    space = CanonicalSpace(("a", "b"), DIM, 1e-3, 0.9)
    embedded = torch.stack([towers[0](one[part]), towers[1](other[part])], dim=1).detach()
    space.learn(embedded, weight[part, None].expand(-1, 2))
    grads = [parameter.grad for parameter in [*towers.parameters(), *alignment.parameters()]]
    first = first_in_batch(embedded[:, 0], embedded[:, 1], weight[part])
    return [total.detach(), own, *grads, first.total, first.weight], [space.second_MMEE, space.weight_MM]


def model_grads(part, ranks):
    torch.manual_seed(0)
    heads = {"found": {"kind": "retrieval", "between": ["text", "image", "audio"], "dim": DIM, "loss": "cca"}}
    model = build_model(config(heads=heads), SHAPES, {"found": {"kind": "none"}}).train()
    policy = Supervised(SupervisedConfig(), model, Setting(contextlib.nullcontext))
    forward = nn.parallel.DistributedDataParallel(policy) if ranks > 1 else policy
    whole = batch(WHOLE)
    whole.present[2, 0] = whole.present[7, 1] = False
    cut = take(whole, part)
    found = []
    for _ in range(2):  # the second notices parameters that got no gradient
        ((total, _),) = forward(cut, policy.losses).values()
        (total / model.loss_weight(whole)["found"] * ranks).backward()
        found += [parameter.grad.clone() for parameter in model.parameters()]
        model.zero_grad()
    return found


def rank(number):
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=number, world_size=2, timeout=timedelta(seconds=60))
    half = slice(number * WHOLE // 2, (number + 1) * WHOLE // 2)
    found = {}
    for kind in ALIGNMENTS:
        summed, same = given(kind, half)
        for value in summed:
            dist.all_reduce(value)
        found[kind] = summed + same
    found["model"] = model_grads(half, 2)
    torch.save(found, f"{folder}/{number}.pt")
    dist.destroy_process_group()


children = []
for number in range(2):
    child = os.fork()
    if not child:
        try:
            rank(number)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    children.append(child)
assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
for number in range(2):
    found = torch.load(f"{folder}/{number}.pt")
    for one, two in zip(model_grads(slice(None), 1), found["model"], strict=True):
        torch.testing.assert_close(two, one, rtol=1e-4, atol=1e-5)
    for kind in ALIGNMENTS:
        expected = [value for part in given(kind, slice(None)) for value in part]
        assert len(expected) >= 10 and any(value.abs().sum() > 0 for value in expected[2:6]), kind
        for place, (one, two) in enumerate(zip(expected, found[kind], strict=True)):
            torch.testing.assert_close(two, one, msg=lambda text: f"{kind}, number {place}: {text}")
"""


def test_two_ranks_have_the_loss_and_the_gradients_of_one_with_the_whole_batch(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
