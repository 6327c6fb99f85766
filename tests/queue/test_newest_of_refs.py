"""The list of the spawn page: the newest image of each ref, as far as somebody may see it."""

from datetime import timedelta

from sqlalchemy import false, true

from db import images
from db.engine import Database
from db.models import Build
from tests.conftest import NOW
from tests.queue.test_images import OTHER, Make, make

__all__ = ["make"]


def listed(database: Database, **more: object) -> list[int]:
    wanted = {"recipe": "5ca1ab1e0000", "visible": true(), "limit": 10} | more
    with database.read() as session:
        return [build.id for _, build in images.newest_of_refs(session, **wanted)]  # type: ignore[arg-type]


def test_each_ref_is_listed_once_with_its_newest_image_first(database: Database, make: Make) -> None:
    make()
    topic = make(commit="e" * 40, ref="refs/heads/topic")
    newest = make(commit=OTHER, now=NOW + timedelta(minutes=1))
    make(commit="d" * 40, good=False, ref="refs/heads/broken")
    make(commit="c" * 40, recipe="0123456789ab", ref="refs/heads/old-recipe")
    assert listed(database) == [newest.id, topic.id]
    assert listed(database, limit=1) == [newest.id]


def test_what_somebody_may_not_see_is_not_listed(database: Database, make: Make) -> None:
    mine, _other = make(), make(commit=OTHER)
    assert listed(database, visible=false()) == []
    assert listed(database, visible=Build.id == mine.id) == [mine.id]
