"""Tokens for requests to the service as the user whose server starts, not as the hub.

Limits, access to private repositories and "requested by" are those of the user. The hub creates a token for
that user that gives access to the service only and expires with the start, and revokes it afterwards.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jupyterhub.orm import APIToken

from repo2hub_launcher.service.client import ServiceClient, ServiceError


def access_scope(service: str) -> str:
    """Return the hub's scope that gives access to a service."""
    return f"access:services!service={service}"


@contextmanager
def service_as_user(spawner: Any, *, url: str, service: str, seconds: int) -> Iterator[ServiceClient]:
    """Give a client that acts as the owner of `spawner`, for at most `seconds`; `service` is the service's name.

    Raises ServiceError if the hub does not give the user access to the service.
    """
    user = spawner.user
    try:
        token = user.new_api_token(
            note=f"repo2hub: starting {spawner._log_name}",
            expires_in=seconds,
            scopes=[access_scope(service)],
        )
    except ValueError as exc:  # the hub's error for a scope that the user does not have
        scope = access_scope(service)
        message = (
            f"You do not have access to the service {service}. Ask the hub's admin for the scope {scope}."
        )
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
