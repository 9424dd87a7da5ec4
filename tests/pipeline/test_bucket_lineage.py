"""Lineage and audit of a store in a bucket, on a machine that has no copy of anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.audit import audit
from pipeline.ledgers import ledger
from pipeline.lineage import ancestry
from pipeline.object_store import ObjectStore
from pipeline.sample_lineage import artifact_keys, trace
from pipeline.verify import verify
from tasks.promotions import Decision, append
from tests.pipeline.people import SECRET, _tasks_of_the_world
from tests.pipeline.test_bucket_forget import _in_this_process, machine, place, world

__all__ = ["_in_this_process", "_tasks_of_the_world", "place", "world"]


@pytest.fixture
def away(place: str, tmp_path: Path) -> ObjectStore:
    """Another machine's view of the bucket."""
    return machine(place, tmp_path / "away")


def test_both_directions_are_read_from_the_bucket_without_bringing_a_tar(away: ObjectStore) -> None:
    by_kind = {(away.manifest(key) or {})["kind"]: key for key in artifact_keys(away)}
    model = by_kind["model"]
    away.create("versions/people/1.json", json.dumps({"model_key": model, "report_key": by_kind["report"], "tags": {}}).encode())
    append(away, "people", Decision(action="promoted", alias="champion", version="1", model_key=model))
    found = ancestry(away, by_kind["report"])
    assert [origin.kind for origin in found] == ["report", "model", "shards", "corpus"]
    assert len(list(ledger(away, found[2]))) == 31
    sample = trace(away, SECRET)
    assert {place.kind for place in sample.places} == {"corpus", "shards"}
    assert [reached.aliases for reached in sample.models] == [("people@best", "people@champion")]
    assert not list(away.root.rglob("*.tar"))


def test_an_audit_and_a_verification_of_a_bucket(away: ObjectStore) -> None:
    model = next(key for key in artifact_keys(away) if (away.manifest(key) or {})["kind"] == "model")
    away.create("versions/people/1.json", json.dumps({"model_key": model, "tags": {}}).encode())
    append(away, "people", Decision(action="promoted", alias="champion", version="1", model_key=model))
    assert audit(away, "people").problems == ()
    assert verify(away, model) == []
    entry = away.read("promotions/people/1.json")
    away.bucket.replace("promotions/people/1.json", entry.replace(b'"alias": "champion"', b'"alias": "champio2"'))
    assert any("entry 1 is not the one that was sealed" in problem for problem in audit(away, "people").problems)
