"""Messages: one logger, and each message once."""

from __future__ import annotations

import logging
from typing import Set

logger = logging.getLogger("kvlens")
_said: Set[str] = set()


def once(message: str, level: int = logging.WARNING) -> None:
    """Logs a message unless it was logged before in this process."""
    if message not in _said and len(_said) < 1000:
        _said.add(message)
        logger.log(level, message)
