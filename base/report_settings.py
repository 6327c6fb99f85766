"""The settings of reports: commit statuses on GitHub, and notifications to any address.

Every process that changes a build's status records a report; only builders send reports. A web host therefore
needs to know which channels exist, but not their tokens or keys.
"""

import re
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

from base.report_channels import GITHUB_STATUS, notification_channel
from base.setting_types import BaseUrl, SecretList

_URL = re.compile(r"https?://[^\s/@?#,]+(/[^\s#]*)?(\?[^\s#]*)?")


class ReportSettings(BaseSettings):
    """The settings of reports that all roles share."""

    public_url: BaseUrl | None = None
    """The public address of the service, base path included, for links in statuses and notifications."""
    commit_status: bool | None = None
    """Whether commit statuses are set; None: if a token or an App is configured."""
    github_status_token: SecretStr | None = None
    github_app_id: int | None = Field(default=None, gt=0)
    github_app_private_key: SecretStr | None = None
    github_api_url: BaseUrl | None = None
    """None: derived from `github_url`."""
    notify_urls: SecretList = ()
    """Secret, because anyone who knows the URL of a chat's webhook can post to it."""
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
        """The channels for which each status change is recorded; see `db.queue.outbox`."""
        configured = self.github_status_token is not None or self.github_app_id is not None
        statuses = configured if self.commit_status is None else self.commit_status
        notifications = (notification_channel(url.get_secret_value()) for url in self.notify_urls)
        return (*((GITHUB_STATUS,) if statuses else ()), *dict.fromkeys(notifications))

    def api_url(self, github_url: str) -> str:
        """Return the URL of GitHub's API: of github.com, or the default path of an Enterprise Server."""
        if self.github_api_url is not None:
            return self.github_api_url
        return "https://api.github.com" if github_url == "https://github.com" else f"{github_url}/api/v3"
