"""What the web process and the builder write about themselves: events of structlog on stderr.

Coloured lines on a terminal, one JSON object per line elsewhere (REPO2HUB_LOG_FORMAT says otherwise). The
libraries' own records (alembic, gunicorn, urllib3) take the same way. No secret is written, under whatever
name it was logged, and nothing that a terminal would act on.
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
    # Each says a line for every step that it takes.
    for name in ("urllib3", "docker", "alembic", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _formatter(shared: list[Processor], console: bool) -> logging.Formatter:
    # Tracebacks without the local variables: those would hold settings and payloads.
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
    """Blank every value whose name says that it is a secret."""
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
