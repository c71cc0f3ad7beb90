"""Finds the way into an engine, whichever version it is, and opens a recording of it."""

from __future__ import annotations

import sys
import weakref
from typing import Any, Dict, List, Optional

from . import _native as native
from ._blocks import watch_blocks
from ._fallback import baseline, fallbacks_of, registry_page
from ._log import logger, once
from ._loggers import Tee, V0Logger, V1Logger, push_v0
from ._session import Poller, Session

V1_CLOCKS = (
    "arrival, first token and end of a request: wall clock of the front end; "
    "queue, prefill and decode times: monotonic clock of the engine core"
)
V0_CLOCKS = "wall clock of the engine's process"

#: By ``id`` of the engine's configuration: one recording per engine, however it is found.
_by_config: Dict[int, "weakref.ref[Session]"] = {}


class StatisticsOff(RuntimeError):
    """The engine was built with statistics off, and can't be looked into from here."""

    def __init__(self) -> None:
        super().__init__(
            "this engine was built with disable_log_stats=True and keeps no statistics; build it with "
            "disable_log_stats=False, or import kvlens before building it, which makes that the default"
        )


def session_of(config: Any) -> Optional[Session]:
    """The open recording of the engine with this configuration."""
    reference = _by_config.get(id(config))
    session = reference() if reference is not None else None
    return None if session is None or session.closed else session


def vllm_version() -> Optional[str]:
    """The version of the vLLM that is loaded."""
    return getattr(sys.modules.get("vllm"), "__version__", None)


def open_session(config: Any, generation: str, **options: Any) -> Session:
    """Opens a recording of the engine with this configuration."""
    known = session_of(config)
    if known is not None:
        return known
    model = getattr(config, "model_config", None)
    cache = getattr(config, "cache_config", None)
    parallel = getattr(config, "parallel_config", None)
    scheduler = getattr(config, "scheduler_config", None)
    device = getattr(getattr(config, "device_config", None), "device_type", None)
    facts = {
        "vllm_engine": generation,
        "block_size": getattr(cache, "block_size", None),
        "num_gpu_blocks": getattr(cache, "num_gpu_blocks", None),
        "cache_dtype": getattr(cache, "cache_dtype", None),
        "enable_prefix_caching": getattr(cache, "enable_prefix_caching", None),
        "dtype": getattr(model, "dtype", None),
        "max_model_len": getattr(model, "max_model_len", None),
        "max_num_seqs": getattr(scheduler, "max_num_seqs", None),
        "max_num_batched_tokens": getattr(scheduler, "max_num_batched_tokens", None),
        "tensor_parallel_size": getattr(parallel, "tensor_parallel_size", None),
        "pipeline_parallel_size": getattr(parallel, "pipeline_parallel_size", None),
        "data_parallel_size": getattr(parallel, "data_parallel_size", None),
    }
    facts.update(_fields_of_this_version(generation))
    session = Session(
        engine="vllm",
        engine_version=vllm_version(),
        model=getattr(model, "served_model_name", None) if isinstance(
            getattr(model, "served_model_name", None), str) else getattr(model, "model", None),
        device=device,
        clock_domain=V1_CLOCKS if generation == "V1" else V0_CLOCKS,
        source_attributes={key: value for key, value in facts.items() if value is not None},
        **options,
    )
    _by_config[id(config)] = weakref.ref(session)
    return session


def _fields_of_this_version(generation: str) -> Dict[str, str]:
    """The names that this version's statistics have, for ``run.json``."""
    found: Dict[str, str] = {}
    stats = sys.modules.get("vllm.v1.metrics.stats" if generation == "V1" else "vllm.engine.metrics_types")
    for name in ("SchedulerStats", "PrefixCacheStats", "IterationStats", "FinishedRequestStats", "Stats"):
        cls = getattr(stats, name, None)
        if cls is None:
            continue
        fields = list(getattr(cls, "__dataclass_fields__", {}))
        if not fields:
            try:
                fields = list(vars(cls()))
            except Exception:
                continue
        found[f"vllm_{name}"] = " ".join(fields)
    return found


def engine_of(thing: Any) -> Any:
    """The engine of an ``LLM``; anything else is taken for an engine."""
    return getattr(thing, "llm_engine", thing)


