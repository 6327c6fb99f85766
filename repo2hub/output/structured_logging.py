"""The log of the web process and the builder: structlog events on stderr.

On a terminal events are coloured lines, elsewhere one JSON object per line; REPO2HUB_LOG_FORMAT overrides this.
Records of libraries (alembic, urllib3) have the same format. Secrets are hidden by the name they are logged
under, and control characters are removed.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from pydantic import SecretStr
from structlog.typing import Processor

from base.sanitize import remove_controls_and_colours
from repo2hub.output.terminal import sanitize_line

_SECRET_NAME = re.compile("secret|token|password|authorization|cookie", re.IGNORECASE)
_HIDDEN = "***"


def configure(log_format: str) -> None:
    """Set up logging for this process. `log_format` is auto, console or json."""
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_secrets,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(shared, console))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # At level INFO they log every request, connection or migration step.
    for name in ("urllib3", "docker", "alembic", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _formatter(shared: list[Processor], console: bool) -> logging.Formatter:
    # No local variables in tracebacks: they contain settings and payloads.
    if console:
        plain = structlog.dev.plain_traceback
        render: list[Processor] = [
            structlog.processors.format_exc_info,
            _sanitize_event,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain),
        ]
    else:
        traces = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        render = [structlog.processors.ExceptionRenderer(traces), structlog.processors.JSONRenderer()]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
    )


def hide_secrets(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace every value that is a secret by its type or its name."""
    for name, value in event.items():
        if isinstance(value, SecretStr) or _SECRET_NAME.search(name):
            event[name] = _HIDDEN
    return event


def _sanitize_event(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = (
                remove_controls_and_colours(value) if name in ("exception", "stack") else sanitize_line(value)
            )
    return event
