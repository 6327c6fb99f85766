"""The settings that the web application, the builder and the command line share.

One frozen object per process, built at its entry point and passed down. All wrong and missing values are
reported together, by the names of their environment variables.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from base import image_names
from base.git_provider import GitProvider
from base.git_providers import git_provider
from base.report_settings import ReportSettings
from base.setting_types import BaseUrl, CommaSeparated, SecretList, is_loopback, split_list

__all__ = ["PREFIX", "CommaSeparated", "SecretList", "SettingsError", "SharedSettings", "load"]

PREFIX = "REPO2HUB_"


class SettingsError(Exception):
    """Settings are wrong or missing; the text has one line for each variable."""


class SecretFileSource(PydanticBaseSettingsSource):
    """Reads secrets from files named by `<VARIABLE>_FILE`, as container platforms mount them."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        variable = f"{PREFIX}{field_name.upper()}"
        path = os.environ.get(f"{variable}_FILE")
        if not path or not ("SecretStr" in str(field.annotation) or field_name == "database_url"):
            return None, field_name, False
        if os.environ.get(variable):
            raise SettingsError(f"{variable}: set either this or {variable}_FILE, not both")
        try:
            value = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as exc:
            # A decoding error quotes the bytes, which are the secret.
            why = exc.strerror if isinstance(exc, OSError) else "not UTF-8 text"
            raise SettingsError(f"{variable}_FILE: cannot read {path}: {why}") from exc
        if not value:
            raise SettingsError(f"{variable}_FILE: {path} is empty")
        return value, field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {}
        wrong = []
        for name, field in self.settings_cls.model_fields.items():
            try:
                value, key, _ = self.get_field_value(field, name)
            except SettingsError as exc:
                wrong.append(str(exc))
                continue
            if value is not None:
                found[key] = value
        if wrong:
            found["secret_file_errors"] = tuple(wrong)
        return found


def _default_data_dir() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share") / "repo2hub"


class SharedSettings(ReportSettings):
    """The settings of every role: database, git servers, image names and buildpacks."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    data_dir: Path = Field(default_factory=_default_data_dir, validate_default=True)
    database_url: str = Field(default="", repr=False)
    github_url: BaseUrl = "https://github.com"
    github_token: SecretStr | None = None
    git_hosts: CommaSeparated = (
        "gitlab.com",
        "codeberg.org",
        "bitbucket.org",
        "gist.github.com",
        "git.sr.ht",
    )
    """Servers of the provider `git`, also on private networks; `*` for all public ones."""
    image_prefix: str = "repo2hub/"
    registry_url: BaseUrl | None = None
    buildpacks: Annotated[tuple[Literal["uv", "standard"], ...], NoDecode, BeforeValidator(split_list)] = (
        "standard",
    )
    base_image: str | None = None
    repo_dir: str | None = None
    supersede: bool = False
    log_format: Literal["auto", "console", "json"] = "auto"
    secret_file_errors: tuple[str, ...] = Field(default=(), exclude=True, repr=False)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, SecretFileSource(settings_cls), *cls.fallback_sources()

    @classmethod
    def fallback_sources(cls) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return further sources of a role's settings, with the lowest priority."""
        return ()

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        try:
            return value.expanduser().absolute()
        except RuntimeError as exc:  # in a container, the user may have no passwd entry and no HOME
            raise ValueError(f"cannot resolve the home folder in {value}; use an absolute path") from exc

    @field_validator("secret_file_errors")
    @classmethod
    def _no_secret_file_errors(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value:
            raise ValueError("\n".join(value))
        return value

    @field_validator("database_url")
    @classmethod
    def _database_url(cls, value: str) -> str:
        if not value:
            return value
        value = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", value)
        if not _is_database_url(value):
            raise ValueError("must be sqlite:////path/to/file or postgresql://user:password@host/database")
        return value

    @field_validator("registry_url")
    @classmethod
    def _lower_case(cls, value: str | None) -> str | None:
        if value is not None and value != value.lower():
            raise ValueError("must be in lower case, like the names of images")
        return value

    @field_validator("git_hosts")
    @classmethod
    def _git_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for host in value:
            if not (host == "*" or re.fullmatch(r"(http://)?[A-Za-z0-9.-]+(:[0-9]{1,5})?", host)):
                raise ValueError(
                    "must be comma-separated hosts such as gitlab.com or git.example.org:8443, or * for all"
                )
            if host.startswith("http://") and not is_loopback(host.split("/")[2].partition(":")[0]):
                raise ValueError(f"{host} must use https; http is only allowed for this machine")
        return tuple(host.lower() for host in value)

    @field_validator("image_prefix")
    @classmethod
    def _image_prefix(cls, value: str) -> str:
        if not re.fullmatch(r"([a-z0-9]+([._-][a-z0-9]+)*/)*([a-z0-9]+[._-])*", value):
            raise ValueError(
                "must be lower-case letters and digits in parts that end with / or -, such as repo2hub/"
            )
        return value

    @field_validator("repo_dir")
    @classmethod
    def _repo_dir(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+", value):
            raise ValueError("must be an absolute folder in the image, such as /srv/repo")
        return value

    @field_validator("buildpacks")
    @classmethod
    def _buildpacks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value not in (("uv",), ("standard",), ("uv", "standard")):
            raise ValueError("must be standard, uv,standard or uv")
        return value

    @model_validator(mode="after")
    def _prefix_has_no_host(self) -> Self:
        if self.registry_url is None and image_names.is_in_registry(f"{self.image_prefix}org/repo"):
            raise ValueError(
                "REPO2HUB_IMAGE_PREFIX: must not begin with a registry's host; set the registry in "
                "REPO2HUB_REGISTRY_URL"
            )
        return self

    @property
    def database(self) -> str:
        """The database URL; by default an SQLite file in the data folder."""
        file = URL.create("sqlite", database=str(self.data_dir / "repo2hub.db"))
        # Rendered as a URL, because a folder's name may contain a question mark.
        return self.database_url or file.render_as_string()

    def recipe(self) -> str:
        """Return the recipe of this deployment."""
        return image_names.compute_recipe(
            base_image=self.base_image, buildpacks=self.buildpacks, repo_dir=self.repo_dir
        )

    def image_name(self, repository: str, commit: str, recipe: str | None = None) -> str:
        """Return the reference of the image of `commit` of `repository` (`org/name`) in this deployment."""
        return image_names.image_name(
            repository, commit, recipe or self.recipe(), prefix=self.image_prefix, registry=self.registry_url
        )

    def git_provider(self, repository: str) -> GitProvider:
        """Return the provider of a repository by its full name."""
        return git_provider(repository, self.github_url)

    @classmethod
    def load(cls, **values: Any) -> Self:
        """Return the settings of this process; `values` (command-line options) override the environment."""
        return load(cls, **values)


def _is_database_url(address: str) -> bool:
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):  # not chained: their texts quote the URL with its password
        return False
    if url.drivername == "sqlite":
        return url.database not in (None, "", ":memory:")  # connections do not share memory
    return url.drivername == "postgresql+psycopg"


S = TypeVar("S", bound=BaseSettings)


def load(cls: type[S], **values: Any) -> S:
    """Build `cls` from the environment, or raise SettingsError with every wrong variable."""
    try:
        return cls(**values)
    except ValidationError as exc:
        raise SettingsError("\n".join(_explain(error) for error in exc.errors())) from None


def _explain(error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    names = [str(part) for part in error["loc"] if isinstance(part, str)]
    if names[:1] == ["secret_file_errors"] or not names:
        return message
    return f"{PREFIX}{names[0].upper()}: {message}"
