"""The entry point ``vllm.stat_logger_plugins``: ``vllm serve`` and every ``AsyncLLM`` of 0.11.1 and later load it.

It records when ``KVLENS_OUT`` is set, and does nothing otherwise.
"""

from __future__ import annotations

from typing import Any, Optional

from vllm.v1.metrics.loggers import StatLoggerBase

from ._log import logger
from ._loggers import V1Logger
from ._session import options_from_environment


class KvlensStatLogger(StatLoggerBase):  # type: ignore[misc]
    """What vLLM makes one of per engine."""

    def __init__(self, vllm_config: Any = None, engine_index: int = 0) -> None:
        self._logger: Optional[V1Logger] = None
        options = options_from_environment()
        if "out" not in options:
            return
        try:
            from . import _engines

            _engines.join_requests()
            session = _engines.open_session(vllm_config, "V1", **options)
            self._logger = V1Logger(session, engine_index, vllm_config)
        except Exception as error:
            logger.warning("this engine is not recorded: %s: %s", type(error).__name__, error)

    def record(self, *args: Any, **kwargs: Any) -> None:
        """Takes one step."""
        if self._logger is not None:
            self._logger.record(*args, **kwargs)

    def log_engine_initialized(self) -> None:
        """Learns the size of the cache."""
        if self._logger is not None:
            self._logger.log_engine_initialized()

    def log(self) -> None:
        """Called by vLLM at its own interval; nothing to do."""

    def record_sleep_state(self, *_: Any, **__: Any) -> None:
        """Called by vLLM when the engine sleeps or wakes; nothing to do."""
