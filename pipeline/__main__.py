"""`medley`, and `python -m pipeline`: parse first, import what the verb needs, print errors.

Exit codes: 0 done, 1 failed, 2 the input is wrong, 3 the gate said no or data drifted, 130 stopped. With `--json` an error is also one
document on stdout, `{"error": {"messages": […], "exit_code": 2}}`.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence

FAILED, BAD_INPUT, STOPPED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and say how it went."""
    words = sys.argv[1:] if argv is None else argv
    try:
        with _terminable():
            return _obey(words)
    except KeyboardInterrupt:
        return _stopped(words)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends a verb as Ctrl-C does. A run listens to both by itself while its steps go on."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _obey(argv: Sequence[str]) -> int:
    from pipeline.code import check_packages  # imports are inside, so that Ctrl-C during them ends in order too
    from pipeline.errors import PipelineError, Shadowed

    try:
        check_packages()
    except Shadowed as error:
        return _complain(error, argv)
    from cluster.errors import ClusterError  # only now: the check above says whose packages these are
    from pipeline.cli.parser import parse
    from tasks.errors import TaskError

    try:
        arguments = parse(argv)
        return int(arguments.verb(arguments))
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away, as `| head` does
        return 0
    except (PipelineError, TaskError, ClusterError) as error:
        return _complain(error, argv)


def _stopped(argv: Sequence[str]) -> int:
    """A run whose steps go on says by itself what it finished; whatever else is stopped can just be called again."""
    import shlex

    from pipeline.cli.output import program

    told = "stopped; what is finished is kept, and nothing else was changed"
    sys.stderr.write(f"\n{told}\n")
    sys.stderr.write(f"to go on from there: {shlex.join([program('medley'), *sys.argv[1:]])}\n")
    return _ended([told], STOPPED, argv)


def _complain(error: Exception, argv: Sequence[str]) -> int:
    problems = getattr(error, "problems", None) or (str(error),)
    for problem in problems:
        sys.stderr.write(f"error: {problem}\n")
    if len(problems) > 1:
        sys.stderr.write(f"{len(problems)} problems; nothing was run\n")
    return _ended(problems, _code(error), argv)


def _ended(messages: Sequence[str], code: int, argv: Sequence[str]) -> int:
    """Tell a program as well, when a program asked."""
    if "--json" in argv:
        from pipeline.cli import output

        output.failure(messages, code)
    return code


def _code(error: Exception) -> int:
    from pipeline.errors import NotFound, PipelineError, RecipeError

    if isinstance(error, RecipeError | NotFound):
        return BAD_INPUT
    if isinstance(error, PipelineError):
        return FAILED
    from cluster.errors import Refused
    from tasks.errors import InputError

    return BAD_INPUT if isinstance(error, InputError | Refused) else FAILED


if __name__ == "__main__":
    sys.exit(main())
