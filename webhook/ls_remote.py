"""Asking GitHub (or another server) where a repository's refs stand: `git ls-remote`, with a time limit and a
short cache.

git and not GitHub's REST API: it needs no token for public repositories, knows no hourly limit of 60 requests,
and speaks to any server. The whole list is asked for, since git filters it on this side anyway; one answer then
serves every ref of the repository, and all who ask at the same time.
"""

import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import structlog

from db import git_hosts
from db.git_hosts import NotAllowed, with_suffix
from db.git_said import has_moved, is_hidden
from db.github import git_environment, is_at_github, repository_url, server_url
from db.repositories import name_key

TIME_LIMIT = 10.0
"""Seconds that one question may take."""

_MAX_BYTES = 32 * 2**20  # about half a million refs
_MAX_CACHED = 64  # repositories; each may be a list of many thousand refs
_MAX_CHILDREN = 16
_BACK_OFF = timedelta(seconds=5)  # how long a failure of the network is remembered

log = structlog.get_logger()


class RepositoryMissing(Exception):
    """GitHub shows no such repository: it does not exist, or it is private and we have no access.

    Its text, where there is one, says more, in a sentence for whoever asked.
    """


class Unreachable(Exception):
    """GitHub did not answer in time, or not in a way that says anything of the repository."""


