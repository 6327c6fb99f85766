"""Settings: every wrong variable at once and by name, secrets from files, and no secret where it can be read."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy.engine import make_url

from base.settings import SettingsError, SharedSettings
from webhook.settings import WebSettings

SECRET = "s3cr3t-of-the-tests"


@pytest.fixture(autouse=True)
def home(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.delenv("XDG_DATA_HOME", raising=False)
    environment.setenv("HOME", str(tmp_path))


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set variables, by the name after the prefix."""

    def set_all(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(f"REPO2HUB_{name}", value)

    return set_all


def complaints(settings: type[SharedSettings] = SharedSettings) -> dict[str, str]:
    """The wrong variables by name, each with what is said of it."""
    with pytest.raises(SettingsError) as caught:
        settings.load()
    lines = str(caught.value).splitlines()
    return {
        name.removeprefix("REPO2HUB_"): what for name, _, what in (line.partition(": ") for line in lines)
    }


def test_with_nothing_configured_there_is_a_default_for_everything(tmp_path: Path) -> None:
    settings = SharedSettings.load()
    assert settings.data_dir == tmp_path / ".local/share/repo2hub"
    assert make_url(settings.database).database == f"{settings.data_dir}/repo2hub.db"
    assert (settings.github_url, settings.image_prefix) == ("https://github.com", "repo2hub/")
    assert (settings.registry_url, settings.base_image, settings.github_token) == (None, None, None)
    assert (settings.buildpacks, settings.supersede, settings.log_format) == (("standard",), False, "auto")


@pytest.mark.parametrize("name", ["with space", "what?", "50%20", "a#b", "über"])
def test_a_data_folder_may_have_any_name(given: Callable[..., None], tmp_path: Path, name: str) -> None:
    given(DATA_DIR=str(tmp_path / name))
    assert make_url(SharedSettings.load().database).database == str(tmp_path / name / "repo2hub.db")


def test_the_data_folder_follows_the_desktops_rules_and_a_tilde(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: Callable[..., None]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert SharedSettings.load().data_dir == tmp_path / "xdg/repo2hub"
    given(DATA_DIR="~/mine")
    assert SharedSettings.load().data_dir == tmp_path / "mine"


def test_a_home_that_nobody_has_is_a_wrong_setting_and_not_a_crash(given: Callable[..., None]) -> None:
    given(DATA_DIR="~nobody-of-that-name/data")
    assert complaints().keys() == {"DATA_DIR"}


def test_a_user_without_a_home_is_told_which_variable_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "~nobody-of-that-name/share")
    assert complaints().keys() == {"DATA_DIR"}


def test_an_option_wins_over_the_environment_and_an_empty_variable_is_unset(
    given: Callable[..., None],
) -> None:
    given(GITHUB_URL="https://ghe.example", IMAGE_PREFIX="")
    assert SharedSettings.load().github_url == "https://ghe.example"
    assert SharedSettings.load(github_url="https://other.example").github_url == "https://other.example"
    assert SharedSettings.load().image_prefix == "repo2hub/"


def test_every_wrong_variable_is_reported_at_once_by_its_name(
    given: Callable[..., None], tmp_path: Path
) -> None:
    given(
        DATABASE_URL="mysql://host/db",
        GITHUB_URL="ftp://github.example",
        GITHUB_TOKEN_FILE=str(tmp_path / "missing"),
        IMAGE_PREFIX="UPPER/",
        REGISTRY_URL="registry.example",
        BUILDPACKS="conda",
        SUPERSEDE="perhaps",
        LOG_FORMAT="xml",
        PORT="99999",
        WEBHOOK_SECRETS_FILE=str(tmp_path),
        ALLOWED_REPOSITORIES="no-slash",
    )
    wrong = complaints(WebSettings)
    assert wrong.keys() == {
        "DATABASE_URL", "GITHUB_URL", "GITHUB_TOKEN_FILE", "IMAGE_PREFIX", "REGISTRY_URL", "BUILDPACKS",
        "SUPERSEDE", "LOG_FORMAT", "PORT", "WEBHOOK_SECRETS_FILE", "ALLOWED_REPOSITORIES",
    }  # fmt: skip
    assert all(wrong.values())


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", f"postgresql://user:{SECRET}@host:port/db"),
        ("DATABASE_URL", f"mysql://user:{SECRET}@host/db"),
        ("DATABASE_URL", f"{SECRET}"),
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "sqlite:///:memory:"),
        ("DATABASE_URL", "postgresql+asyncpg://host/db"),
        ("GITHUB_URL", f"https://user:{SECRET}@github.example"),
        ("REGISTRY_URL", f"https://user:{SECRET}@registry.example"),
        ("REGISTRY_URL", "https://registry.example/Team"),
        ("REGISTRY_URL", "https://registry.example/a b"),
        ("IMAGE_PREFIX", "/leading"),
        ("IMAGE_PREFIX", "a//b/"),
        ("IMAGE_PREFIX", "no-end"),
        ("BUILDPACKS", "standard,uv"),
        ("BUILDPACKS", "uv,uv"),
    ],
)
def test_a_wrong_value_is_explained_and_never_quoted(
    given: Callable[..., None], variable: str, value: str
) -> None:
    given(**{variable: value})
    wrong = complaints()
    assert wrong.keys() == {variable}
    assert SECRET not in wrong[variable]


