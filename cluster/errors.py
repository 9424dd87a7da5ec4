"""What can go wrong with the cluster.

    ClusterError         Ray cannot be started or reached
    └── NoRoom           no node has what a step asks for

Every class takes strings only, so that each survives pickling.
"""

from __future__ import annotations


class ClusterError(Exception):
    """Ray cannot be started or reached; the message says what was tried and what to do."""


class NoRoom(ClusterError):
    """No node has what a step asks for."""
