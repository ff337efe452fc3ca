"""Logs: what happens goes to standard error, card numbers masked.

A worker tells everything: a line of JSON for each event, or plain lines for people. Other commands
tell errors only: what they have to say stands in what they print.
"""

import logging
import sys
from typing import Any

import structlog

from paybatch.domain.masking import mask_event

_SHARED: tuple[Any, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    mask_event,
)


def _logger(*_: object) -> Any:
    """Give a logger on standard error as it is now."""
    return structlog.PrintLogger(sys.stderr)


def _errors_only(_: object, level: str, event: Any) -> Any:
    if level not in {"error", "critical", "exception"}:
        raise structlog.DropEvent
    return event


def tell_errors() -> None:
    """Write errors to standard error from here on."""
    render = structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(processors=[_errors_only, *_SHARED, render], logger_factory=_logger)


def tell_all(*, as_json: bool) -> None:
    """Write every event to standard error from here on, also what libraries warn of."""
    render: Any = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(processors=[*_SHARED, render], logger_factory=_logger)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
