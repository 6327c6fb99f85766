"""The presence of builders, on both databases."""

from datetime import timedelta

from db.database import Database
from db.records import builders
from tests.conftest import NOW


def test_builders_are_listed_until_they_stop_and_alive_until_the_timeout(
    database: Database,
) -> None:
    def record_presence(name: str, at: timedelta) -> None:
        with database.write() as session:
            builders.record_presence(session, name=name, slots=2, version="1", started_at=NOW, now=NOW + at)

    record_presence("a", timedelta(0))
    record_presence("a", timedelta(seconds=30))
    record_presence("b", timedelta(seconds=100))
    now = NOW + timedelta(seconds=130)
    with database.read() as session:
        found = [
            (builder.name, builders.is_alive(builder, now)) for builder in builders.list_recent(session, now)
        ]
    assert found == [("b", True), ("a", False)]
    with database.write() as session:
        builders.remove(session, "b")
    with database.read() as session:
        assert [builder.name for builder in builders.list_recent(session, now)] == ["a"]
        assert builders.list_recent(session, now + timedelta(days=8)) == []
