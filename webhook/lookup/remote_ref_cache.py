"""What git servers said of their refs, kept for a short time and shared by all who ask meanwhile.

Anybody may ask for any repository, so what is kept is bounded, by its age and by the number of refs in all, and so
is the number of those who wait for an answer: each has a thread that a delivery may need.
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
"""How long an answer is kept: nobody takes an older one."""

MAX_WAITING = 48
"""How many may wait for an answer at once: about half of the threads that are there beside the streams."""

_MAX_WAITING_PER_USER = 12
_MAX_REFS = 500_000  # some 100 MB
_MAX_ENTRIES = 1000  # answers, of which most say no more than that there is nothing
_BACK_OFF = timedelta(seconds=5)  # how long a failure of the network is remembered


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
        """Return the answer, or raise what it says, once it is there."""
        try:
            answer = self.answer.result(timeout=2 * TIME_LIMIT + 1)
        except TimeoutError as exc:
            raise Unreachable("GitHub did not answer in time") from exc
        if isinstance(answer, AdvertisedRefs):
            return answer
        raise type(answer)(*answer.args)

    def size(self) -> int:
        """Return how many refs it holds."""
        if not self.answer.done() or self.answer.exception() is not None:
            return 0
        answer = self.answer.result()
        return len(answer.refs) if isinstance(answer, AdvertisedRefs) else 0


class RemoteRefCache:
    """The answers that one LsRemote got. Safe to use from many threads."""

    def __init__(self, remote: LsRemote) -> None:
        self._remote = remote
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, str | None], _Entry] = {}  # the oldest first
        self._concurrency = ConcurrencyLimit(
            MAX_WAITING, _MAX_WAITING_PER_USER, "open questions to git servers"
        )

    def list(
        self, full_name: str, user: User, *, max_age: timedelta, other_ref: str | None = None
    ) -> AdvertisedRefs:
        """Return the branches and tags of a repository, and one other ref (refs/pull/7/head) where it is named.

        An answer as old as `max_age` will do; those who ask at the same time share one question. Raises
        RepositoryMissing or Unreachable, the latter at once where too many wait already, or `user` does.
        """
        listing = self._answer(full_name, None, user, max_age)
        if other_ref is None:
            return listing
        # Not kept together: there are as many other refs as somebody can name.
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
                raise Unreachable(str(exc)) from None
            if entry is None or mine:
                self._entries.pop(key, None)  # to stand behind all others
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
            # Not the exception itself: by its traceback it would keep what git printed.
            entry.answer.set_result(type(exc)(*exc.args))
        except BaseException as exc:  # whoever waits for the answer must get one
            entry.answer.set_exception(exc)
        with self._lock:
            self._evict()

    def _evict(self) -> None:
        """Forget what is too old, and the oldest of what is too much."""
        earliest = time.monotonic() - REFS_MAX_AGE.total_seconds()
        refs = sum(entry.size() for entry in self._entries.values())
        for key, entry in tuple(self._entries.items()):
            if entry.since >= earliest and refs <= _MAX_REFS and len(self._entries) <= _MAX_ENTRIES:
                return
            refs -= entry.size()
            del self._entries[key]
