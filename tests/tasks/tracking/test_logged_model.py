"""What a logged model says it needs."""

from __future__ import annotations

from importlib.metadata import version

from tasks.tracking.logged_model import requirements


def needs(kind: str) -> list[str]:
    return requirements({"model": {"encoders": {"text": {"kind": kind}}}})


def test_a_model_with_a_part_of_hugging_face_needs_transformers_where_it_is_served() -> None:
    assert f"transformers=={version('transformers')}" in needs("hf_text")
    assert not [name for name in needs("gru") if name.startswith("transformers")]
    assert needs("hf_text")[:-1] == needs("gru")
