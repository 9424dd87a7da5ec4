"""What a fusion can learn, on two toy modalities of which each tells one bit at a random place of its sequence.

Shape suffixes: B samples, T tokens, D width.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.models.fusions import FUSIONS
from tasks.models.tokens import Tokens
from tasks.models.trunks import TRUNKS
from tasks.registry import implementation

WIDTH, TOKENS = 16, 4
APART = (("voting", "mlp"), ("sequence", "mlp"))
"""Here the modalities meet in the mean over tokens alone, which adds up what each of them says."""
PARTS = [*((fusion, "mlp") for fusion in FUSIONS), ("sequence", "transformer")]


def samples(size: int, generator: torch.Generator) -> tuple[dict[str, Tokens], Tensor]:
    bits = torch.randint(0, 2, (size, 2), generator=generator)
    found = {}
    for place, name in enumerate(("audio", "text")):
        values_BTD = torch.randn(size, TOKENS, WIDTH, generator=generator) * 0.5
        where_B = torch.randint(0, TOKENS, (size,), generator=generator)
        values_BTD[torch.arange(size), where_B, 0] += 3.0 * (2 * bits[:, place] - 1)
        values_BTD[torch.arange(size), where_B, 1] += 3.0
        found[name] = Tokens(F.layer_norm(values_BTD, (WIDTH,)), torch.ones(size, TOKENS, dtype=torch.bool))
    return found, bits[:, 0] ^ bits[:, 1]


def accuracy(fusion: str, trunk: str, steps: int = 400) -> float:
    """Of whether the two bits differ, on samples that were not trained on."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    model = nn.Sequential(
        implementation(FUSIONS, fusion)(FUSIONS[fusion].config(), ("audio", "text"), WIDTH),
        implementation(TRUNKS, trunk)(TRUNKS[trunk].config(), WIDTH),
        nn.Linear(WIDTH, 2),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)

    def logits(given: dict[str, Tokens]) -> Tensor:
        fused = model[1](model[0](given, torch.ones(given["text"].mask_BT.shape[0], 2, dtype=torch.bool)))
        found: Tensor = model[2](fused.mean_BD())
        return found

    for _ in range(steps):
        given, target_B = samples(64, generator)
        optimizer.zero_grad()
        F.cross_entropy(logits(given), target_B).backward()
        optimizer.step()
    model.eval()
    given, target_B = samples(1000, generator)
    return float((logits(given).argmax(1) == target_B).float().mean())


@pytest.mark.slow
@pytest.mark.parametrize(("fusion", "trunk"), PARTS)
def test_only_where_modalities_meet_is_it_learned_whether_two_bits_differ(fusion: str, trunk: str) -> None:
    found = accuracy(fusion, trunk)
    if (fusion, trunk) in APART:
        assert found < 0.6
    else:
        assert found > 0.75
