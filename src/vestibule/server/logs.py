"""Sends the process's own messages down the same JSON lines as the requests; it must not print what it is not given."""

from __future__ import annotations

import logging
import traceback

from vestibule.edge.access_log import AccessLog

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

_NO_REQUEST = "Invalid HTTP request received."  # uvicorn's
# What our own loggers add with `extra`; other attributes of a record may be anything.
_EXTRAS = ("surface", "kid", "conversation", "action")


class LineHandler(logging.Handler):
    """Hands records to the log thread, so that a blocked log target never blocks the event loop."""

    def __init__(self, log: AccessLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        line: dict[str, str | int] = {"level": record.levelname.lower(), "logger": record.name}
        line["message"] = record.getMessage()
        line |= {name: str(getattr(record, name)) for name in _EXTRAS if hasattr(record, name)}
        if record.exc_info and record.exc_info[0] is not None:
            # Frames and the class, without the message: an exception's text may quote what a client sent.
            frames = traceback.extract_tb(record.exc_info[2])
            line["exception"] = record.exc_info[0].__name__
            line["frames"] = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames[-12:]))
        self._log.note(line)


def _demote(record: logging.LogRecord) -> bool:
    """What any stranger can cause as often as they like is no warning that somebody should look at."""
    if record.msg == _NO_REQUEST:
        record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
        return logging.getLogger().isEnabledFor(logging.INFO)
    return True


def configure_logging(level: str, log: AccessLog) -> None:
    """Makes the lines the only way out of the process's loggers."""
    root = logging.getLogger()
    root.handlers = [LineHandler(log)]
    root.setLevel(_LEVELS[level])
    logging.getLogger("uvicorn.error").addFilter(_demote)
    # Below warnings, "openai" would log whole conversations.
    for noisy in ("uvicorn.access", "httpx", "httpx2", "httpcore", "openai", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
