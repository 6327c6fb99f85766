"""The settings of what is told to others: the status on a commit at GitHub, and notifications to any address.

Every process that changes a build's status writes down that it is to be told, and only the builder tells it. So a
web host needs to know that it is told, and neither token nor key.
"""

import re
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

from base.report_channels import GITHUB_STATUS, notification_channel
from base.setting_types import BaseUrl, SecretList

_URL = re.compile(r"https?://[^\s/@?#,]+(/[^\s#]*)?(\?[^\s#]*)?")


class ReportSettings(BaseSettings):
    """What all roles have in common of it."""

    public_url: BaseUrl | None = None
    """The service's address as people reach it, base path included: statuses and notifications link there."""
    commit_status: bool | None = None
    """Whether statuses are set on commits; None: where the means for it are configured."""
    github_status_token: SecretStr | None = None
    github_app_id: int | None = Field(default=None, gt=0)
    github_app_private_key: SecretStr | None = None
    github_api_url: BaseUrl | None = None
    """None: what belongs to `github_url`."""
    notify_urls: SecretList = ()
    """Secrets, since whoever knows the address of a chat's hook may write there."""
    notify_secret: SecretStr | None = None

    @field_validator("notify_urls")
    @classmethod
    def _addresses(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not all(_URL.fullmatch(url.get_secret_value()) for url in value):
            raise ValueError("must be comma-separated https:// addresses without a user name")
        return value

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.github_status_token is not None and self.github_app_id is not None:
            raise ValueError(
                "REPO2HUB_GITHUB_APP_ID: set either this or REPO2HUB_GITHUB_STATUS_TOKEN, not both"
            )
        if self.github_app_private_key is not None and self.github_app_id is None:
            raise ValueError("REPO2HUB_GITHUB_APP_ID: required with REPO2HUB_GITHUB_APP_PRIVATE_KEY")
        if self.notify_urls and self.notify_secret is None:
            raise ValueError(
                "REPO2HUB_NOTIFY_SECRET: required with REPO2HUB_NOTIFY_URLS, to sign notifications"
            )
        return self

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that every change of a build's status is noted for; see `db.queue.outbox`."""
        configured = self.github_status_token is not None or self.github_app_id is not None
        statuses = configured if self.commit_status is None else self.commit_status
        notifications = (notification_channel(url.get_secret_value()) for url in self.notify_urls)
        return (*((GITHUB_STATUS,) if statuses else ()), *dict.fromkeys(notifications))

    def api_url(self, github_url: str) -> str:
        """Return GitHub's API: that of github.com, or of an Enterprise Server at its usual path."""
        if self.github_api_url is not None:
            return self.github_api_url
        return "https://api.github.com" if github_url == "https://github.com" else f"{github_url}/api/v3"
