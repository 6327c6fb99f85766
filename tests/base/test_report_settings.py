"""The settings of reports."""

import pytest

from base.report_channels import GITHUB_STATUS, notification_channel
from base.settings import SettingsError, SharedSettings
from builder.settings import BuilderSettings
from webhook.settings import WebSettings

HOOK = "https://chat.example.org/hooks/T0K3N"


def given(environment: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        environment.setenv(f"REPO2HUB_{name}", value)


def test_nobody_is_told_by_default() -> None:
    assert WebSettings.load().channels == BuilderSettings.load().channels == ()


def test_a_token_is_enough_for_statuses(environment: pytest.MonkeyPatch) -> None:
    given(environment, GITHUB_STATUS_TOKEN="ghp_x")
    assert WebSettings.load().channels == BuilderSettings.load().channels == (GITHUB_STATUS,)


def test_a_token_may_be_there_and_not_be_used(environment: pytest.MonkeyPatch) -> None:
    given(environment, GITHUB_STATUS_TOKEN="ghp_x", COMMIT_STATUS="false")
    assert BuilderSettings.load().channels == ()


def test_a_web_host_needs_neither_token_nor_key(environment: pytest.MonkeyPatch) -> None:
    given(environment, COMMIT_STATUS="true")
    assert WebSettings.load().channels == (GITHUB_STATUS,)
    with pytest.raises(SettingsError, match=r"^REPO2HUB_GITHUB_STATUS_TOKEN: commit statuses need it"):
        BuilderSettings.load()
    given(environment, GITHUB_APP_ID="4711")
    assert WebSettings.load().channels == (GITHUB_STATUS,)
    with pytest.raises(
        SettingsError, match=r"^REPO2HUB_GITHUB_APP_PRIVATE_KEY: required with REPO2HUB_GITHUB_APP"
    ):
        BuilderSettings.load()


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"GITHUB_STATUS_TOKEN": "x", "GITHUB_APP_ID": "1"}, "GITHUB_APP_ID"),
        ({"GITHUB_APP_PRIVATE_KEY": "x"}, "GITHUB_APP_ID"),
        ({"GITHUB_APP_ID": "0"}, "GITHUB_APP_ID"),
        ({"NOTIFY_URLS": HOOK}, "NOTIFY_SECRET"),
        ({"NOTIFY_URLS": "ftp://x/y", "NOTIFY_SECRET": "s"}, "NOTIFY_URLS"),
        ({"NOTIFY_URLS": "https://user:password@x/y", "NOTIFY_SECRET": "s"}, "NOTIFY_URLS"),
        ({"PUBLIC_URL": "hub.example.org"}, "PUBLIC_URL"),
        ({"PUBLIC_URL": "https://hub.example.org/?x"}, "PUBLIC_URL"),
        ({"GITHUB_API_URL": "javascript:alert(1)"}, "GITHUB_API_URL"),
    ],
)
def test_what_does_not_fit_is_named_and_no_secret_is_quoted(
    environment: pytest.MonkeyPatch, variables: dict[str, str], name: str
) -> None:
    given(environment, **variables)
    with pytest.raises(SettingsError) as caught:
        SharedSettings.load()
    assert str(caught.value).startswith(f"REPO2HUB_{name}: ")
    assert "T0K3N" not in str(caught.value) and "password" not in str(caught.value)


def test_notified_urls_are_secrets_and_their_channels_do_not_contain_them(
    environment: pytest.MonkeyPatch,
) -> None:
    given(environment, NOTIFY_URLS=f"{HOOK}, {HOOK},http://127.0.0.1:9/x", NOTIFY_SECRET="s3cr3t")
    settings = SharedSettings.load()
    assert settings.channels == (notification_channel(HOOK), notification_channel("http://127.0.0.1:9/x"))
    assert all(len(channel) <= 32 for channel in settings.channels)
    for told in (repr(settings), *settings.channels):
        assert "T0K3N" not in told and "s3cr3t" not in told


@pytest.mark.parametrize(
    ("github_url", "api_url"),
    [
        ("https://github.com", "https://api.github.com"),
        ("https://github.example.org", "https://github.example.org/api/v3"),
        ("http://127.0.0.1:8000/git", "http://127.0.0.1:8000/git/api/v3"),
    ],
)
def test_the_api_belongs_to_the_github(github_url: str, api_url: str) -> None:
    assert SharedSettings().api_url(github_url) == api_url
    given_one = SharedSettings(github_api_url="https://api.example.org/")
    assert given_one.api_url(github_url) == "https://api.example.org"
