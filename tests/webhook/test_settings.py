"""The web application's settings."""

import pytest

from base.settings import SettingsError
from webhook.settings import WebSettings


def load(environment: pytest.MonkeyPatch, **variables: str) -> WebSettings:
    for name, value in variables.items():
        environment.setenv(f"REPO2HUB_{name}", value)
    return WebSettings.load()


def test_every_setting_has_a_default(environment: pytest.MonkeyPatch) -> None:
    settings = load(environment)
    assert (settings.host, settings.port, settings.base_url, settings.auth) == (
        "127.0.0.1",
        8585,
        "/",
        "none",
    )
    assert (settings.webhook_secrets, settings.allowed_repositories) == ((), ())
    assert settings.ref_filters == ("refs/heads/*", "refs/tags/*")


def test_secrets_are_separated_by_commas_and_never_shown(environment: pytest.MonkeyPatch) -> None:
    settings = load(environment, WEBHOOK_SECRETS="old, new,,")
    assert [secret.get_secret_value() for secret in settings.webhook_secrets] == ["old", "new"]
    assert "old" not in repr(settings)


@pytest.mark.parametrize(
    "given", ["services/binder", "/services/binder", "services/binder/", "/services/binder/"]
)
def test_a_base_url_gets_its_slashes(environment: pytest.MonkeyPatch, given: str) -> None:
    assert load(environment, BASE_URL=given).base_url == "/services/binder/"


def test_repository_patterns_are_compared_in_lower_case(environment: pytest.MonkeyPatch) -> None:
    settings = load(environment, ALLOWED_REPOSITORIES="Org/*, other/Repo", BANNED_REPOSITORIES="*/Spam")
    assert settings.allowed_repositories == ("org/*", "other/repo")
    assert settings.banned_repositories == ("*/spam",)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_a_loopback_address_needs_no_token(environment: pytest.MonkeyPatch, host: str) -> None:
    assert load(environment, HOST=host).auth == "none"


def test_a_port_variable_of_kubernetes_is_explained(environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"REPO2HUB_PORT: Kubernetes .* enableServiceLinks: false"):
        load(environment, PORT="tcp://10.0.0.1:8585")


def test_every_wrong_value_is_reported_by_name(environment: pytest.MonkeyPatch) -> None:
    wrong = {
        "PORT": "http",
        "BASE_URL": "https://example.org/",
        "AUTH": "password",
        "ALLOWED_REPOSITORIES": "org",
        "BANNED_REPOSITORIES": "a/b/c",
        "REF_FILTERS": "main",
    }
    with pytest.raises(SettingsError) as raised:
        load(environment, **wrong)
    assert {line.split(":")[0] for line in str(raised.value).splitlines()} == {f"REPO2HUB_{n}" for n in wrong}


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"AUTH": "none", "HOST": "0.0.0.0"}, "REPO2HUB_AUTH"),
        ({"AUTH": "none", "HOST": "hub.example.org"}, "REPO2HUB_AUTH"),
        ({"AUTH": "token"}, "REPO2HUB_API_TOKENS"),
        ({"AUTH": "token", "API_TOKENS": " , "}, "REPO2HUB_API_TOKENS"),
    ],
)
def test_token_authentication_needs_a_token(
    environment: pytest.MonkeyPatch, variables: dict[str, str], name: str
) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: "):
        load(environment, **variables)


def test_token_authentication_allows_every_address(environment: pytest.MonkeyPatch) -> None:
    assert load(environment, AUTH="token", API_TOKENS="t", HOST="0.0.0.0").host == "0.0.0.0"


def test_the_role_decides_the_limit_of_streams(environment: pytest.MonkeyPatch) -> None:
    assert load(environment, MAX_STREAMS="300").stream_limit == 300
    assert load(environment, ROLE="streams").stream_limit == 300
    assert load(environment, ROLE="webhook").stream_limit == 0
    with pytest.raises(SettingsError, match=r"REPO2HUB_ROLE: .*'all', 'webhook' or 'streams'"):
        load(environment, ROLE="web")
