"""The refs that a repository's page lists, on both databases."""

from db.database import Database
from db.models import Repository
from db.queries import ref_states
from db.status import Trigger
from tests.db.queries.test_ref_images import MAIN, TOPIC, A, B, Push, push
from tests.db.records.test_images import Make, make

__all__ = ["make", "push"]


def test_ref_states_show_the_build_of_the_head(
    database: Database, repository: Repository, make: Make, push: Push
) -> None:
    make(A, succeeds=False), push(A)
    succeeds = make(B, ref=TOPIC)
    push(B, A, at=2)
    make(A, succeeds=False, trigger=Trigger.MANUAL)
    with database.read() as session:
        (state,), _ = ref_states.list_ref_states(session, repository)
    assert state.build is not None and state.image is not None
    assert (state.head.ref, state.build.id, state.image.build_id) == (MAIN, succeeds.id, succeeds.id)
