"""Send notifications: a signed POST to a configured URL for each change of a build's status.

The signature is an HMAC-SHA256 of the raw body, as in GitHub's deliveries. A notification may arrive twice, with
the same GUID; those of one commit arrive in order.
"""

import hmac
import json
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from builder.reports.http_client import HttpClient, anonymous, retry_after
from builder.reports.notifier import PermanentNotifyError, TransientNotifyError
from db.models import Build
from db.records.build_fields import build_fields, utc_isoformat
from db.report_model import Report
from db.status import FINAL

_RETRY_STATUSES = (408, 425, 429)


class UrlNotifier:
    """Notifies one URL. Implements `builder.reports.notifier.Notifier`."""

    def __init__(self, url: str, secret: str, public_url: str | None, http: HttpClient) -> None:
        self._url = url
        self._key = secret.encode()
        self._public_url = public_url
        self._http = http

    def scope(self, _build: Build) -> str:
        """Return "": all notifications go to one receiver."""
        return ""

    def notify(self, report: Report, build: Build) -> None:
        """Send the notification. Raises NotifyError."""
        body = json.dumps(payload(report, build, self._public_url)).encode()
        headers = {
            "Content-Type": "application/json",
            "X-Repo2hub-Event": f"build.{report.status}",
            "X-Repo2hub-Delivery": guid(report),
            "X-Repo2hub-Signature-256": "sha256=" + hmac.digest(self._key, body, "sha256").hex(),
        }
        # The body of the answer is not read: it may never end.
        answer = self._http.send("POST", self._url, anonymous, data=body, headers=headers, stream=True)
        answer.close()
        code = answer.status_code
        if code >= 500 or code in _RETRY_STATUSES:
            raise TransientNotifyError(
                f"the receiver answered {code}", wait=retry_after(answer), blocks_scope=""
            )
        if 300 <= code < 400:
            raise PermanentNotifyError(f"the receiver answered {code}; redirects are not followed")
        if code >= 400:
            raise PermanentNotifyError(f"the receiver answered {code}")


def guid(report: Report) -> str:
    """Return the delivery's GUID, which is the same each time a report is sent."""
    return str(uuid5(NAMESPACE_URL, f"repo2hub:{report.channel}:{report.id}:{report.created_at.isoformat()}"))


def payload(report: Report, build: Build, public_url: str | None) -> dict[str, Any]:
    """Return the notification's JSON: the build as in the API, as of the change of its status."""
    is_over = report.status in FINAL
    return {
        "event": f"build.{report.status}",
        "at": utc_isoformat(report.created_at),
        "url": f"{public_url}/builds/{build.id}" if public_url else None,
        "build": {
            **build_fields(build),
            "private": build.repository.private,
            "status": report.status,
            "reason": report.reason,
            "cause": report.cause,
            "message": report.message,
            "attempt": report.attempt,
            "started_at": utc_isoformat(build.started_at) if report.attempt else None,
            "finished_at": utc_isoformat(build.finished_at) if is_over else None,
        },
    }
