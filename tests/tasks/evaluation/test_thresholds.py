from __future__ import annotations

import numpy as np
import pytest

from tasks.errors import InputError
from tasks.evaluate import ThresholdConfig
from tasks.evaluation.intervals import Bootstrap
from tasks.evaluation.predict import HeadPredictions
from tasks.evaluation.thresholds import Scored, check_head, choose, given, scored, threshold_facts

BOOTSTRAP = Bootstrap(resamples=200)
TARGETS = {"precision": min, "recall": max, "coverage": max}
KNOWN = {"digit": {"kind": "category", "classes": ["zero", "one", "two"]}, "height": {"kind": "number", "mean": 0.0, "std": 1.0}}


def seen(number: int = 300, seed: int = 0) -> Scored:
    """Scores with ties; the higher, the likelier right."""
    rng = np.random.default_rng(seed)
    score = np.round(rng.random(number), 2)
    relevant = rng.random(number) < 0.7
    return Scored(score, relevant & (rng.random(number) < score), relevant, np.arange(number) // 3)


def rate(samples: Scored, threshold: float, target: str) -> float:
    answered = samples.score_N >= threshold
    right = (answered & samples.right_N).sum()
    return {"precision": right / answered.sum(), "recall": right / samples.relevant_N.sum(), "coverage": answered.mean()}[target]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("seed", range(4))
def test_the_threshold_is_the_best_of_all_that_reach_the_target(target: str, seed: int) -> None:
    samples = seen(seed=seed)
    for at_least in (0.3, 0.5, 0.62):
        reaching = [score for score in np.unique(samples.score_N) if rate(samples, score, target) >= at_least]
        value, best = choose(samples, target, at_least)
        if reaching:
            assert (value, best) == (TARGETS[target](reaching), None)
        else:
            assert value is None
            assert best == pytest.approx(max(rate(samples, score, target) for score in np.unique(samples.score_N)))


def test_what_it_gives_is_counted_on_the_samples_it_is_given() -> None:
    samples = seen(seed=9)
    facts = given(samples, 0.5, "test", BOOTSTRAP)
    assert facts["answered"] == int((samples.score_N >= 0.5).sum())
    for target in TARGETS:
        assert facts[target] == pytest.approx(rate(samples, 0.5, target))
        low, high = facts[f"{target}_interval"]
        assert low <= facts[target] <= high


def test_a_threshold_that_nothing_reaches_gives_no_precision() -> None:
    facts = given(seen(), 2.0, "test", BOOTSTRAP)
    assert (facts["precision"], facts["precision_interval"], facts["coverage"], facts["recall"]) == (None, None, 0.0, 0.0)


def test_the_evaluated_split_has_no_say_in_the_choice() -> None:
    config = ThresholdConfig(target="precision", at_least=0.55)
    val, test = seen(seed=1), seen(seed=2)
    upside_down = Scored(1 - test.score_N, test.right_N, test.relevant_N, test.groups_N)
    first, other = (threshold_facts(config, val, samples, "test", BOOTSTRAP) for samples in (test, upside_down))
    assert first["value"] == other["value"] == choose(val, "precision", 0.55)[0]
    assert first["chosen_on"] == other["chosen_on"]
    assert first["chosen_on"]["precision"] >= 0.55
    assert first["measured"]["precision"] == pytest.approx(rate(test, first["value"], "precision"))
    assert first["held"] == (first["measured"]["precision"] >= 0.55)
    assert not other["held"]


def test_what_cannot_be_reached_is_said_with_the_most_there_is() -> None:
    facts = threshold_facts(ThresholdConfig(target="recall", at_least=0.999), seen(), seen(seed=1), "test", BOOTSTRAP)
    assert (facts["reached"], facts["value"], facts["measured"], facts["held"]) == (False, None, None, None)
    assert facts["best"] == pytest.approx(rate(seen(), 0.0, "recall"))


def test_without_a_class_the_score_is_the_probability_of_the_answer() -> None:
    samples = scored(*head(), None)
    np.testing.assert_allclose(samples.score_N, [0.7, 0.6, 0.5], atol=1e-6)
    assert samples.right_N.tolist() == [True, False, True]
    assert samples.relevant_N.all()
    assert samples.groups_N.tolist() == ["a", "b", "d"]


def test_with_a_class_the_score_is_its_probability_and_recall_is_of_its_samples() -> None:
    samples = scored(*head(), "one")
    np.testing.assert_allclose(samples.score_N, [0.2, 0.6, 0.3], atol=1e-6)
    assert samples.right_N.tolist() == samples.relevant_N.tolist() == [False, False, False]
    zero = scored(*head(), "zero")
    assert zero.relevant_N.tolist() == [True, True, False]
    assert zero.above(0.5).score_N.size == 1


def head() -> tuple[HeadPredictions, np.ndarray, np.ndarray]:
    """Four samples of three classes; the third has no label."""
    probability = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.8, 0.1, 0.1], [0.2, 0.3, 0.5]], dtype=np.float32)
    own = HeadPredictions({"image": probability.argmax(axis=1)}, ("zero", "one", "two"), probability)
    return own, np.array([0, 0, -1, 2]), np.array(["a", "b", "c", "d"])


@pytest.mark.parametrize(
    ("name", "of_class", "said"),
    [
        ("digits", None, r"the model has no head 'digits'; it has: digit, height; did you mean 'digit'\?"),
        ("height", None, "predicts a number, and a threshold needs probabilities"),
        ("digit", "won", r"'won' is no class of 'digit'; allowed: zero, one, two"),
    ],
)
def test_a_head_or_class_that_has_no_probability_is_refused(name: str, of_class: str | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_head(name, KNOWN, of_class)
    check_head("digit", KNOWN, "two")
