"""List a repository's refs on GitHub or another git server: `git ls-remote`, with a time limit.

git instead of GitHub's REST API: it needs no token for public repositories, has no limit of 60 requests an
hour, and works with any server. It lists all branches and tags, so that one answer serves every ref of the
repository (`webhook/lookup/remote_ref_cache.py`).
"""

import io
import os
import re
import signal
import subprocess
import tempfile
import threading
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlsplit

import structlog

from base import allowed_git_hosts
from base.allowed_git_hosts import HostNotAllowed, with_git_suffix
from base.git_environment import git_environment
from base.git_messages import is_hidden, is_redirect
from base.git_providers import git_provider

TIME_LIMIT = 10.0
"""Seconds that one `git ls-remote` may take."""

_MAX_BYTES = 32 * 2**20  # about half a million refs
_MAX_CHILDREN = 16

log = structlog.get_logger()


class RepositoryMissing(Exception):
    """The server shows no such repository: it does not exist, or it is private and the service has no access.

    The text, if any, is a sentence for the user.
    """


class Unreachable(Exception):
    """The server did not answer in time, or its answer says nothing about the repository."""


class _Moved(Exception):
    pass


@dataclass(frozen=True, slots=True)
class AdvertisedRefs:
    """A repository's refs and their commits; an annotated tag has the commit that it points to."""

    refs: dict[str, str] | ChainMap[str, str]
    default_branch: str | None
    """The short name of the branch that HEAD points to; None if HEAD is detached or unborn."""
    asked_at: datetime
    private: bool = False
    """Whether the repository is visible with the token only."""


class LsRemote:
    """Lists refs of one GitHub, with a token if there is one, and of other git servers. Thread-safe."""

    def __init__(
        self,
        github_url: str,
        token: str | None,
        environ: Mapping[str, str],
        clock: Callable[[], datetime],
        hosts: Sequence[str] = (),
    ) -> None:
        """`hosts` is REPO2HUB_GIT_HOSTS: servers that may be on a private network."""
        self._github_url = github_url
        self._hosts = hosts
        self._token = token
        self._environ = environ
        self._clock = clock
        self._children = threading.BoundedSemaphore(_MAX_CHILDREN)
        self._reading = threading.Lock()

    def list_refs(self, full_name: str, other_ref: str | None = None) -> AdvertisedRefs:
        """Return the branches and tags of a repository, or only `other_ref` (such as refs/pull/7/head).

        Raises RepositoryMissing or Unreachable.
        """
        if not self._children.acquire(timeout=TIME_LIMIT):
            raise Unreachable("too many requests to git servers are running")
        try:
            asked_at = self._clock()
            output, private = self._ls_remote(full_name, other_ref)
            with self._reading:  # one at a time: parsed refs take three times the memory of the text
                return replace(parse_ls_remote(output, asked_at), private=private)
        finally:
            self._children.release()

    def _ls_remote(self, full_name: str, other_ref: str | None) -> tuple[bytes, bool]:
        """Return what git prints, and whether it needed the token."""
        provider = git_provider(full_name, self._github_url)
        url = provider.clone_url(full_name)
        try:
            try:
                return self._run(full_name, url, other_ref), False
            except RepositoryMissing:
                # First without the token, to learn whether the repository is private.
                if self._token is None or not provider.takes_token:
                    raise
                return self._run(full_name, url, other_ref, self._token), True
            except _Moved:
                # A redirect is not followed: it can lead anywhere.
                return self._run(full_name, with_git_suffix(url), other_ref), False
        except _Moved:
            raise RepositoryMissing(
                f"{url} redirects to another address. Open it in a browser and use the address that it leads to."
            ) from None
        except OSError as exc:
            log.error("ls_remote.no_git", error=str(exc))
            raise Unreachable("git is not installed on the host of this service") from exc

    def _run(self, full_name: str, url: str, other_ref: str | None, token: str | None = None) -> bytes:
        provider = git_provider(full_name, self._github_url)
        patterns = [other_ref] if other_ref else ["HEAD", "refs/heads/*", "refs/tags/*"]
        argv = ["git", "ls-remote", "--symref", "--", url, *patterns]
        environment = git_environment(
            provider.server_url(full_name),
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
            return output
        if is_redirect(complaint):
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
        server = provider.display_name(full_name)
        raise Unreachable(
            f"{server} did not answer in time" if not in_time else f"{server} could not be reached"
        )

    def _pinned(self, url: str) -> Sequence[tuple[str, str]]:
        server = urlsplit(url).netloc
        try:
            return allowed_git_hosts.pin_address(
                url, github_url=self._github_url, hosts=self._hosts, environ=self._environ
            )
        except HostNotAllowed as exc:
            log.warning("ls_remote.refused", server=server, reason=str(exc))
            raise RepositoryMissing(f"{server} {exc}.") from None
        except OSError as exc:
            raise Unreachable(f"{server} was not found") from exc


def _read(child: subprocess.Popen[bytes]) -> tuple[bytes, bool]:
    """Return what the child printed, and whether it ended within the time limit."""
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


def parse_ls_remote(output: bytes, asked_at: datetime) -> AdvertisedRefs:
    """Parse the output of `git ls-remote --symref`; lines of another form are skipped."""
    refs: dict[str, str] = {}
    peeled: dict[str, str] = {}
    default_branch = None
    for line in io.BytesIO(output):
        value, tab, name = line.removesuffix(b"\n").decode("utf-8", "replace").partition("\t")
        if tab and value.startswith("ref: refs/heads/") and name == "HEAD":
            default_branch = value.removeprefix("ref: refs/heads/")
        elif tab and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", value):
            if name.endswith("^{}"):
                peeled[name.removesuffix("^{}")] = value
            else:
                refs[name] = value
    return AdvertisedRefs(refs | peeled, default_branch, asked_at)
