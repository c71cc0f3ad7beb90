"""The objects that vLLM calls: one for the V1 engine, one for V0. Nothing they do can raise: that would stop the engine."""

from __future__ import annotations

import weakref
from typing import Any, Dict, List, Optional

from . import _native as native
from ._blocks import watch_blocks
from ._log import once
from ._session import Session
from ._steps import V1Reader, finish_code, request


class V1Logger:
    """A V1 stat logger. Made for every release from 0.8.5 on: ``record`` takes whatever a release passes."""

    def __init__(self, session: Session, engine_index: int = 0, config: Any = None) -> None:
        self.session = session
        self.engine_index = engine_index
        self._config = config
        self._reader: Optional[V1Reader] = None
        self._readers: Dict[Any, V1Reader] = {}
        self._pushers: Dict[int, Any] = {}
        self._active = True

    def record(self, scheduler_stats: Any = None, iteration_stats: Any = None, *args: Any, **kwargs: Any) -> None:
        """Takes one step."""
        if not self._active:
            return
        health = self.session.health
        if health.failed and not health.ready():
            return
        try:
            index = kwargs.get("engine_idx")
            if index is None:
                index = next((arg for arg in reversed(args) if isinstance(arg, int)), self.engine_index)
            pusher = self._pushers.get(index)
            if pusher is None:
                pusher = self._pushers[index] = self.session.pusher(native.ORIGIN_STAT_LOGGER, index)
            code = self._take(pusher, scheduler_stats, iteration_stats)
            if code != native.OK:
                self._refused(code)
            elif health._failures:
                health.good()
        except Exception as error:
            health.bad(f"vLLM's statistics could not be read: {type(error).__name__}: {error}")

    def _take(self, pusher: Any, scheduler: Any, iteration: Any) -> int:
        reader = self._reader
        if iteration is not None and scheduler is not None:
            if reader is None:
                reader = self._learn(scheduler, iteration)
            try:
                code = reader.decode_step(pusher, scheduler, iteration)
            except Exception:
                # The careful way says what is wrong with it.
                code = None
            if code is not None:
                return code
        if reader is None:
            reader = V1Reader(scheduler, iteration)
        if scheduler is None and iteration is None:
            return native.OK
        if scheduler is not None and not hasattr(scheduler, "num_running_reqs"):
            raise TypeError(f"{type(scheduler).__name__} has no num_running_reqs")
        if iteration is not None:
            reader.finished(pusher, iteration, self.session.request_name)
        return reader.any_step(pusher, scheduler, iteration)

    def _learn(self, scheduler: Any, iteration: Any) -> V1Reader:
        self._reader = V1Reader(scheduler, iteration)
        return self._reader

    def _refused(self, code: int) -> None:
        if code == native.BUSY:
            once("a step was not recorded: another thread read the figures out for too long")
            return
        if code in (native.FORKED, native.CLOSED, native.PANIC):
            self._active = False
        self.session.health.bad(f"recording: {self.session.collector.describe(code)}")

    def log_engine_initialized(self) -> None:
        """Learns the size of the cache, which is known from here on."""
        try:
            cache = getattr(self._config, "cache_config", None)
            observability = getattr(self._config, "observability_config", None)
            blocks = getattr(cache, "num_gpu_blocks", None)
            # One block is the null block, which no request can have.
            total = blocks - 1 if isinstance(blocks, int) and blocks > 1 else None
            self.session.set_blocks(total, getattr(observability, "kv_cache_metrics_sample", None))
            watch_blocks(self.session, self._config)
        except Exception:
            pass

    def log(self, *_: Any, **__: Any) -> None:
        """Called by vLLM at its own interval; nothing to do."""

    def record_sleep_state(self, *_: Any, **__: Any) -> None:
        """Called by vLLM when the engine sleeps or wakes; nothing to do."""

    def record_admission_rejection(self, *_: Any, **__: Any) -> None:
        """Called by vLLM's server when it turns a request away; nothing to do."""


class Tee:
    """Stands in for the one logger of the engines of 0.9 and 0.10, and calls both."""

    def __init__(self, first: Any, second: V1Logger) -> None:
        self._first, self._second = first, second

    def __getattr__(self, name: str) -> Any:
        return getattr(self._first, name)

    def record(self, *args: Any, **kwargs: Any) -> None:
        """Calls both."""
        self._first.record(*args, **kwargs)
        self._second.record(*args, **kwargs)