class _Moved(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Listing:
    """A repository's refs and their commits, annotated tags followed to theirs."""

    refs: Mapping[str, str]
    default_branch: str | None
    """The short name of the branch that HEAD stands for; None where it is detached or unborn."""
    asked_at: datetime
    private: bool = False
    """Whether only the token has shown it."""


@dataclass(slots=True)
class _Entry:
    since: float
    answer: Future[Listing] = field(default_factory=Future)

    def is_fresh(self, max_age: timedelta) -> bool:
        if not self.answer.done():
            return True
        age = time.monotonic() - self.since
        failed = isinstance(self.answer.exception(), Unreachable)
        return age <= (min(max_age, _BACK_OFF) if failed else max_age).total_seconds()


class LsRemote:
    """The refs of the GitHub at one address, asked for with one token, and of other servers. Safe to use from many
    threads.
    """

    def __init__(
        self,
        github_url: str,
        token: str | None,
        environ: Mapping[str, str],
        clock: Callable[[], datetime],
        hosts: Sequence[str] = (),
    ) -> None:
        """`hosts` are those of REPO2HUB_GIT_HOSTS, which may be on a private network."""
        self._github_url = github_url
        self._hosts = hosts
        self._token = token
        self._environ = environ
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, str | None], _Entry] = {}
        self._children = threading.BoundedSemaphore(_MAX_CHILDREN)

    def list(self, full_name: str, *, max_age: timedelta, other_ref: str | None = None) -> Listing:
        """Return the branches and tags of a repository, and one other ref (refs/pull/7/head) where it is named.

        An answer as old as `max_age` will do; those who ask at the same time share one question. Raises
        RepositoryMissing or Unreachable.
        """
        key = (name_key(full_name), other_ref)
        with self._lock:
            entry = self._entries.get(key)
            mine = entry is None or not entry.is_fresh(max_age)
            if entry is None or mine:
                entry = self._entries[key] = _Entry(time.monotonic())
                self._forget_oldest()
        if mine:
            self._ask(entry, full_name, other_ref)
        try:
            return entry.answer.result(timeout=2 * TIME_LIMIT + 1)
        except TimeoutError as exc:
            raise Unreachable("GitHub did not answer in time") from exc

    def _forget_oldest(self) -> None:
        for key in sorted(self._entries, key=lambda key: self._entries[key].since)[:-_MAX_CACHED]:
            del self._entries[key]

    def _ask(self, entry: _Entry, full_name: str, other_ref: str | None) -> None:
        asked_at = self._clock()
        try:
            output, private = self._output(full_name, other_ref)
            entry.answer.set_result(replace(parse(output, asked_at), private=private))
        except BaseException as exc:  # whoever waits for the answer must get one
            entry.answer.set_exception(exc)

    def _output(self, full_name: str, other_ref: str | None) -> tuple[str, bool]:
        """Return what git prints, and whether it took the token to see it."""
        if not self._children.acquire(timeout=TIME_LIMIT):
            raise Unreachable("too many questions to GitHub are open")
        url = repository_url(self._github_url, full_name)
        try:
            try:
                return self._run(full_name, url, other_ref), False
            except RepositoryMissing:
                # Without the token first: what is private is not for everybody who asks this service.
                if self._token is None or not is_at_github(full_name):
                    raise
                return self._run(full_name, url, other_ref, self._token), True
            except _Moved:
                # Where it leads is not asked: that may be anywhere.
                return self._run(full_name, with_suffix(url), other_ref), False
        except _Moved:
            raise RepositoryMissing(
                f"{url} leads on to another address, which is not followed. Open it in a browser, and ask for the "
                "address that is shown then."
            ) from None
        except OSError as exc:
            log.error("ls_remote.no_git", error=str(exc))
            raise Unreachable("git cannot be run on this host; install it") from exc
        finally:
            self._children.release()

    def _run(self, full_name: str, url: str, other_ref: str | None, token: str | None = None) -> str:
        patterns = ["HEAD", "refs/heads/*", "refs/tags/*", *([other_ref] if other_ref else [])]
        argv = ["git", "ls-remote", "--symref", "--", url, *patterns]
        environment = git_environment(
            server_url(self._github_url, full_name),
            self._environ,
            github_url=self._github_url,
            token=token,
            token_url=url,
            config=self._pinned(url),
        )
        with tempfile.TemporaryFile() as errors:
            child = subprocess.Popen(
                argv,
                env=environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
            output, in_time = _read(child)
            errors.seek(0)
            complaint = errors.read(4096).decode("utf-8", "replace").strip()
        if child.returncode == 0 and len(output) <= _MAX_BYTES:
            return output.decode("utf-8", "replace")
        if has_moved(complaint):
            raise _Moved
        log.info(
            "ls_remote.failed",
            repository=full_name,
            status=child.returncode,
            in_time=in_time,
            complaint=complaint[-300:],
        )
        if in_time and is_hidden(complaint):
            raise RepositoryMissing
        server = "GitHub" if is_at_github(full_name) else urlsplit(url).netloc
        raise Unreachable(
            f"{server} did not answer in time" if not in_time else f"{server} could not be asked"
        )

    def _pinned(self, url: str) -> Sequence[tuple[str, str]]:
        server = urlsplit(url).netloc
        try:
            return git_hosts.pinned(
                url, github_url=self._github_url, hosts=self._hosts, environ=self._environ
            )
        except NotAllowed as exc:
            log.warning("ls_remote.refused", server=server, reason=str(exc))
            raise RepositoryMissing(f"{server} {exc}.") from None
        except OSError as exc:
            raise Unreachable(f"{server} could not be found") from exc


def _read(child: subprocess.Popen[bytes]) -> tuple[bytes, bool]:
    """Return what the child wrote, and whether it ended by itself within the time limit."""
    late = threading.Event()

    def stop() -> None:
        late.set()
        _kill(child)

    timer = threading.Timer(TIME_LIMIT, stop)
    timer.start()
    assert child.stdout is not None  # noqa: S101 -- it is a pipe
    with child.stdout:
        output = child.stdout.read(_MAX_BYTES + 1)
    if len(output) > _MAX_BYTES:
        _kill(child)
    child.wait()
    timer.cancel()
    return output, not late.is_set()


def _kill(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def parse(output: str, asked_at: datetime) -> Listing:
    """Read what `git ls-remote --symref` prints; a line that is none of its own is left out."""
    refs: dict[str, str] = {}
    peeled: dict[str, str] = {}
    default_branch = None
    for line in output.split("\n"):
        value, tab, name = line.partition("\t")
        if tab and value.startswith("ref: refs/heads/") and name == "HEAD":
            default_branch = value.removeprefix("ref: refs/heads/")
        elif tab and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", value):
            if name.endswith("^{}"):
                peeled[name.removesuffix("^{}")] = value
            else:
                refs[name] = value
    return Listing(refs | peeled, default_branch, asked_at)
