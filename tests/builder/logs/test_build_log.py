"""Storing a log in the background: in order, nothing twice, and without waiting for a store that fails."""

import threading
from collections.abc import Sequence
from datetime import datetime

from builder.logs.build_log import BuildLog
from builder.logs.masking import Masker
from db.database import Database
from db.log_store import LogStoreUnavailable
from db.records.logs import DatabaseLogStore
from db.status import Lease


class FailingStore(DatabaseLogStore):
    """Fails as often as it is told, once after storing the chunks."""

    def __init__(self, database: Database, failures: int) -> None:
        super().__init__(database)
        self.failures = failures

    def append(self, lease: Lease, *, first_seq: int, texts: Sequence[str], now: datetime) -> bool:
        self.failures -= 1
        is_held = super().append(lease, first_seq=first_seq, texts=texts, now=now)
        if self.failures >= 0:
            raise LogStoreUnavailable("the answer was lost")
        return is_held


def text_of(store: DatabaseLogStore, lease: Lease) -> str:
    return "".join(text for _, text in store.read(lease.build_id))


def test_lines_are_masked_and_stored_in_order(database: Database, lease: Lease) -> None:
    store, lost = DatabaseLogStore(database), threading.Event()
    with BuildLog(store, lease, Masker(["s3cret"]), lost.set) as log:
        for number in range(100):
            log.write(f"line {number} s3cret")
    assert text_of(store, lease) == "".join(f"line {number} ***\n" for number in range(100))
    assert not lost.is_set()


def test_a_store_that_fails_loses_nothing_and_stores_nothing_twice(database: Database, lease: Lease) -> None:
    store = FailingStore(database, failures=2)
    with BuildLog(store, lease, Masker([]), lambda: None) as log:
        log.write("one\ntwo")
    assert store.failures < 0
    assert text_of(store, lease) == "one\ntwo\n"


def test_a_lost_lease_is_reported(database: Database, lease: Lease) -> None:
    lost = threading.Event()
    with BuildLog(DatabaseLogStore(database), Lease(lease.build_id, 2), Masker([]), lost.set) as log:
        log.write("one")
    assert lost.is_set()
