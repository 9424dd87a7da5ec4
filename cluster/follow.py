"""A job's log while it is written.

In: a head and a job. Out: the log in pieces, each once, and the job when it is over. A broken connection is taken up where it broke.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from urllib.parse import quote

from cluster.errors import Unreachable
from cluster.head import Head, Job

RETRY_S = 2.0
"""Pause before a broken connection is taken up."""
PATIENCE_S = 120.0
"""How long a head may be silent before following it ends."""


def follow(head: Head, job_id: str, write: Callable[[str], None]) -> Job:
    """Pass on what a job prints until it is over. Raises Unreachable when the head stays silent; the job may well go on then."""
    shown, answered = 0, time.monotonic()
    while True:
        shown = asyncio.run(_stream(head, job_id, shown, write))
        try:
            job = head.job(job_id)
            answered = time.monotonic()
            if job.over:
                write(head.logs(job_id)[shown:])
                return job
        except Unreachable as error:
            if time.monotonic() - answered > PATIENCE_S:
                raise Unreachable(
                    f"lost {head.address} while job {job_id} ran: {error}; the job does not depend on this connection, "
                    f"`medley logs {job_id} --address {head.address}` attaches again"
                ) from error
        time.sleep(RETRY_S)


async def _stream(head: Head, job_id: str, skip: int, write: Callable[[str], None]) -> int:
    """Write what comes after the first `skip` characters; returns how many there were in all."""
    import aiohttp

    seen = 0
    try:
        async for text in _pieces(head, job_id):
            seen += len(text)
            if seen > skip:
                write(text[max(0, len(text) - (seen - skip)) :])
    except (aiohttp.ClientError, OSError):
        pass  # broken: the caller asks the head how the job stands, and comes back for the rest
    return max(seen, skip)


async def _pieces(head: Head, job_id: str) -> AsyncIterator[str]:
    import aiohttp

    url = f"{head.address}/api/jobs/{quote(job_id, safe='')}/logs/tail"
    async with (
        aiohttp.ClientSession(headers=dict(head.headers)) as session,
        session.ws_connect(url, max_msg_size=0, heartbeat=30) as socket,
    ):
        async for message in socket:
            if message.type == aiohttp.WSMsgType.TEXT:
                yield message.data