class V0Logger:
    """A stat logger of the V0 engine."""

    def __init__(self, session: Session, engine: Any) -> None:
        self.session = session
        self._engine = weakref.ref(engine)
        self._finished: List[Any] = []
        self._pusher = session.pusher(native.ORIGIN_V0_STAT_LOGGER)
        self._active = True
        cache = getattr(engine, "cache_config", None)
        session.set_blocks(getattr(cache, "num_gpu_blocks", None))
        self._watch(engine)

    def _watch(self, engine: Any) -> None:
        """Wraps ``_get_stats``, to learn which requests its lists are about."""
        inner = engine._get_stats
        finished = self._finished

        def get_stats(
            scheduler_outputs: Any, model_output: Any = None, finished_before: Any = None, skip: Any = None,
            *args: Any, **kwargs: Any,
        ) -> Any:
            try:
                finished.clear()
                passed_over = set(finished_before or ()) | set(skip or ())
                for at, scheduled in enumerate(getattr(scheduler_outputs, "scheduled_seq_groups", None) or ()):
                    if at not in passed_over and scheduled.seq_group.is_finished():
                        finished.append(scheduled.seq_group)
            except Exception:
                finished.clear()
            return inner(scheduler_outputs, model_output, finished_before, skip, *args, **kwargs)

        engine._get_stats = get_stats

    def log(self, stats: Any) -> None:
        """Takes one step."""
        if not self._active:
            return
        health = self.session.health
        if health.failed and not health.ready():
            return
        try:
            rows = self._requests(stats)
            if rows:
                self._pusher.requests(rows)
            code = push_v0(self._pusher, stats)
            if code == native.OK:
                if health._failures:
                    health.good()
            elif code != native.BUSY:
                self._active = code not in (native.FORKED, native.CLOSED, native.PANIC)
                health.bad(f"recording: {self.session.collector.describe(code)}")
        except Exception as error:
            health.bad(f"vLLM's statistics could not be read: {type(error).__name__}: {error}")

    def info(self, *_: Any, **__: Any) -> None:
        """Called by vLLM with its configuration; nothing to do."""

    def _requests(self, stats: Any) -> List[bytes]:
        e2e = getattr(stats, "time_e2e_requests", None) or []
        groups = self._finished if len(self._finished) == len(e2e) else [None] * len(e2e)

        def at(name: str, place: int) -> Any:
            values = getattr(stats, name, None) or []
            return values[place] if len(values) == len(e2e) else None

        rows = []
        for place, group in enumerate(groups):
            optional = {
                "e2e_latency_s": e2e[place],
                "queue_time_s": at("time_queue_requests", place),
                "prefill_time_s": at("time_prefill_requests", place),
                "decode_time_s": at("time_decode_requests", place),
                "max_tokens": at("max_tokens_requests", place),
            }
            name = self.session.request_name()
            generated = at("num_generation_tokens_requests", place)
            if group is not None:
                name = str(group.request_id)
                generated, optional = self._of_group(group, generated, optional)
            rows.append(request(
                self._pusher, name, finish_code(at("finished_reason_requests", place)),
                at("num_prompt_tokens_requests", place), generated, optional))
        return rows

    @staticmethod
    def _of_group(group: Any, generated: Any, optional: Dict[str, Any]) -> Any:
        if generated is None:
            generated = sum(sequence.get_output_len() for sequence in group.get_seqs())
        metrics = getattr(group, "metrics", None)
        arrived, first = getattr(metrics, "arrival_time", None), getattr(metrics, "first_token_time", None)
        if arrived is not None and first is not None:
            optional["time_to_first_token_s"] = first - arrived
        try:
            optional["cached_prompt_tokens"] = group.first_seq.data.get_num_cached_tokens()
        except AttributeError:
            # Releases before 0.8 don't know.
            pass
        optional["priority"] = getattr(group, "priority", None)
        return generated, optional


def push_v0(pusher: Any, stats: Any, polled: bool = False) -> int:
    """Pushes a V0 ``Stats``."""
    def get(name: str) -> Any:
        return getattr(stats, name, None)

    if not hasattr(stats, "num_running_sys"):
        raise TypeError(f"{type(stats).__name__} has no num_running_sys")
    rate = get("gpu_prefix_cache_hit_rate")
    fields = {
        "requests_running": get("num_running_sys"),
        "requests_waiting": get("num_waiting_sys"),
        "requests_swapped": get("num_swapped_sys"),
        "kv_cache_usage": get("gpu_cache_usage_sys"),
        # -1 says that there is no prefix cache.
        "prefix_cache_hit_rate": rate if isinstance(rate, (int, float)) and rate >= 0 else None,
    }
    if polled:
        code: int = pusher.step(fields, polled=True)
        return code
    fields["prompt_tokens"] = get("num_prompt_tokens_iter")
    fields["generation_tokens"] = get("num_generation_tokens_iter")
    fields["preemptions"] = get("num_preemption_iter")
    latencies = get("inter_token_latencies_iter")
    code = pusher.step(
        fields,
        get("time_to_first_tokens_iter") or (),
        (get("time_per_output_tokens_iter") if latencies is None else latencies) or (),
    )
    return code
