"""The logger of a process: TensorRT has one, the first that it is given."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

_MAX_WORDS = 600  # of a library's own, in an error
_MAX_ERRORS = 32

turn = threading.Lock()
"""Whoever builds or loads a plan holds it: what the logger has then is about that plan."""

_loggers: dict[Any, Any] = {}  # by module


def emptied_logger(trt: Any) -> Any:
    """Returns the logger of a module, made if there is none, without the errors of before."""
    if trt not in _loggers:
        _loggers[trt] = _make_logger(trt)
    logger = _loggers[trt]
    logger.errors.clear()
    return logger


def logged_errors(trt: Any) -> str:
    """What a library said of errors since its logger was emptied; "" if nothing."""
    logger = _loggers.get(trt)
    return "" if logger is None else "; ".join(tuple(logger.errors))


def shortened(words: str) -> str:
    """A library's own words, on one line, as much as an error should have of them."""
    return " ".join(words.split())[:_MAX_WORDS] or "it does not say why"


def _make_logger(trt: Any) -> Any:
    """Makes a logger that keeps the last things that the library says of errors, in `errors`."""
    severity = trt.ILogger.Severity
    grave = (severity.INTERNAL_ERROR, severity.ERROR)

    def start(self: Any) -> None:
        trt.ILogger.__init__(self)
        self.errors = deque(maxlen=_MAX_ERRORS)

    def log(self: Any, level: Any, message: str) -> None:
        if level in grave:
            self.errors.append(message)

    return type("ErrorLogger", (trt.ILogger,), {"__init__": start, "log": log})()