@pytest.mark.parametrize("prefix", ["hub.example/", "localhost/team/", "hub."])
def test_a_prefix_that_reads_as_a_registry_needs_one(given: Callable[..., None], prefix: str) -> None:
    given(IMAGE_PREFIX=prefix)
    with pytest.raises(SettingsError, match=r"REPO2HUB_IMAGE_PREFIX: .*REPO2HUB_REGISTRY_URL"):
        SharedSettings.load()
    given(IMAGE_PREFIX=prefix, REGISTRY_URL="http://127.0.0.1:5000")
    assert SharedSettings.load().image_name("o/r", "c0ffee", "x") == f"127.0.0.1:5000/{prefix}o/r:c0ffee-x"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_any_spelling_of_postgresql_is_taken(given: Callable[..., None], scheme: str) -> None:
    given(DATABASE_URL=f"{scheme}://user:pw@host/db?sslmode=require")
    assert SharedSettings.load().database == "postgresql+psycopg://user:pw@host/db?sslmode=require"


def test_addresses_lose_their_last_slash(given: Callable[..., None]) -> None:
    given(GITHUB_URL="https://ghe.example/", REGISTRY_URL="http://127.0.0.1:5000/")
    settings = SharedSettings.load()
    assert (settings.github_url, settings.registry_url) == ("https://ghe.example", "http://127.0.0.1:5000")


def test_lists_are_separated_by_commas(given: Callable[..., None]) -> None:
    given(BUILDPACKS=" uv , standard,", WEBHOOK_SECRETS="new, old,,", ALLOWED_REPOSITORIES="Org/*,o/r")
    settings = WebSettings.load()
    assert settings.buildpacks == ("uv", "standard")
    assert [secret.get_secret_value() for secret in settings.webhook_secrets] == ["new", "old"]
    assert settings.allowed_repositories == ("org/*", "o/r")


def test_secrets_are_read_from_files(given: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{SECRET}\n")
    (tmp_path / "secrets").write_text("new,old\n")
    (tmp_path / "database").write_text("postgresql://u:p@host/db\n")
    given(
        GITHUB_TOKEN_FILE=str(tmp_path / "token"),
        WEBHOOK_SECRETS_FILE=str(tmp_path / "secrets"),
        DATABASE_URL_FILE=str(tmp_path / "database"),
    )
    settings = WebSettings.load()
    assert settings.github_token and settings.github_token.get_secret_value() == SECRET
    assert [secret.get_secret_value() for secret in settings.webhook_secrets] == ["new", "old"]
    assert settings.database == "postgresql+psycopg://u:p@host/db"


def test_a_secret_given_twice_is_refused(given: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "token").write_text(SECRET)
    given(GITHUB_TOKEN="x", GITHUB_TOKEN_FILE=str(tmp_path / "token"))
    assert "not both" in complaints()["GITHUB_TOKEN"]


@pytest.mark.parametrize("content", [b"", b" \n", b"s3cr3t-of-the-tests\xff"])
def test_a_file_with_no_secret_in_it_is_refused(
    given: Callable[..., None], tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "token").write_bytes(content)
    given(GITHUB_TOKEN_FILE=str(tmp_path / "token"))
    wrong = complaints()
    assert wrong.keys() == {"GITHUB_TOKEN_FILE"}
    assert SECRET not in wrong["GITHUB_TOKEN_FILE"]


def test_what_is_no_secret_has_no_file(given: Callable[..., None], tmp_path: Path) -> None:
    given(GITHUB_URL_FILE=str(tmp_path / "missing"))
    assert SharedSettings.load().github_url == "https://github.com"


def test_no_secret_is_ever_shown(given: Callable[..., None]) -> None:
    given(
        GITHUB_TOKEN=SECRET,
        DATABASE_URL=f"postgresql://u:{SECRET}@host/db",
        WEBHOOK_SECRETS=SECRET,
        API_TOKENS=f"{SECRET},x",
    )
    settings = WebSettings.load()
    assert SECRET not in repr(settings) and SECRET not in str(settings)


def test_settings_never_change() -> None:
    settings = SharedSettings.load()
    with pytest.raises(ValidationError):
        settings.github_url = "https://other.example"


def test_the_recipe_and_the_names_are_those_of_the_deployment(given: Callable[..., None]) -> None:
    plain = SharedSettings.load()
    given(
        BUILDPACKS="uv,standard",
        BASE_IMAGE="debian:12",
        REGISTRY_URL="https://r.example",
        IMAGE_PREFIX="hub/",
    )
    mine = SharedSettings.load()
    assert plain.recipe() != mine.recipe()
    assert mine.image_name("Org/Repo", "c0ffee") == f"r.example/hub/org/repo:c0ffee-{mine.recipe()}"
    assert mine.image_name("o/r", "c0ffee", "other") == "r.example/hub/o/r:c0ffee-other"
