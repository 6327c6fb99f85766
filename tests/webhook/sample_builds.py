"""Builds that are in no database, for pure functions."""

from datetime import timedelta

from db.models import Build
from db.status import Status, Trigger
from tests.conftest import NOW


def build(status: Status = Status.SUCCEEDED, **values: object) -> Build:
    """Return a build with a status."""
    made = {"id": 7, "status": status, "trigger": Trigger.PUSH, "attempt": 1, "created_at": NOW, **values}
    return Build(**made)


def phases(**seconds: float) -> Build:
    """Return a finished build with the seconds of each phase."""
    at, moments = NOW, {}
    for name, took in seconds.items():
        moments["started_at" if name == "fetching" else f"{name}_at"] = at
        moments[f"{name}_at"] = at
        at += timedelta(seconds=took)
    return build(finished_at=at, **moments)
