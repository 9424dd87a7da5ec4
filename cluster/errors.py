"""What can go wrong with the cluster.

    ClusterError         Ray cannot be started or reached
    ├── NoRoom           no node has what a step asks for
    ├── ClusterFileError a file for Ray's cluster launcher is wrong; carries every problem found (exit code 2)
    ├── LaunchError      Ray's cluster launcher failed
    ├── Unreachable      nothing answers at the head's address, or what answers is no Ray
    └── Refused          what is asked of a head cannot be done as it is given (exit code 2)
        ├── Unfit        nodes cannot do their part of a run; carries every problem found
        ├── TokenError   the head's token is missing, wrong, or would travel in clear
        ├── TooLarge     the package is over what Ray takes
        ├── OtherVersion the head's Ray or Python cannot run this code
        └── NoSuchJob    the head knows no job of this id

Every class takes strings only, so that each survives pickling.
"""

from __future__ import annotations


class ClusterError(Exception):
    """Ray cannot be started or reached; the message says what was tried and what to do."""


class NoRoom(ClusterError):
    """No node has what a step asks for."""


class Unreachable(ClusterError):
    """Nothing answers at the head's address, or what answers is no Ray."""


class Refused(ClusterError):
    """What is asked of a head cannot be done as it is given; the message says what to change."""


class Unfit(Refused):
    """Nodes cannot do their part of a run; `problems` holds one sentence each."""

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


class TokenError(Refused):
    """The head's token is missing, wrong, or would travel in clear."""


class TooLarge(Refused):
    """The package is over what Ray takes."""


class OtherVersion(Refused):
    """The head's Ray or Python cannot run this code."""


class NoSuchJob(Refused):
    """The head knows no job of this id."""


class ClusterFileError(ClusterError):
    """A file for Ray's cluster launcher is wrong; `problems` holds one sentence each."""

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


class LaunchError(ClusterError):
    """Ray's cluster launcher failed; the message has its last words."""