def is_v0(engine: Any) -> bool:
    """Whether this is the V0 engine."""
    return hasattr(engine, "_get_stats") and hasattr(engine, "stat_loggers")


def attach_engine(engine: Any, **options: Any) -> Session:
    """Records an engine that is already built."""
    engine = engine_of(engine)
    # vLLM 0.8 to 0.10 wrap the V0 engine for asyncio.
    engine = getattr(engine, "engine", engine) if not hasattr(engine, "vllm_config") else engine
    config = getattr(engine, "vllm_config", None)
    known = session_of(config)
    if known is not None:
        return known
    session = _attach_v0(engine, config, options) if is_v0(engine) else _attach_v1(engine, config, options)
    # The run ends with its engine.
    weakref.finalize(engine, session.close)
    engine._kvlens_session = session
    return session


def _attach_v0(engine: Any, config: Any, options: Dict[str, Any]) -> Session:
    session = open_session(config, "V0", **options)
    if getattr(engine, "log_stats", False):
        engine.add_logger("kvlens-" + session.run_id, V0Logger(session, engine))
        session.fallbacks = [_V0Poll(engine, counters=True), *fallbacks_of(engine, session.metrics_url)]
        baseline(session)
    else:
        once("statistics are off in this engine: only queues and the KV cache are recorded, by looking at the scheduler")
        poll = _V0Poll(engine)
        session.poller = Poller(session, poll.push)  # type: ignore[attr-defined]
    return session


def _attach_v1(engine: Any, config: Any, options: Dict[str, Any]) -> Session:
    core = _core_in_process(engine)
    manager = getattr(engine, "logger_manager", None)
    single = getattr(engine, "stat_logger", None)
    lists = _logger_lists(engine, manager)
    if not lists and single is None and core is None:
        raise StatisticsOff()
    session = open_session(config, "V1", **options)
    if not lists and single is None:
        once(
            "this engine was built with disable_log_stats=True: only queues and the KV cache are recorded, by looking "
            "at the scheduler; build it with disable_log_stats=False for the rest"
        )
        watch_blocks(session, config)
        poll = V1Poll(core, config)
        session.poller = Poller(session, poll.push)  # type: ignore[attr-defined]
        return session
    join_requests()
    logger_of_engine = V1Logger(session, 0, config)
    logger_of_engine.log_engine_initialized()
    if lists:
        for index, loggers in enumerate(lists):
            one = logger_of_engine if index == 0 else V1Logger(session, index, config)
            loggers.append(one)
    else:
        engine.stat_logger = Tee(single, logger_of_engine)
    session.fallbacks = fallbacks_of(engine, session.metrics_url)
    baseline(session)
    return session


def _logger_lists(engine: Any, manager: Any) -> List[List[Any]]:
    """The lists that this version keeps its loggers in."""
    if manager is not None:
        if isinstance(getattr(manager, "stat_loggers", None), list):
            return [manager.stat_loggers]
        return list(getattr(manager, "per_engine_logger_dict", {}).values())
    # AsyncLLM of 0.8.5 to 0.9.x.
    lists = getattr(engine, "stat_loggers", None)
    return [one for one in lists if isinstance(one, list)] if isinstance(lists, list) else []


def _core_in_process(engine: Any) -> Any:
    """The engine core, if it lives in this process."""
    core = getattr(getattr(engine, "engine_core", None), "engine_core", None)
    return core if hasattr(core, "scheduler") else None


class V1Poll:
    """Looks at the scheduler and the KV-cache manager of an engine core in this process."""

    name = "scheduler_poll"

    def __init__(self, core: Any, config: Any) -> None:
        self._core = weakref.ref(core)
        self._config = config
        self._pusher: Any = None

    def push(self, session: Session) -> None:
        """Looks once."""
        core = self._core()
        if core is None:
            raise RuntimeError("the engine is gone")
        scheduler = core.scheduler
        manager = getattr(scheduler, "kv_cache_manager", None)
        blocks = getattr(getattr(self._config, "cache_config", None), "num_gpu_blocks", None)
        if self._pusher is None:
            session.set_blocks(blocks - 1 if isinstance(blocks, int) and blocks > 1 else None)
            self._pusher = session.pusher(native.ORIGIN_SCHEDULER_POLL)
        usage = getattr(manager, "usage", None)
        code = self._pusher.step(
            {
                "requests_running": len(scheduler.running),
                "requests_waiting": len(scheduler.waiting),
                "kv_cache_usage": usage() if callable(usage) else usage,
            },
            polled=True,
        )
        if code != native.OK:
            raise RuntimeError(session.collector.describe(code))


