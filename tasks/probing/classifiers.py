"""The probes: models of scikit-learn, each on features of mean 0 and deviation 1. In: a kind. Out: something with `fit` and `predict`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks.errors import InputError

if TYPE_CHECKING:
    from tasks.probe import ProbeConfig


def classifier(kind: str, config: ProbeConfig, seed: int) -> Any:
    """One that was not fitted yet; the same seed gives the same answers. Raises InputError where scikit-learn is missing."""
    try:
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC
    except ImportError as error:
        raise InputError(f"a probe needs scikit-learn, which cannot be imported ({error}); pip install scikit-learn") from error
    if kind == "linear":
        return make_pipeline(StandardScaler(), LogisticRegression(C=config.regularisation, max_iter=2000))
    if kind == "svm":
        return make_pipeline(StandardScaler(), SVC(C=config.regularisation))
    return RandomForestClassifier(config.trees, random_state=seed % 2**32, n_jobs=1)
