"""How the tests resolve refs: against git's own server."""

import os
from collections.abc import Callable
from datetime import timedelta

import pytest

from db.database import Database
from demo.github.git_server import GitServer
from tests.conftest import RECIPE
from tests.webhook.records import Clock
from webhook.access.permissions import LOCAL_USER
from webhook.http.errors import ResolveError
from webhook.lookup.ls_remote import LsRemote
from webhook.lookup.remote_ref_cache import RemoteRefCache
from webhook.lookup.resolve import LOOKUP_MAX_AGE, Resolved, Resolver
from webhook.lookup.revision import parse_ref, parse_repository

Resolve = Callable[..., Resolved]


def code_of(resolve: Resolve, *arguments: object) -> str:
    """Return the code of the error that a lookup raises."""
    with pytest.raises(ResolveError) as caught:
        resolve(*arguments)
    return caught.value.code


def list_requests(github: GitServer) -> list[str]:
    """Return the requests for refs that a git server got."""
    return [request for request in github.requests if "info/refs" in request]


@pytest.fixture
def resolve_with(github: GitServer, database: Database, clock: Clock) -> Callable[..., Resolve]:
    def build(token: str | None = None, url: str | None = None, hosts: tuple[str, ...] = ()) -> Resolve:
        remote = LsRemote(url or github.url, token, os.environ, clock, hosts)
        resolver = Resolver(database, RemoteRefCache(remote), RECIPE, clock)

        def resolve(ref: str, name: str = "org/repo", max_age: timedelta = LOOKUP_MAX_AGE) -> Resolved:
            full_name = name if "://" in name else parse_repository(name)
            return resolver.resolve(full_name, parse_ref(ref), LOCAL_USER, max_age=max_age)

        return resolve

    return build


@pytest.fixture
def resolve(resolve_with: Callable[..., Resolve]) -> Resolve:
    return resolve_with()
