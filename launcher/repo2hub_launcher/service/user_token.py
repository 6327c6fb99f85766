"""Asking the service as the person whose server is starting, and not as the hub.

Limits, private repositories and "requested by" are a person's. So the hub gives itself a token of that person,
good for nothing but the service and for no longer than a spawn takes, and takes it back afterwards.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jupyterhub.orm import APIToken

from repo2hub_launcher.service.client import ServiceClient, ServiceError


def access_scope(service: str) -> str:
    """Return the hub's scope that lets somebody use a service."""
    return f"access:services!service={service}"


@contextmanager
def service_as_user(spawner: Any, *, url: str, service: str, seconds: int) -> Iterator[ServiceClient]:
    """Give the service, asked as the owner of `spawner`; `service` is its name on the hub.

    Raises ServiceError where the hub does not let that person use it.
    """
    user = spawner.user
    try:
        token = user.new_api_token(
            note=f"repo2hub: starting {spawner._log_name}",
            expires_in=seconds,
            scopes=[access_scope(service)],
        )
    except ValueError as exc:  # as the hub says that somebody may not hold a scope
        message = f"You may not use the service {service}; the hub's admin can grant {access_scope(service)}."
        raise ServiceError(message, "not_allowed", 403) from exc
    try:
        yield ServiceClient(url, token)
    finally:
        _revoke(user.db, token)


def _revoke(db: Any, token: str) -> None:
    found = APIToken.find(db, token)
    if found is not None:
        db.delete(found)
        db.commit()
