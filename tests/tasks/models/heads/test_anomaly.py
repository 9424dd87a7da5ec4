"""The score of strangeness: the closed form of a Gaussian, no gradient to what is looked at, never a loss below 0."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal, spearmanr
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional as F

from tasks.models.contracts import Features
from tasks.models.heads.anomaly import PACE, Anomaly
from tasks.models.heads.config_labels import AnomalyConfig
from tasks.models.tokens import single
from tests.tasks.models.heading import features

WIDTH = 12


def head_of(width: int = WIDTH, **settings: float) -> Anomaly:
    return Anomaly(AnomalyConfig(**settings), "strange", {"kind": "none"}, width)


def given(values_BD: Tensor) -> Features:
    return Features({}, single(values_BD), torch.ones(len(values_BD), 1, dtype=torch.bool), ("image",))


def correlated(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mix_ED = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(99))
    noise_BD = 0.3 * torch.randn(count, WIDTH, generator=generator)
    return torch.randn(count, 3, generator=generator) @ mix_ED + noise_BD + torch.linspace(-2, 2, WIDTH)


def test_the_loss_is_the_negative_log_likelihood_of_a_gaussian() -> None:
    head, values_BD = head_of(), correlated(5, 1)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(0.01 * torch.randn_like(parameter))
    logarithm_D = head.highest - F.softplus(head.highest - PACE * head.logarithm_D)
    foretelling_DD = torch.eye(WIDTH) - PACE * head.foretelling_DD.tril(-1)
    weight_DD = (logarithm_D.exp()[:, None] * foretelling_DD).detach().double()
    middle_D = torch.linalg.solve(foretelling_DD.detach().double(), PACE * head.bias_D.detach().double())
    covariance_DD = torch.linalg.inv(weight_DD.T @ weight_DD)
    normed_BD = F.layer_norm(values_BD.double(), (WIDTH,))
    expected_B = -multivariate_normal(middle_D.numpy(), covariance_DD.numpy()).logpdf(normed_BD.numpy()) / WIDTH
    least = np.log(2 * np.pi) / 2 - head.highest
    found = head.loss(head(given(values_BD)), None, torch.ones(5))
    assert float(found.total.detach()) / 5 == pytest.approx(float(expected_B.mean()) - least, rel=1e-5)


def test_a_trained_score_orders_samples_as_the_closed_form_and_finds_what_breaks_the_pattern() -> None:
    torch.manual_seed(0)
    head, train = head_of(), correlated(1000, 1)
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3)
    for step in range(300):
        batch = train[torch.randint(0, 1000, (64,), generator=torch.Generator().manual_seed(step))]
        loss = head.loss(head(given(batch)), None, torch.ones(64))
        (loss.total / loss.weight).backward()
        optimizer.step()
        optimizer.zero_grad()
    usual, strange = correlated(400, 2), correlated(400, 3)
    strange = strange.gather(1, torch.stack([torch.randperm(WIDTH, generator=torch.Generator().manual_seed(row)) for row in range(400)]))
    score_B = head.predict(head(given(torch.cat([usual, strange])))).detach().numpy()
    normed_BD, known = F.layer_norm(torch.cat([usual, strange]), (WIDTH,)).numpy(), F.layer_norm(train, (WIDTH,)).numpy()
    apart_BD = normed_BD - known.mean(0)
    inverse_DD = np.linalg.inv(np.cov(known.T) + 0.05**2 * np.eye(WIDTH))
    exact_B = np.einsum("bi,ij,bj->b", apart_BD, inverse_DD, apart_BD)
    assert spearmanr(score_B, exact_B)[0] > 0.95
    assert score_B[:400].mean() == pytest.approx(1, abs=0.2)
    truth = np.repeat([0, 1], 400)
    assert roc_auc_score(truth, score_B) > roc_auc_score(truth, exact_B) - 0.02 > 0.9


def test_no_gradient_reaches_what_is_looked_at() -> None:
    values_BD = correlated(4, 1).requires_grad_()
    head_of().loss(head_of()(given(values_BD)), None, torch.ones(4)).total.backward()
    assert values_BD.grad is not None, "data-parallel training waits for it"
    assert not values_BD.grad.any()


def test_the_loss_of_samples_that_are_all_the_same_does_not_fall_below_0() -> None:
    head, same = head_of(), torch.ones(4, WIDTH).cumsum(1)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.002)
    losses = []
    for _ in range(200):
        loss = head.loss(head(given(same)), None, torch.ones(4))
        losses.append(float(loss.total.detach()))
        loss.total.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < losses[0]
    assert min(losses) >= 0


def test_half_precision_gives_the_score_in_whole() -> None:
    head = head_of(16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        score_B = head.predict(head(features()))
    torch.testing.assert_close(score_B, head.predict(head(features())))
