"""The known repositories, which keep their identity when they are renamed or transferred."""

from datetime import datetime
from typing import Any, NamedTuple, TypedDict, Unpack

from sqlalchemy import bindparam, or_, select, update
from sqlalchemy.orm import Session

from base.repository_names import GITHUB, name_key
from db.models import Repository
from db.sql import driver
from db.sql.insert import insert_new

_TABLE = Repository.metadata.tables["repository"]
_OF_PROVIDER = _TABLE.c.provider == bindparam("provider")
_IS_NAMED = _TABLE.c.name_key == bindparam("name_key")
_IS_NUMBERED = _TABLE.c.provider_id == bindparam("provider_id")
_NAMED = select(Repository).where(_OF_PROVIDER, _IS_NAMED)
_NUMBERED = select(Repository).where(_OF_PROVIDER, _IS_NUMBERED)
_EITHER = select(Repository).where(_OF_PROVIDER, or_(_IS_NAMED, _IS_NUMBERED))


class KnownRepository(NamedTuple):
    """The columns of a repository that most callers need."""

    id: int
    full_name: str


class _Row(NamedTuple):
    """The columns of a repository that descriptions can change."""

    id: int
    provider_id: int | None
    full_name: str
    name_key: str
    default_branch: str | None
    private: bool
    private_known: bool
    described_at: datetime | None
    enabled: bool
    webhook_since: datetime | None
    installation_id: int | None


_DESCRIPTION = frozenset({"full_name", "name_key", "default_branch", "private", "private_known"})
_ROWS = select(*(_TABLE.c[name] for name in _Row._fields)).where(_OF_PROVIDER, or_(_IS_NAMED, _IS_NUMBERED))


class RepositoryDescription(TypedDict, total=False):
    """What the provider says about a repository; None means that it does not say."""

    provider_id: int | None
    default_branch: str | None
    private: bool | None
    webhook_active: bool | None
    """Whether deliveries arrive."""
    installation_id: int | None
    described_at: datetime | None
    """When the description was written; None means now. The newest name, default branch and visibility win."""


def find(session: Session, provider: str, full_name: str) -> Repository | None:
    """Return the repository of this name, or None."""
    return session.scalar(_NAMED, {"provider": provider, "name_key": name_key(full_name)})


def find_by_provider_id(session: Session, provider: str, provider_id: int) -> Repository | None:
    """Return the repository with the provider's id, which survives renames, or None."""
    return session.scalar(_NUMBERED, {"provider": provider, "provider_id": provider_id})


def record_if_changed(
    session: Session,
    *,
    full_name: str,
    now: datetime,
    provider: str = GITHUB,
    **description: Unpack[RepositoryDescription],
) -> KnownRepository:
    """Do the same as `record`, several times faster if nothing changed, which is the usual case."""
    names = {
        "provider": provider,
        "name_key": name_key(full_name),
        "provider_id": description.get("provider_id"),
    }
    rows = [_Row._make(row) for row in driver.execute(session, _ROWS, names)]
    if len(rows) == 1 and not _differences(rows[0], full_name, now, description):
        return KnownRepository(rows[0].id, rows[0].full_name)
    row = record(session, full_name=full_name, now=now, provider=provider, **description)
    return KnownRepository(row.id, row.full_name)


def record(
    session: Session,
    *,
    full_name: str,
    now: datetime,
    provider: str = GITHUB,
    **description: Unpack[RepositoryDescription],
) -> Repository:
    """Create or update the record of a repository and return it. Values of None leave columns unchanged.

    A known provider id identifies the repository: a new name means that it was renamed or transferred. If another
    repository's record has that name, it is an earlier owner of the name, and gives it up.
    """
    key, provider_id = name_key(full_name), description.get("provider_id")
    names = {"provider": provider, "name_key": key, "provider_id": provider_id}
    found = session.scalars(_EITHER, names).all()
    row = next((one for one in found if provider_id is not None and one.provider_id == provider_id), None)
    holder = next((one for one in found if one.name_key == key), None)
    takes_name = row is None or not _is_outdated(row, description)
    if (
        holder is not None
        and row is not holder
        and takes_name
        and _is_other_repository(holder, row, provider_id)
    ):
        holder.name_key = f"{key}#{holder.id}"
        session.flush()
        holder = None
    row = row or holder or _create(session, provider, key, full_name, now)
    differences = _differences(row, full_name, now, description)
    for name, value in differences.items():
        setattr(row, name, value)
    if differences:
        session.flush()
    return row


def _differences(
    row: Repository | _Row, full_name: str, now: datetime, description: RepositoryDescription
) -> dict[str, Any]:
    """Return the columns to change with their new values, usually none."""
    described = ("provider_id", "default_branch", "private", "installation_id")
    values: dict[str, Any] = {name: description.get(name) for name in described}
    values = {name: value for name, value in values.items() if value is not None}
    if "private" in values:
        values["private_known"] = True
    values |= {"full_name": full_name, "name_key": name_key(full_name), "enabled": True}
    if (is_active := description.get("webhook_active")) is not None:
        values["webhook_since"] = (row.webhook_since or now) if is_active else None
    differences = {name: value for name, value in values.items() if getattr(row, name) != value}
    if _is_outdated(row, description):
        return {name: value for name, value in differences.items() if name not in _DESCRIPTION}
    if description.get("described_at") and not _DESCRIPTION.isdisjoint(differences):
        differences["described_at"] = description["described_at"]
    return differences


def _is_outdated(row: Repository | _Row, description: RepositoryDescription) -> bool:
    """Return whether a newer description has already changed the row: deliveries arrive in any order."""
    described_at = description.get("described_at")
    return described_at is not None and row.described_at is not None and described_at < row.described_at


def _is_other_repository(holder: Repository, row: Repository | None, provider_id: int | None) -> bool:
    if row is not None:
        return True
    return provider_id is not None and holder.provider_id not in (None, provider_id)


def _create(session: Session, provider: str, key: str, full_name: str, now: datetime) -> Repository:
    values = {"provider": provider, "name_key": key, "full_name": full_name, "created_at": now}
    values |= {"private": False, "private_known": False, "enabled": True}
    insert_new(session, Repository, values, key=["provider", "name_key"])
    return session.scalars(_NAMED, {"provider": provider, "name_key": key}).one()


def disable(session: Session, repository: Repository) -> None:
    """Record that the provider deleted the repository. The records of its builds and images stay."""
    session.execute(
        update(Repository).where(Repository.id == repository.id).values(enabled=False, webhook_since=None)
    )
