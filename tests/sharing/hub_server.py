"""A server that gives files as the hub does, for the hub's own client."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMITS = {"main": "0123456789abcdef0123456789abcdef01234567", "v1": "89abcdef0123456789abcdef0123456789abcdef"}


class Hub(ThreadingHTTPServer):
    """Files by repository, revision and name; notes what it is asked for."""

    def __init__(self, files: dict[tuple[str, str, str], bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files
        self.asked: list[str] = []
        self.broken = False

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(f"{self.command} {path}")
        repo, _, rest = path[1:].partition("/resolve/")
        revision, _, name = rest.partition("/")
        revision = {commit: branch for branch, commit in COMMITS.items()}.get(revision, revision)
        known = [key for key in self.server.files if key[0] == repo]
        content = self.server.files.get((repo, revision, name))
        code = None
        if not known:
            code = "RepoNotFound"
        elif all(key[1] != revision for key in known):
            code = "RevisionNotFound"
        elif content is None:
            code = "EntryNotFound"
        self.send_response(503 if self.server.broken else 200 if code is None else 404)
        if code is not None:
            self.send_header("X-Error-Code", code)
        if revision in COMMITS:
            self.send_header("X-Repo-Commit", COMMITS[revision])
        content = content or b""
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in its base
        pass


@contextmanager
def serving(files: dict[tuple[str, str, str], bytes]) -> Iterator[Hub]:
    """Run the server until the end of the block."""
    with Hub(files) as hub:
        thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()
