"""The process's logger: TensorRT keeps using the first one that it is given."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

_MAX_WORDS = 600  # characters of a library's message in an error
_MAX_ERRORS = 32

turn = threading.Lock()
"""Held while a plan is built or loaded, so that the logger's messages are about that plan."""

_loggers: dict[Any, Any] = {}  # by module


def emptied_logger(trt: Any) -> Any:
    """Returns the logger of a module, without earlier errors; makes it if there is none."""
    if trt not in _loggers:
        _loggers[trt] = _make_logger(trt)
    logger = _loggers[trt]
    logger.errors.clear()
    return logger


def logged_errors(trt: Any) -> str:
    """Returns the errors that a library has logged since `emptied_logger`; "" if none."""
    logger = _loggers.get(trt)
    return "" if logger is None else "; ".join(tuple(logger.errors))


def shortened(words: str) -> str:
    """Returns a library's message on one line, cut to what an error should quote."""
    return " ".join(words.split())[:_MAX_WORDS] or "it does not say why"


def _make_logger(trt: Any) -> Any:
    """Makes a logger that keeps the library's latest errors in `errors`."""
    severity = trt.ILogger.Severity
    grave = (severity.INTERNAL_ERROR, severity.ERROR)

    def start(self: Any) -> None:
        trt.ILogger.__init__(self)
        self.errors = deque(maxlen=_MAX_ERRORS)

    def log(self: Any, level: Any, message: str) -> None:
        if level in grave:
            self.errors.append(message)

    return type("ErrorLogger", (trt.ILogger,), {"__init__": start, "log": log})()