class _V0Poll:
    """Looks at a V0 engine's scheduler and block manager between steps, and asks it for its gauges if that fails.

    With ``counters``, what the engine has counted meanwhile comes from the process's Prometheus registry.
    """

    name = "scheduler_poll"

    def __init__(self, engine: Any, counters: bool = False) -> None:
        self._engine = weakref.ref(engine)
        self._counters = counters
        self._preemptions: Optional[int] = None

    def push(self, session: Session) -> None:
        """Looks once."""
        engine = self._engine()
        if engine is None:
            raise RuntimeError("the engine is gone")
        counted = self._counters and self._count(session)
        pusher = session.pusher(native.ORIGIN_V0_STAT_LOGGER)
        pusher.origin = native.ORIGIN_SCHEDULER_POLL
        try:
            blocks = getattr(engine.cache_config, "num_gpu_blocks", None)
            session.set_blocks(blocks)
            schedulers = engine.scheduler
            free = sum(one.block_manager.get_num_free_gpu_blocks() for one in schedulers)
            preemptions = sum(getattr(one, "num_cumulative_preemption", 0) for one in schedulers)
            before, self._preemptions = self._preemptions, preemptions
            code = pusher.step(
                {
                    "requests_running": sum(len(one.running) for one in schedulers),
                    "requests_waiting": sum(len(one.waiting) for one in schedulers),
                    "requests_swapped": sum(len(one.swapped) for one in schedulers),
                    "kv_cache_usage": 1 - free / blocks if blocks else None,
                    "prefix_cache_hit_rate": self._hit_rate(schedulers),
                    "preemptions": None if counted or before is None else max(0, preemptions - before),
                },
                polled=True,
            )
        except AttributeError:
            code = push_v0(pusher, engine._get_stats(None), polled=True)
        finally:
            pusher.origin = native.ORIGIN_V0_STAT_LOGGER
        if code != native.OK:
            raise RuntimeError(session.collector.describe(code))

    @staticmethod
    def _count(session: Session) -> bool:
        try:
            session.collector.push_page(registry_page(), native.ORIGIN_SCHEDULER_POLL)
        except Exception:
            # Without a registry there are gauges alone.
            return False
        return True

    @staticmethod
    def _hit_rate(schedulers: Any) -> Optional[float]:
        try:
            from vllm.utils import Device

            rate = float(schedulers[0].block_manager.get_prefix_cache_hit_rate(Device.GPU))
        except Exception:
            return None
        return rate if rate >= 0 else None


def join_requests() -> None:
    """Has vLLM's output processor note with each finished request what its statistics leave out, once per process.

    Releases before 0.20 leave out the identifier, and all of them the time to the first token.
    """
    try:
        from vllm.v1.engine.output_processor import OutputProcessor
    except Exception:
        return
    inner = getattr(OutputProcessor, "_update_stats_from_finished", None)
    if inner is None or getattr(inner, "_kvlens", False):
        return

    def update_stats_from_finished(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = inner(self, *args, **kwargs)
        try:
            state: Any = kwargs.get("req_state", args[0] if args else None)
            iteration: Any = kwargs.get("iteration_stats", args[-1] if args else None)
            if iteration is not None and iteration.finished_requests:
                stats = state.stats
                iteration.finished_requests[-1]._kvlens = {
                    "request_id": getattr(state, "external_req_id", None) or state.request_id,
                    "time_to_first_token_s": getattr(stats, "first_token_latency", None) or None,
                    "cached_prompt_tokens": getattr(state, "num_cached_tokens", None),
                    "preemptions": getattr(stats, "num_preemptions", None),
                }
        except Exception:
            pass
        return result

    update_stats_from_finished._kvlens = True  # type: ignore[attr-defined]
    OutputProcessor._update_stats_from_finished = update_stats_from_finished
    logger.debug("requests are joined with their identifiers")
