"""The settings of the web application: where it listens, how it authenticates, what it builds."""

import os
import re
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from base.setting_types import is_loopback
from base.settings import CommaSeparated, SecretList, SharedSettings
from webhook import hub_environment

Role = Literal["all", "webhook", "streams"]
"""The paths that a web process serves; see `webhook/roles.py`."""


class HubEnvironmentSource(PydanticBaseSettingsSource):
    """What the hub's environment variables say about its service, for settings that are not set otherwise."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return no value: this source provides all fields at once."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        return (
            hub_environment.read_settings(os.environ)
            if self.current_state.get("auth") == "jupyterhub"
            else {}
        )


class WebSettings(SharedSettings):
    """Settings of `repo2hub web`.

    `webhook_secrets` may be empty here, because `repo2hub up` then generates one; the receiver does not start
    without.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8585, ge=0, le=65535)
    base_url: str = "/"
    webhook_secrets: SecretList = ()
    auth: Literal["none", "token", "jupyterhub"] = "none"
    api_tokens: SecretList = ()
    admins: CommaSeparated = ()
    public_pages: bool = False
    private_access: CommaSeparated = ()
    user_active_builds: int = Field(default=4, ge=0)
    user_builds_per_hour: int = Field(default=20, ge=0)
    allowed_repositories: CommaSeparated = ()
    banned_repositories: CommaSeparated = ()
    fork_pull_requests: bool = False
    role: Role = "all"
    max_streams: int = Field(default=200, ge=1, le=10_000)
    user_streams: int = Field(default=10, ge=0)
    hub_url: str | None = None
    ref_filters: CommaSeparated = ("refs/heads/*", "refs/tags/*")

    @classmethod
    def fallback_sources(cls) -> tuple[PydanticBaseSettingsSource, ...]:
        return (HubEnvironmentSource(cls),)

    @field_validator("port", mode="before")
    @classmethod
    def _no_service_link(cls, value: object) -> object:
        if isinstance(value, str) and value.startswith("tcp://"):
            raise ValueError(
                "Kubernetes set it for the Service repo2hub. Set enableServiceLinks: false in the pod"
            )
        return value

    @field_validator("auth")
    @classmethod
    def _hub_is_known(cls, value: str) -> str:
        if value == "jupyterhub" and (wrong := hub_environment.validation_errors(os.environ)):
            raise ValueError("jupyterhub needs more variables: " + "; ".join(wrong))
        return value

    @field_validator("hub_url")
    @classmethod
    def _spawn_page(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(
            r"(https?://[A-Za-z0-9.:\[\]_-]+)?(/[A-Za-z0-9._~-]+)*/hub/spawn", value
        ):
            raise ValueError(
                "must be the hub's spawn page, such as /hub/spawn or https://hub.example.org/hub/spawn"
            )
        return value

    @property
    def stream_limit(self) -> int:
        """The limit of open logs in this process: 0 if another process serves them."""
        return 0 if self.role == "webhook" else self.max_streams

    @property
    def launcher_url(self) -> str:
        """The hub's spawn page; by default that of the hub that the base path belongs to."""
        if self.hub_url is not None:
            return self.hub_url
        return re.sub(r"services/[^/]+/$", "", self.base_url) + "hub/spawn"

    @property
    def has_launcher(self) -> bool:
        """Whether there is a hub to launch on: this is a service of one, or `hub_url` is set."""
        return self.auth == "jupyterhub" or self.hub_url is not None or "/services/" in self.base_url

    @property
    def hub_path(self) -> str:
        """The path prefix of the hub's pages, such as /hub/."""
        return re.sub(r"^https?://[^/]+", "", self.launcher_url).removesuffix("spawn")

    @field_validator("base_url")
    @classmethod
    def _slash_at_both_ends(cls, value: str) -> str:
        if not re.fullmatch(r"/?([A-Za-z0-9._~-]+/)*[A-Za-z0-9._~-]*", value):
            raise ValueError("must be a path such as / or /services/binder/")
        return f"/{value.strip('/')}/" if value.strip("/") else "/"

    @field_validator("allowed_repositories", "banned_repositories")
    @classmethod
    def _repository_patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"[^/\s]+/[^/\s]+|https?://\S+", pattern) for pattern in value):
            raise ValueError(
                "must be comma-separated patterns such as org/repo, org/* or https://gitlab.com/org/*"
            )
        return tuple(pattern.lower() for pattern in value)

    @field_validator("private_access")
    @classmethod
    def _repositories_of_groups(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"[A-Za-z0-9_.*-]+/[A-Za-z0-9_.*-]+=[^=\s][^=]*", rule) for rule in value):
            raise ValueError("must be comma-separated rules such as org/*=group or org/repo=group")
        return value

    @field_validator("ref_filters")
    @classmethod
    def _full_refs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        # A bare branch name would silently match nothing.
        if not all(pattern.startswith(("refs/", "*")) for pattern in value):
            raise ValueError("must be comma-separated full refs such as refs/heads/main or refs/tags/v*")
        return value

    @model_validator(mode="after")
    def _requires_authentication(self) -> Self:
        if self.auth == "token" and not any(t.get_secret_value().strip() for t in self.api_tokens):
            raise ValueError("REPO2HUB_API_TOKENS: set at least one token for REPO2HUB_AUTH=token")
        if self.auth == "none" and not is_loopback(self.host):
            raise ValueError(
                "REPO2HUB_AUTH: none allows access from this machine only. Set token or jupyterhub, "
                "or set REPO2HUB_HOST to 127.0.0.1"
            )
        return self
