"""Records what happens inside a vLLM process, with no metrics server.

Three ways, from the least work to the most control::

    KVLENS_OUT=runs/ python script.py            # records every engine of the process, script unchanged

    import kvlens                                # before the engine is built
    llm = LLM(model="...")
    with kvlens.attach(llm, out="runs/") as run:
        llm.generate(prompts)
    print(run.path)                              # a directory of Parquet files

    engine = AsyncLLM.from_engine_args(args, stat_loggers=[kvlens.stat_logger(out="runs/")])

``VLLMMetricsCollector`` is the interface of an older tool. Importing this package turns vLLM's statistics on for engines
that are built afterwards without saying otherwise: ``LLM(...)`` has them off by default, and then there is nothing to
record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from . import _hook

if TYPE_CHECKING:
    from ._engines import StatisticsOff
    from ._native import KvlensError
    from ._session import Session
    from .metrics_collector import VLLMMetricsCollector
    from .scrape import scrape_url

__all__ = ["KvlensError", "Session", "StatisticsOff", "VLLMMetricsCollector", "attach", "scrape_url", "stat_logger"]
__version__ = "0.1.0"

#: Imported when they are asked for: the package is loaded in every Python that starts with ``KVLENS_OUT`` set.
_LAZY = {
    "KvlensError": "_native",
    "Session": "_session",
    "StatisticsOff": "_engines",
    "VLLMMetricsCollector": "metrics_collector",
    "scrape_url": "scrape",
}


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def attach(llm: Any, out: str = "runs", **options: Any) -> Session:
    """Records an engine that is already built: an ``LLM``, an ``LLMEngine`` or an ``AsyncLLM``.

    Options: ``formats`` (``"parquet"``, ``"csv"``, ``"arrow"``), ``tables``, ``interval`` (seconds between samples),
    ``run_id``, ``attributes`` (facts about the run), ``metrics_url`` (the engine's metrics page, as the last fallback).

    Raises :class:`StatisticsOff` when the engine keeps no statistics and lives in another process, and
    :class:`KvlensError` when ``out`` can't be written.
    """
    from ._engines import attach_engine

    return attach_engine(llm, out=out, **options)


def stat_logger(out: str = "runs", **options: Any) -> Callable[..., Any]:
    """A factory for the ``stat_loggers=[...]`` of ``LLMEngine`` (0.11.1 and later) and ``AsyncLLM``."""

    def factory(vllm_config: Any, engine_index: int = 0) -> Any:
        from ._engines import join_requests, open_session
        from ._loggers import V1Logger

        join_requests()
        session = open_session(vllm_config, "V1", out=out, **options)
        # vLLM keeps the logger, and the logger the session.
        return V1Logger(session, engine_index, vllm_config)

    return factory


_hook.install()
