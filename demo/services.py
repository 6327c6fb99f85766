"""The processes of the demo: a stand-in for GitHub, a web process and a builder; started, and always stopped."""

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from base.settings import PREFIX
from demo.github.bare_repository import BareRepository
from demo.github.delivery import ZERO_COMMIT, deliver, push_payload
from demo.github.git_server import GitServer
from demo.interruptions import Interruptions
from demo.ports import free_ports
from repo2hub.client.event_stream import JSON
from repo2hub.commands.up import load_all_settings, web_command
from repo2hub.output.errors import CommandFailed
from repo2hub.startup import listen_address, webhook_secret_file
from repo2hub.startup.child_processes import ChildProcesses, repo2hub_command, wait_until_healthy
from repo2hub.startup.database_schema import migrate_database
from webhook.settings import WebSettings

DEMO_IMAGE_PREFIX = "repo2hub-demo/"
"""The prefix of the names of the demo's images."""
_PREFERRED_PORT = 8585
# The settings that the caller may set. Any other would change what the demo shows.
_INHERITED_SETTINGS = ("BASE_IMAGE", "EXTRA_CA_CERTS", "HOST", "PORT")


@dataclass
class DemoServices:
    """The running service, and the one repository of its GitHub."""

    settings: WebSettings
    repository: BareRepository
    webhook_secret: str
    interruptions: Interruptions
    children: ChildProcesses

    @property
    def address(self) -> str:
        return listen_address.service_address(self.settings)

    def push(self, files: Mapping[str, bytes], message: str) -> JSON:
        """Commit files, send the push as a signed delivery, and return the response. Raises CommandFailed."""
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
        response = deliver(f"{self.address}webhook/github", "push", payload, secret=self.webhook_secret)
        if response.status_code != 202:
            raise CommandFailed(f"The delivery failed with HTTP {response.status_code}: {response.text}")
        answer: JSON = response.json()
        return answer


@contextmanager
def start_services(
    repository: str, extra_settings: Mapping[str, str] | None = None
) -> Iterator[DemoServices]:
    """Start everything with an empty `repository`, and stop it at the end of the block, also after an exception.

    `extra_settings` are settings without their prefix. The REPO2HUB_ variables of this process are replaced by
    those of the demo. Its folder is kept for the next run, because the name of the package cache, which makes
    builds fast, is in it; its records are deleted.
    """
    folder = _demo_folder()
    with ExitStack() as stack:
        stack.enter_context(_exclusive_lock(folder))
        children = stack.enter_context(ChildProcesses())
        interruptions = Interruptions(children, folder)
        github = stack.enter_context(GitServer(folder / "github"))
        _delete_records(folder)
        secret_file = webhook_secret_file.ensure_secret(folder)
        _set_environment(folder, github.url, secret_file, extra_settings or {})
        settings = load_all_settings({})
        listen_address.require_free_port(settings)
        migrate_database(settings)
        for name, argv in (("web", web_command(settings)), ("builder", repo2hub_command("builder"))):
            children.start(name, argv, os.environ, folder / f"{name}.log")
        secret = secret_file.read_text(encoding="ascii").strip()
        services = DemoServices(settings, github.create(repository), secret, interruptions, children)
        stack.enter_context(interruptions.raised())
        if not wait_until_healthy(services.address, children):
            raise CommandFailed(f"The web process does not answer. See its log: {folder / 'web.log'}")
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
            raise CommandFailed("Another demo of this user is running. Stop that one first.") from exc
        yield


def _delete_records(folder: Path) -> None:
    for path in [*folder.glob("repo2hub.db*"), *folder.glob("*.log")]:
        path.unlink()


def _set_environment(
    folder: Path, github_url: str, secret_file: Path, extra_settings: Mapping[str, str]
) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        if name.removeprefix(PREFIX) not in _INHERITED_SETTINGS:
            del os.environ[name]
    settings = {
        "DATA_DIR": str(folder),
        "GITHUB_URL": github_url,
        "IMAGE_PREFIX": DEMO_IMAGE_PREFIX,
        "BUILDPACKS": "uv,standard",
        "WEBHOOK_SECRETS_FILE": str(secret_file),
        "LOG_FORMAT": "json",
        **extra_settings,
    }
    os.environ.update({f"{PREFIX}{name}": value for name, value in settings.items()})
    if f"{PREFIX}PORT" not in os.environ:
        [port] = free_ports(_PREFERRED_PORT)
        os.environ[f"{PREFIX}PORT"] = str(port)
