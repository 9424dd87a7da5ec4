"""torch.compile for the parts of a fused model. In: a model. Out: the same model, whose parts run compiled.

Each part is compiled where it stands, so that names of parameters, checkpoints and copies stay as they are. Must not import ray or mlflow.
"""

from __future__ import annotations

import os
import shutil

from tasks.errors import InputError
from tasks.models.fused import FusedModel
from tasks.models.recompute import parts


def compile_parts(model: FusedModel, backend: str = "inductor") -> None:
    """Compile encoders, fusion and trunks, when they are first called. Raises InputError where there is no C++ compiler.

    `backend`: one of torch's; "inductor" writes and builds code, "aot_eager" only captures the graphs.
    """
    if backend == "inductor":
        check_compiler()
    for part in parts(model):
        part.compile(backend=backend)


def check_compiler() -> None:
    """Raises InputError when what torch.compile writes could not be built."""
    name = os.environ.get("CXX") or "g++"
    if shutil.which(name) is None:
        raise InputError(
            f"`compile: true` needs a C++ compiler, and {name} is not here; install g++, name another in the environment variable CXX, or "
            "leave `compile` out"
        )
