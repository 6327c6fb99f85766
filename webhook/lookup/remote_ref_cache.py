"""Cache the refs that git servers list, for a short time, and share running requests between callers.

Users can ask for any repository, so the cache is bounded by age and by the total number of refs. The number
of waiting callers is limited too: each of them occupies a thread that a delivery may need.
"""

import threading
import time
from collections import ChainMap
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import timedelta

from base.repository_names import name_key
from webhook.access.concurrency_limit import ConcurrencyLimit, LimitReached
from webhook.access.permissions import User
from webhook.lookup.ls_remote import TIME_LIMIT, AdvertisedRefs, LsRemote, RepositoryMissing, Unreachable

REFS_MAX_AGE = timedelta(seconds=30)
"""How long an answer is kept."""

MAX_WAITING = 48
"""How many callers may wait for an answer at once: about half of the threads that serve requests."""

_MAX_WAITING_PER_USER = 12
_MAX_REFS = 500_000  # some 100 MB
_MAX_ENTRIES = 1000  # answers, most of which say that the repository does not exist
_BACK_OFF = timedelta(seconds=5)  # how long a network failure is cached


@dataclass(slots=True)
class _Entry:
    since: float
    answer: Future[AdvertisedRefs | RepositoryMissing | Unreachable] = field(default_factory=Future)

    def is_fresh(self, max_age: timedelta) -> bool:
        if not self.answer.done():
            return True
        age = time.monotonic() - self.since
        failed = self.answer.exception() is not None or isinstance(self.answer.result(), Unreachable)
        return age <= (min(max_age, _BACK_OFF) if failed else max_age).total_seconds()

    def wait_for_answer(self) -> AdvertisedRefs:
        """Wait for the answer, and return or raise it."""
        try:
            answer = self.answer.result(timeout=2 * TIME_LIMIT + 1)
        except TimeoutError as exc:
            raise Unreachable("GitHub did not answer in time") from exc
        if isinstance(answer, AdvertisedRefs):
            return answer
        raise type(answer)(*answer.args)

    def size(self) -> int:
        """Return the number of refs."""
        if not self.answer.done() or self.answer.exception() is not None:
            return 0
        answer = self.answer.result()
        return len(answer.refs) if isinstance(answer, AdvertisedRefs) else 0


class RemoteRefCache:
    """The answers of one LsRemote. Thread-safe."""

    def __init__(self, remote: LsRemote) -> None:
        self._remote = remote
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, str | None], _Entry] = {}  # oldest first
        self._concurrency = ConcurrencyLimit(
            MAX_WAITING, _MAX_WAITING_PER_USER, "waiting requests to git servers"
        )

    def list_refs(
        self, full_name: str, user: User, *, max_age: timedelta, other_ref: str | None = None
    ) -> AdvertisedRefs:
        """Return the branches and tags of a repository, and `other_ref` (such as refs/pull/7/head) if it is given.

        The answer is not older than `max_age`; simultaneous callers share one request. Raises RepositoryMissing or
        Unreachable, the latter immediately if too many callers wait already.
        """
        listing = self._answer(full_name, None, user, max_age)
        if other_ref is None:
            return listing
        # Cached apart: a caller can name any number of other refs.
        other = self._answer(full_name, other_ref, user, max_age)
        return replace(
            listing,
            refs=ChainMap(other.refs, listing.refs),
            asked_at=min(listing.asked_at, other.asked_at),
            private=listing.private or other.private,
        )

    def _answer(
        self, full_name: str, other_ref: str | None, user: User, max_age: timedelta
    ) -> AdvertisedRefs:
        key = (name_key(full_name), other_ref)
        with self._lock:
            entry = self._entries.get(key)
            mine = entry is None or not entry.is_fresh(max_age)
            if entry is not None and not mine and entry.answer.done():
                return entry.wait_for_answer()
            try:
                self._concurrency.acquire(user)
            except LimitReached as exc:
                raise Unreachable(exc.reason) from None
            if entry is None or mine:
                self._entries.pop(key, None)  # to become the newest
                entry = self._entries[key] = _Entry(time.monotonic())
        try:
            if mine:
                self._fetch(entry, full_name, other_ref)
            return entry.wait_for_answer()
        finally:
            with self._lock:
                self._concurrency.release(user)

    def _fetch(self, entry: _Entry, full_name: str, other_ref: str | None) -> None:
        try:
            entry.answer.set_result(self._remote.list_refs(full_name, other_ref))
        except (RepositoryMissing, Unreachable) as exc:
            # A copy: the traceback of the exception would keep git's output in memory.
            entry.answer.set_result(type(exc)(*exc.args))
        except BaseException as exc:  # or the waiting callers would never get an answer
            entry.answer.set_exception(exc)
        with self._lock:
            self._evict()

    def _evict(self) -> None:
        """Remove entries that are too old, then the oldest until the limits hold."""
        earliest = time.monotonic() - REFS_MAX_AGE.total_seconds()
        refs = sum(entry.size() for entry in self._entries.values())
        for key, entry in tuple(self._entries.items()):
            if entry.since >= earliest and refs <= _MAX_REFS and len(self._entries) <= _MAX_ENTRIES:
                return
            refs -= entry.size()
            del self._entries[key]
