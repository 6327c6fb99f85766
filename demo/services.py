"""What the demo plays on: a GitHub stand-in, web and builder, each the real thing, started and surely stopped."""

import fcntl
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from base.settings import PREFIX
from demo.github.bare_repository import BareRepository
from demo.github.delivery import ZERO_COMMIT, deliver, push_payload
from demo.github.git_server import GitServer
from repo2hub.client.service import JSON
from repo2hub.commands.db import migrate_database
from repo2hub.commands.up import load_all_settings, web_command
from repo2hub.output.errors import CommandFailed
from repo2hub.startup import listen_address, webhook_secret_file
from repo2hub.startup.child_processes import ChildProcesses, repo2hub_command, wait_until_healthy
from webhook.settings import WebSettings

DEMO_IMAGE_PREFIX = "repo2hub-demo/"
"""How the names of the demo's images begin."""
_PORT = 8585
# What whoever starts the demo may set; all other variables would change what it shows.
_INHERITED_SETTINGS = ("BASE_IMAGE", "EXTRA_CA_CERTS", "HOST", "PORT")


class Interrupted(BaseException):
    """Ctrl-C, or a request to end. Not an Exception: nothing in between may take it for a failure."""


class Interruptions:
    """Turns a signal, or a child that ended by itself, into an exception: within `raised`, and once only.

    What is started before that block and cleaned up after it is never left half-way. A signal that comes while
    cleaning up puts the children in a hurry.
    """

    def __init__(self, children: ChildProcesses, folder: Path) -> None:
        """Take over the signals of this process; what comes before the block is raised at its beginning."""
        self._children = children
        self._demo_folder = folder
        self._may_raise = False
        self._signals = 0
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGCHLD, self._on_child)

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Raise them anywhere within the block."""
        try:
            self._allow()
            yield
        finally:
            self._may_raise = False

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Within `raised`: keep them until the end of this block."""
        self._may_raise = False
        yield
        self._allow()

    def _allow(self) -> None:
        self._may_raise = True
        if self._signals:
            self._may_raise = False
            raise Interrupted
        self._on_child()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 1:
            self._children.kill_now()
        if self._may_raise:
            self._may_raise = False
            raise Interrupted

    def _on_child(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        exited_child = self._children.exited_child() if self._may_raise else None
        if exited_child is not None:
            self._may_raise = False
            name, status = exited_child
            log = self._demo_folder / f"{name}.log"
            raise CommandFailed(f"`repo2hub {name}` ended (exit status {status}); its log is {log}")


@dataclass
class DemoServices:
    """The service, and the one repository that its GitHub has."""

    settings: WebSettings
    repository: BareRepository
    key: str
    interruptions: Interruptions
    children: ChildProcesses

    @property
    def address(self) -> str:
        return listen_address.service_address(self.settings)

    def push(self, files: Mapping[str, bytes], message: str) -> JSON:
        """Commit files, tell the service by a signed delivery, and return its answer."""
        before = self.repository.head() or ZERO_COMMIT
        commit = self.repository.commit(files, message=message, when=datetime.now(UTC))
        payload = push_payload(
            self.repository.full_name,
            commit=commit,
            before=before,
            server=self.settings.github_url,
            message=message,
            pushed_at=int(time.time()),
        )
        answer = deliver(f"{self.address}webhook/github", "push", payload, secret=self.key)
        if answer.status_code != 202:
            raise CommandFailed(f"the delivery was answered with HTTP {answer.status_code}: {answer.text}")
        said: JSON = answer.json()
        return said


@contextmanager
def start_services(
    repository: str, extra_settings: Mapping[str, str] | None = None
) -> Iterator[DemoServices]:
    """Start it all with an empty `repository`, and stop it at the end of the block, whatever ends that.

    `extra_settings` are settings without their prefix.

    The folder stays for the next run: its secret name of the package cache is what makes that one fast. The
    records do not. This process's REPO2HUB_ variables become those of the demo.
    """
    folder = _demo_folder()
    with ExitStack() as stack:
        stack.enter_context(_exclusive_lock(folder))
        children = stack.enter_context(ChildProcesses())
        interruptions = Interruptions(children, folder)
        github = stack.enter_context(GitServer(folder / "github"))
        _delete_records(folder)
        key = webhook_secret_file.ensure_secret(folder)
        _set_environment(folder, github.url, key, extra_settings or {})
        settings = load_all_settings({})
        listen_address.require_free_port(settings)
        migrate_database(settings)
        for name, argv in (("web", web_command(settings)), ("builder", repo2hub_command("builder"))):
            children.start(name, argv, os.environ, folder / f"{name}.log")
        made = key.read_text(encoding="ascii").strip()
        services = DemoServices(settings, github.create(repository), made, interruptions, children)
        stack.enter_context(interruptions.raised())
        if not wait_until_healthy(services.address, children):
            raise CommandFailed(f"the web process does not answer; its log is {folder / 'web.log'}")
        yield services


def _demo_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get(f"{PREFIX}CACHE") or f"{cache}/repo2hub").expanduser().absolute() / "demo"


@contextmanager
def _exclusive_lock(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise CommandFailed("another demo of this user is running; end that one first") from exc
        yield


def _delete_records(folder: Path) -> None:
    for path in [*folder.glob("repo2hub.db*"), *folder.glob("*.log")]:
        path.unlink()


def _set_environment(folder: Path, github_url: str, key: Path, extra_settings: Mapping[str, str]) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        if name.removeprefix(PREFIX) not in _INHERITED_SETTINGS:
            del os.environ[name]
    ours = {
        "DATA_DIR": str(folder),
        "GITHUB_URL": github_url,
        "IMAGE_PREFIX": DEMO_IMAGE_PREFIX,
        "BUILDPACKS": "uv,standard",
        "WEBHOOK_SECRETS_FILE": str(key),
        "LOG_FORMAT": "json",
        **extra_settings,
    }
    os.environ.update({f"{PREFIX}{name}": value for name, value in ours.items()})
    os.environ.setdefault(f"{PREFIX}PORT", str(_free_port()))


def _free_port() -> int:
    """Return the usual port where it is free, else any free one."""
    for port in (_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            return found
    raise CommandFailed("no port is free on 127.0.0.1")
