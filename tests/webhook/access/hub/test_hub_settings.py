"""What a hub's variables make of the web application's settings."""

from typing import Any

import pytest

from base.settings import SettingsError
from webhook import hub_environment
from webhook.access.hub.user_rules import HubUserRules
from webhook.settings import WebSettings

GIVEN = {
    "JUPYTERHUB_API_TOKEN": "a-token",
    "JUPYTERHUB_API_URL": "http://127.0.0.1:8081/hub/api",
    "JUPYTERHUB_CLIENT_ID": "service-binder",
    "JUPYTERHUB_SERVICE_NAME": "binder",
    "JUPYTERHUB_SERVICE_PREFIX": "/services/binder/",
    "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:28585",
}


def load(environment: pytest.MonkeyPatch, given: dict[str, str] = GIVEN, **ours: str) -> WebSettings:
    for name, value in given.items():
        environment.setenv(name, value)
    for name, value in ours.items():
        environment.setenv(f"REPO2HUB_{name}", value)
    return WebSettings.load()


def test_the_hub_says_where_to_listen_and_under_which_path(environment: pytest.MonkeyPatch) -> None:
    settings = load(environment, AUTH="jupyterhub")
    assert (settings.host, settings.port, settings.base_url) == ("127.0.0.1", 28585, "/services/binder/")


def test_settings_override_the_hubs_environment(environment: pytest.MonkeyPatch) -> None:
    settings = load(environment, AUTH="jupyterhub", HOST="0.0.0.0", PORT="9", BASE_URL="/x/")
    assert (settings.host, settings.port, settings.base_url) == ("0.0.0.0", 9, "/x/")


@pytest.mark.parametrize("auth", [{}, {"AUTH": "none"}, {"AUTH": "token", "API_TOKENS": "t"}])
def test_the_hubs_variables_are_ignored_without_hub_authentication(
    environment: pytest.MonkeyPatch, auth: dict[str, str]
) -> None:
    settings = load(environment, **auth)
    assert (settings.host, settings.port, settings.base_url) == ("127.0.0.1", 8585, "/")


def test_with_hub_authentication_any_address_is_allowed(environment: pytest.MonkeyPatch) -> None:
    given = GIVEN | {"JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:28585"}
    assert load(environment, given, AUTH="jupyterhub").host == "0.0.0.0"


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"JUPYTERHUB_API_TOKEN": ""}, "JUPYTERHUB_API_TOKEN is not set"),
        ({"JUPYTERHUB_API_URL": "127.0.0.1:8081"}, "JUPYTERHUB_API_URL must be an address"),
        ({"JUPYTERHUB_SERVICE_URL": "http+unix://x"}, "JUPYTERHUB_SERVICE_URL must be an address"),
        ({"JUPYTERHUB_SERVICE_URL": "http://h:99999"}, "JUPYTERHUB_SERVICE_URL must be an address"),
        ({"JUPYTERHUB_CLIENT_ID": ""}, "JUPYTERHUB_CLIENT_ID is not set"),
        ({"JUPYTERHUB_SERVICE_PREFIX": ""}, "JUPYTERHUB_SERVICE_PREFIX is not set"),
        ({"JUPYTERHUB_SERVICE_NAME": ""}, "nor JUPYTERHUB_SERVICE_NAME"),
        ({"JUPYTERHUB_OAUTH_ACCESS_SCOPES": "{}"}, "JUPYTERHUB_OAUTH_ACCESS_SCOPES must be a list"),
        ({"JUPYTERHUB_OAUTH_ACCESS_SCOPES": "[1]"}, "JUPYTERHUB_OAUTH_ACCESS_SCOPES must be a list"),
        ({"JUPYTERHUB_OAUTH_ACCESS_SCOPES": "[]"}, "JUPYTERHUB_OAUTH_ACCESS_SCOPES must be a list"),
    ],
)
def test_missing_and_invalid_variables_are_named(
    environment: pytest.MonkeyPatch, changes: dict[str, str], word: str
) -> None:
    assert hub_environment.validation_errors(GIVEN) == []
    with pytest.raises(SettingsError, match="REPO2HUB_AUTH") as wrong:
        load(environment, GIVEN | changes, AUTH="jupyterhub", PORT="-1")
    assert word in str(wrong.value)
    assert "REPO2HUB_PORT" in str(wrong.value)


@pytest.mark.parametrize(
    "rule", ["org/*", "org=group", "=group", "org/*=", "org/[ab]=group", "a/b/c=group", "org/x= g"]
)
def test_an_invalid_private_access_rule_is_rejected(environment: pytest.MonkeyPatch, rule: str) -> None:
    with pytest.raises(SettingsError, match="REPO2HUB_PRIVATE_ACCESS"):
        load(environment, PRIVATE_ACCESS=rule)


def test_private_access_rules_give_groups_access(environment: pytest.MonkeyPatch) -> None:
    rules = HubUserRules.of(load(environment, PRIVATE_ACCESS="Org/*=lab, org/x=other one", ADMINS="erin,"))
    opened: dict[str, Any] = {
        group: rules.user("alice", is_admin=False, groups=frozenset({group})).repositories
        for group in ("lab", "other one", "none")
    }
    assert opened == {"lab": ("org/*",), "other one": ("org/x",), "none": ()}
    assert rules.user("erin", is_admin=False, groups=frozenset()).is_admin
    assert not rules.user("", is_admin=False, groups=frozenset()).is_admin
