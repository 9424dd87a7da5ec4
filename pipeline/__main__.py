"""`medley`, and `python -m pipeline`: parse first, import what the verb needs, print errors.

Exit codes: 0 done, 1 failed, 2 the input is wrong, 3 the gate said no, 130 stopped.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pipeline.code import check_packages
from pipeline.errors import Interrupted, NotFound, PipelineError, RecipeError, Shadowed

FAILED, BAD_INPUT, STOPPED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and say how it went."""
    try:
        check_packages()
    except Shadowed as error:
        return _complain(error)
    from cluster.errors import ClusterError  # only now: the check above says whose packages these are
    from pipeline.cli.parser import parse
    from tasks.errors import TaskError

    arguments = parse(sys.argv[1:] if argv is None else argv)
    try:
        return int(arguments.verb(arguments))
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped; finished steps are kept, the same command goes on from there\n")
        return STOPPED
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away, as `| head` does
        return 0
    except (PipelineError, TaskError, ClusterError) as error:
        return _complain(error)


def _complain(error: Exception) -> int:
    problems = getattr(error, "problems", None) or (str(error),)
    for problem in problems:
        sys.stderr.write(f"error: {problem}\n")
    if len(problems) > 1:
        sys.stderr.write(f"{len(problems)} problems; nothing was run\n")
    return _code(error)


def _code(error: Exception) -> int:
    if isinstance(error, Interrupted):
        return STOPPED
    if isinstance(error, RecipeError | NotFound):
        return BAD_INPUT
    if isinstance(error, PipelineError):
        return FAILED
    from cluster.errors import Refused
    from tasks.errors import InputError

    return BAD_INPUT if isinstance(error, InputError | Refused) else FAILED


if __name__ == "__main__":
    sys.exit(main())
