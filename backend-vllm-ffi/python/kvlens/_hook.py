"""Changes vLLM's classes as they are imported: a default, and, with ``KVLENS_OUT`` set, a recording of every engine.

This module is imported when Python starts (by ``kvlens_autostart.pth``, with ``KVLENS_OUT`` set only) and must be cheap:
it imports nothing of the package, and nothing of vLLM, before vLLM itself is imported.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.util
import os
import sys
from typing import Any, Callable, Dict, Optional

_installed = False


def recording() -> bool:
    """Whether every engine of this process is to be recorded."""
    return bool(os.environ.get("KVLENS_OUT"))


def _quietly(what: str, error: BaseException) -> None:
    import logging

    logging.getLogger("kvlens").warning("%s: %s: %s", what, type(error).__name__, error)


def _wrap_init(cls: type, before: Optional[Callable[..., None]], after: Optional[Callable[..., None]]) -> None:
    inner: Any = cls.__init__  # type: ignore[misc]
    if getattr(inner, "_kvlens", False):
        return

    @functools.wraps(inner)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        if before is not None:
            before(kwargs)
        inner(self, *args, **kwargs)
        if after is not None:
            after(self)

    __init__._kvlens = True  # type: ignore[attr-defined]
    cls.__init__ = __init__  # type: ignore[misc]


def _statistics_on(kwargs: Dict[str, Any]) -> None:
    """``LLM(...)`` switches statistics off unless told otherwise; someone who imports kvlens wants them."""
    kwargs.setdefault("disable_log_stats", False)


def _record(engine: Any) -> None:
    if not recording():
        return
    try:
        from . import _engines
        from ._session import options_from_environment

        _engines.attach_engine(engine, **options_from_environment())
    except Exception as error:
        _quietly("this engine is not recorded", error)


def _patch_llm(module: Any) -> None:
    if hasattr(module, "LLM"):
        _wrap_init(module.LLM, _statistics_on, None)


def _patch_engine(module: Any) -> None:
    if hasattr(module, "LLMEngine"):
        _wrap_init(module.LLMEngine, None, _record)


def _patch_async(module: Any) -> None:
    if hasattr(module, "AsyncLLM"):
        _wrap_init(module.AsyncLLM, None, _record)


_PATCHES: Dict[str, Callable[[Any], None]] = {
    "vllm.entrypoints.llm": _patch_llm,
    "vllm.engine.llm_engine": _patch_engine,
    "vllm.v1.engine.llm_engine": _patch_engine,
    "vllm.v1.engine.async_llm": _patch_async,
}


def _patch(name: str, module: Any) -> None:
    try:
        _PATCHES[name](module)
    except Exception as error:
        _quietly(f"{name} is left as it is", error)


class _Loader(importlib.abc.Loader):
    """Loads a module as its own loader does, then patches it."""

    def __init__(self, inner: Any, name: str) -> None:
        self._inner, self._name = inner, name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def create_module(self, spec: Any) -> Any:
        return self._inner.create_module(spec)

    def exec_module(self, module: Any) -> None:
        self._inner.exec_module(module)
        _patch(self._name, module)


class _Finder(importlib.abc.MetaPathFinder):
    """Passes every import on; four of vLLM's modules get a loader of ours."""

    def __init__(self) -> None:
        self._busy = False

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname not in _PATCHES or self._busy:
            return None
        self._busy = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._busy = False
        if spec is not None and spec.loader is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _Loader(spec.loader, fullname)
        return spec


def install() -> None:
    """Installs the hook, once; modules that are loaded already are changed at once."""
    global _installed
    if _installed:
        return
    _installed = True
    for name in _PATCHES:
        module = sys.modules.get(name)
        if module is not None:
            _patch(name, module)
    sys.meta_path.insert(0, _Finder())
