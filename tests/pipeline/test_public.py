from __future__ import annotations

import pytest

import cluster
import pipeline
import tasks


@pytest.mark.parametrize(("package", "name"), [(package, name) for package in (pipeline, tasks, cluster) for name in package.__all__])
def test_every_public_name_is_there(package: object, name: str) -> None:
    assert getattr(package, name) is not None


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    for package in (pipeline, tasks):
        with pytest.raises(AttributeError, match="nothing_of_ours"):
            _ = package.nothing_of_ours
