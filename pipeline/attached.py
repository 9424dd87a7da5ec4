"""`python -m pipeline.attached PARENT VERB …`: medley, for as long as its parent lives.

In: the process id of the parent and the words of a verb. Out: what the verb says and its exit code. However the parent ends, SIGKILL
included, the system ends this process with it: so nothing runs on that nobody minds. The parent must start it from a thread that lives as
long as the process does, since Linux counts the thread.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> int:
    """Attach, then obey."""
    parent, *words = sys.argv[1:]
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # it ended before this was asked for
        return 1
    from pipeline.__main__ import main as medley

    sys.argv = ["medley", *words]  # so that the run's journal has the command that a person would type
    return medley(words)


if __name__ == "__main__":
    sys.exit(main())
