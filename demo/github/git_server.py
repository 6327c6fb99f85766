"""A git server on loopback that behaves like GitHub's, for the demo and for tests.

It is git's own server, `git http-backend`, behind a small HTTP server, for bare repositories in one folder. As
on GitHub, names are case-insensitive, with or without `.git`; any commit can be fetched by its hash; without a
token, a private repository gets the same 401 as one that does not exist; and a renamed repository redirects. It
has no API, no web pages and no webhooks, and must never be exposed to a network.
"""

import base64
import hmac
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from demo.github.bare_repository import BareRepository, git_environment

_CHALLENGE = {"WWW-Authenticate": 'Basic realm="GitHub"'}


@dataclass
class GitServer:
    """Serves the repositories in `root` at http://127.0.0.1:<port>/<org>/<repo>.

    `requests` lists all requests as "METHOD path?query"; `authorized` lists the paths of requests with
    credentials, valid or not. With `suffix_redirects` a name without `.git` redirects to the one with it, as on
    GitLab. Use it as a context manager, or with `start` and `stop`.
    """

    root: Path
    port: int = 0
    suffix_redirects: bool = False
    requests: list[str] = field(default_factory=list)
    authorized: list[str] = field(default_factory=list)
    _repositories: dict[str, BareRepository] = field(default_factory=dict)
    _tokens: dict[str, str] = field(default_factory=dict)
    _renamed: dict[str, str] = field(default_factory=dict)
    _is_open: threading.Event = field(default_factory=threading.Event)
    _http: ThreadingHTTPServer | None = None
    _thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address instead of https://github.com. Raises RuntimeError if the server is not started."""
        if self._http is None:
            raise RuntimeError("the git server is not started")
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def start(self) -> None:
        self._is_open.set()
        server = self

        class Handler(_Handler):
            git = server

        self._http = _Server(("127.0.0.1", self.port), Handler)
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.05,), name="git-server", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        if self._http is not None and self._thread is not None:
            self._http.shutdown()
            self._http.server_close()
            self._thread.join()
            self._http = self._thread = None

    def __enter__(self) -> "GitServer":
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def create(self, full_name: str, *, token: str | None = None) -> BareRepository:
        """Create an empty repository; with a `token` it is private and can only be read with this token."""
        key = full_name.lower()
        path = self.root / f"{key}.git"
        shutil.rmtree(path, ignore_errors=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._repositories[key] = BareRepository(path, full_name, f"{self.url}/{full_name}")
        if token is not None:
            self._tokens[key] = token
        return self._repositories[key]

    def make_private(self, full_name: str, token: str) -> None:
        """Make a public repository private; it can only be read with this token."""
        self._tokens[full_name.lower()] = token

    def delete(self, full_name: str) -> None:
        shutil.rmtree(self._repositories.pop(full_name.lower()).path)

    def rename(self, old: str, new: str) -> None:
        """Rename a repository; the old name redirects, as on GitHub."""
        key, repository = new.lower(), self._repositories.pop(old.lower())
        path = self.root / f"{key}.git"
        path.parent.mkdir(parents=True, exist_ok=True)
        repository.path = repository.path.rename(path)
        repository.full_name, repository.url = new, f"{self.url}/{new}"
        self._repositories[key] = repository
        self._renamed[old.lower()] = new
        if token := self._tokens.pop(old.lower(), None):
            self._tokens[key] = token

    def redirect(self, full_name: str, url: str) -> None:
        """Redirect a name to any URL. GitHub never redirects to another host, but tests need it."""
        self._renamed[full_name.lower()] = url

    def find(self, full_name: str) -> BareRepository | None:
        return self._repositories.get(full_name.lower())

    def redirect_target(self, full_name: str) -> str | None:
        return self._renamed.get(full_name.lower())

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """Accept requests but answer none of them while the block runs, as GitHub does during an outage."""
        self._is_open.clear()
        try:
            yield
        finally:
            self._is_open.set()

    def wait_until_open(self) -> None:
        """Wait until requests are answered, for at most two minutes."""
        self._is_open.wait(120)

    def is_authorized(self, full_name: str, authorization: str) -> bool:
        """Return whether a repository can be read with this Authorization header."""
        token = self._tokens.get(full_name.lower())
        if token is None:
            return True
        expected = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        return hmac.compare_digest(authorization.encode(), f"Basic {expected}".encode())


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing if a client disconnects, which tests do all the time."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    """Handles a request: find the repository, check access, run `git http-backend` as a CGI program."""

    git: GitServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: `GitServer.requests` is the log."""

    def _serve(self) -> None:
        body = self._body()
        parts = urlsplit(self.path)
        _, org, name, *rest = [*parts.path.split("/"), "", ""]
        full_name, service = f"{org}/{name.removesuffix('.git')}", "/".join(part for part in rest if part)
        authorization = self.headers.get("Authorization", "")
        self.git.requests.append(f"{self.command} {self.path}")
        self.git.wait_until_open()
        if authorization:
            self.git.authorized.append(parts.path)
        if target := self.git.redirect_target(full_name):
            base = target if "://" in target else f"{self.git.url}/{target}"
            self._answer(301, {"Location": f"{base}/{service}?{parts.query}"})
        elif self.git.suffix_redirects and not name.endswith(".git"):
            self._answer(301, {"Location": f"{self.git.url}/{org}/{name}.git/{service}?{parts.query}"})
        elif not self.git.is_authorized(full_name, authorization):
            self._answer(401, _CHALLENGE, b"Repository not found.\n")
        elif repository := self.git.find(full_name):
            self._run_backend(repository, service, parts.query, body)
        elif authorization:
            self._answer(404, {}, b"Repository not found.\n")
        else:
            self._answer(401, _CHALLENGE, b"Repository not found.\n")

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _run_backend(self, repository: BareRepository, service: str, query: str, body: bytes) -> None:
        env = git_environment() | {
            "GIT_PROJECT_ROOT": str(repository.path),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{service}",
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n") if ": " in line)
        self._answer(int(headers.pop("Status", "200").split()[0]), headers, content)

    def _answer(self, status: int, headers: Mapping[str, str], content: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        with suppress(ConnectionError):  # the client has disconnected
            self.end_headers()
            self.wfile.write(content)
