"""Put the notifiers together: one for each channel of the settings."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial

from base.report_channels import GITHUB_STATUS, notification_channel
from builder.reports.github_notifier import GitHubStatusNotifier
from builder.reports.http_client import HttpClient
from builder.reports.notification import UrlNotifier
from builder.reports.notifier import Notifier
from builder.settings import BuilderSettings

_NOW = partial(datetime.now, UTC)


def notifiers(settings: BuilderSettings, clock: Callable[[], datetime] = _NOW) -> Mapping[str, Notifier]:
    """Return the notifier of each channel."""
    found: dict[str, Notifier] = {}
    if GITHUB_STATUS in settings.channels:
        found[GITHUB_STATUS] = GitHubStatusNotifier(settings, HttpClient(settings.extra_ca_certs), clock)
    secret = settings.notify_secret.get_secret_value() if settings.notify_secret else ""
    for url in (one.get_secret_value() for one in settings.notify_urls):
        http = HttpClient(settings.extra_ca_certs)
        found[notification_channel(url)] = UrlNotifier(url, secret, settings.public_url, http)
    return found
