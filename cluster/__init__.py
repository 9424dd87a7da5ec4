"""Where steps run: start or join Ray. Knows neither `pipeline` nor `tasks`."""

from cluster.connect import Connection, connected

__all__ = ["Connection", "connected"]
