"""Turns vLLM's statistics objects into the packed structs of the C ABI.

Two ways lead to a push. The fast one reads the fields that this vLLM version is known to have and packs them as they
are; a decode step takes some two microseconds. Whatever makes it fail (a field that is missing, of another type or
negative) sends the step down the careful way, which looks at every value, leaves out what can't be true and counts it.
"""

from __future__ import annotations

import math
import time
from array import array
from operator import attrgetter
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple

from . import _native as native

#: Fields of ``SchedulerStats`` that hold something only now and then.
_RARE = (
    "spec_decoding_stats",
    "kv_cache_eviction_events",
    "connector_prefix_cache_stats",
    "iteration_details",
)

#: A push that finds another thread at work, which reads the figures out, is tried again: so often, so far apart.
BUSY_TRIES = 100
BUSY_REST_S = 0.0001

_SHORT = 8  # the first eight fields: all that a step without prompts says
_SHORT_STRUCT = native.step_struct(_SHORT)
_FULL_STRUCT = native.STEP_STRUCT
_BIT = native.STEP_BIT


def number(value: Any) -> Optional[int]:
    """A whole number that can be true, or None."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        if isinstance(value, float) and value.is_integer() and value >= 0:
            return int(value)
        return None
    value = value.__index__()
    return value if 0 <= value < 1 << 64 else None


def real(value: Any) -> Optional[float]:
    """A number that is finite, or None."""
    try:
        value = float(value)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def reals(values: Any) -> Tuple["array[float]", int]:
    """A list's numbers, and how many elements were none. What is negative or not finite is left to the Rust side."""
    try:
        return array("d", values), 0
    except TypeError:
        pass
    try:
        given = list(values)
    except TypeError:
        return array("d"), 0 if values is None else 1
    good = array("d", [v for v in given if isinstance(v, (int, float)) and not isinstance(v, bool)])
    return good, len(given) - len(good)


class Pusher:
    """Pushes one engine's figures."""

    def __init__(self, collector: native.Collector, origin: int, engine_index: int = 0) -> None:
        self.collector = collector
        self.origin = origin
        self.engine_index = engine_index
        self.kv_blocks_total = 0
        self.known_always = 0
        self._handle = collector.handle.value
        self._push_step = collector.push_step
        self._push_requests = collector.push_requests
        self._push_blocks = collector.push_blocks

    def set_blocks(self, total: Optional[int]) -> None:
        """Sets how many blocks requests can use."""
        if total is not None and total > 0:
            self.kv_blocks_total = total
            self.known_always |= _BIT["kv_blocks_total"]

    def step(
        self,
        fields: Dict[str, Any],
        first_token_s: Any = (),
        inter_token_s: Any = (),
        polled: bool = False,
    ) -> int:
        """Pushes a step given by name, the careful way; returns the code."""
        odd = 0
        known = self.known_always
        values: List[Any] = []
        for name, letter in native.STEP_FIELDS:
            value = fields.get(name)
            if name == "kv_blocks_total" and value is None:
                values.append(self.kv_blocks_total)
                continue
            good = None if value is None else number(value) if letter == "Q" else real(value)
            odd += value is not None and good is None
            if good is not None:
                known |= _BIT[name]
            values.append(good or 0)
        first, odd_first = reals(first_token_s)
        between, odd_between = reals(inter_token_s)
        odd += odd_first + odd_between
        first_at, first_count = first.buffer_info()
        between_at, between_count = between.buffer_info()
        code = self._insist(self._push_step, _FULL_STRUCT.pack(
            _FULL_STRUCT.size, self.origin, known, self.engine_index, native.FLAG_POLLED if polled else 0,
            first_at if first_count else 0, first_count, between_at if between_count else 0, between_count, *values))
        if odd:
            self._insist(self.collector.push_anomalies, odd)
        return code

    def _insist(self, push: Callable[..., int], *arguments: Any) -> int:
        """Pushes, again if need be; returns the code."""
        for _ in range(BUSY_TRIES):
            code = push(self._handle, *arguments)
            if code != native.BUSY:
                return code
            time.sleep(BUSY_REST_S)
        return native.BUSY

    def requests(self, rows: Sequence[bytes]) -> int:
        """Pushes finished requests that :func:`request` packed."""
        return self._insist(self._push_requests, b"".join(rows), len(rows))

    def blocks(self, rows: Sequence[bytes]) -> int:
        """Pushes packed lives of blocks."""
        return self._insist(self._push_blocks, b"".join(rows), len(rows))

    def evictions(self, events: Iterable[Any], sample_every: int) -> None:
        """Pushes vLLM's residency samples: blocks that were evicted."""
        rows = []
        keep = []
        for event in events:
            gaps, _ = reals(getattr(event, "reuse_gaps_seconds", ()))
            keep.append(gaps)
            at, count = gaps.buffer_info()
            lifetime, idle = real(getattr(event, "lifetime_seconds", None)), real(getattr(event, "idle_seconds", None))
            known = native.BLOCK_REUSE_COUNT | (0 if idle is None else native.BLOCK_IDLE)
            # Each gap lies between two uses; the first use is not among them.
            uses = count + 1 if count else 0
            rows.append(native.BLOCK_STRUCT.pack(
                native.BLOCK_STRUCT.size, native.BLOCK_EVICTED, known, self.engine_index, sample_every,
                at if count else 0, count, 0, 0, 0, uses, lifetime or 0.0, idle or 0.0, 0.0))
        if rows:
            self.blocks(rows)


def request(
    pusher: Pusher,
    request_id: str,
    finish_reason: int,
    prompt_tokens: Any,
    generation_tokens: Any,
    optional: Dict[str, Any],
) -> bytes:
    """Packs a finished request; what can't be true is left out."""
    known = 0
    values: List[Any] = []
    for at, name in enumerate(native.REQUEST_FIELDS):
        value = optional.get(name)
        good = None if value is None else real(value) if name in native.REQUEST_FLOATS else number(value)
        if good is not None:
            known |= 1 << at
        values.append(good or 0)
    text = request_id.encode("utf-8", "replace")[:128]
    return native.REQUEST_STRUCT.pack(
        native.REQUEST_STRUCT.size, finish_reason, known, pusher.engine_index, 0, text,
        number(prompt_tokens) or 0, number(generation_tokens) or 0, *values)


def finish_code(reason: Any) -> int:
    """The number of a finish reason: vLLM's enum, its name, or a word."""
    name = getattr(reason, "name", reason)
    if name is None:
        return native.FINISH_UNKNOWN
    return native.FINISH_REASONS.get(str(name).lower(), native.FINISH_OTHER)


def seen(names: Iterable[str], thing: Any) -> List[str]:
    """Those of the names that an object has."""
    return [name for name in names if hasattr(thing, name)]


class V1Reader:
    """Reads one vLLM version's ``SchedulerStats`` and ``IterationStats``, as the first ones of a run look."""

    def __init__(self, scheduler: Any, iteration: Any) -> None:
        self.usage = "kv_cache_usage" if hasattr(scheduler, "kv_cache_usage") else "gpu_cache_usage"
        self.deferred = "num_skipped_waiting_reqs" if hasattr(scheduler, "num_skipped_waiting_reqs") else None
        prefix = getattr(scheduler, "prefix_cache_stats", None)
        self.resumed = hasattr(prefix, "preempted_queries")
        self.rare = seen(_RARE, scheduler)
        self.latencies = (
            "inter_token_latencies_iter"
            if hasattr(iteration, "inter_token_latencies_iter")
            else "time_per_output_tokens_iter"
        )
        self.prompts = hasattr(iteration, "prompt_token_stats")
        self.scheduler: Callable[[Any], Tuple[Any, ...]] = attrgetter(
            "num_running_reqs",
            "num_waiting_reqs",
            self.usage,
            self.deferred or "num_waiting_reqs",
            "prefix_cache_stats.requests",
            "prefix_cache_stats.preempted_requests" if self.resumed else "prefix_cache_stats.requests",
        )
        self.iteration: Callable[[Any], Tuple[Any, ...]] = attrgetter(
            "num_generation_tokens",
            "num_preempted_reqs",
            "prompt_token_stats.total" if self.prompts else "num_prompt_tokens",
            "time_to_first_tokens_iter",
            self.latencies,
            "finished_requests",
        )
        # With one name attrgetter gives the value, not a tuple of it.
        rare = attrgetter(*self.rare) if len(self.rare) > 1 else None
        self.rare_values: Callable[[Any], Sequence[Any]] = rare or (
            lambda stats: [getattr(stats, name) for name in self.rare]
        )
        self.known = (
            _BIT["requests_running"] | _BIT["requests_waiting"] | _BIT["kv_cache_usage"] | _BIT["generation_tokens"]
            | _BIT["prompt_tokens"] | _BIT["preemptions"] | _BIT["prefix_cache_queries"] | _BIT["prefix_cache_hits"]
            | _BIT["requests_admitted"]
        )
        if self.deferred:
            self.known |= _BIT["requests_deferred"]
        if self.resumed:
            self.known |= _BIT["prefix_cache_queries_preempted"] | _BIT["prefix_cache_hits_preempted"]
        if self.prompts:
            self.known |= _BIT["cached_prompt_tokens"] | _BIT["computed_prompt_tokens"]

    def fields_seen(self, scheduler: Any, iteration: Any) -> Dict[str, str]:
        """What goes into ``run.json``: the names that the objects have."""
        return {
            "vllm_scheduler_stats_fields": " ".join(sorted(vars(scheduler))) if scheduler is not None else "",
            "vllm_iteration_stats_fields": " ".join(sorted(vars(iteration))) if iteration is not None else "",
        }

    def decode_step(self, pusher: Pusher, scheduler: Any, iteration: Any) -> Optional[int]:
        """Pushes a step in which requests only went on; None, with nothing pushed, when more happened."""
        running, waiting, usage, deferred, looked_up, resumed = self.scheduler(scheduler)
        generated, preempted, prompts, first, latencies, finished = self.iteration(iteration)
        if looked_up or resumed or prompts or first or finished or any(self.rare_values(scheduler)):
            return None
        between = array("d", latencies)
        at, count = between.buffer_info()
        packed = _SHORT_STRUCT.pack(
            _SHORT_STRUCT.size, pusher.origin, self.known | pusher.known_always, pusher.engine_index, 0, 0, 0, at if count else 0,
            count, running, waiting, usage, pusher.kv_blocks_total, generated, 0, preempted, deferred)
        code: int = pusher._push_step(pusher._handle, packed)
        return code if code != native.BUSY else pusher._insist(pusher._push_step, packed)

    def any_step(self, pusher: Pusher, scheduler: Any, iteration: Any) -> int:
        """Pushes a step the careful way; either object may be None."""
        get = getattr
        fields: Dict[str, Any] = {}
        if scheduler is not None:
            fields["requests_running"] = get(scheduler, "num_running_reqs", None)
            fields["requests_waiting"] = get(scheduler, "num_waiting_reqs", None)
            fields["requests_deferred"] = get(scheduler, "num_skipped_waiting_reqs", None)
            fields["kv_cache_usage"] = get(scheduler, self.usage, None)
            self._prefix(fields, get(scheduler, "prefix_cache_stats", None))
            self._rare(fields, scheduler, pusher)
        first: Any = ()
        latencies: Any = ()
        if iteration is not None:
            fields["generation_tokens"] = get(iteration, "num_generation_tokens", None)
            fields["prompt_tokens"] = get(iteration, "num_prompt_tokens", None)
            fields["preemptions"] = get(iteration, "num_preempted_reqs", None)
            prompts = get(iteration, "prompt_token_stats", None)
            if prompts is not None:
                fields["computed_prompt_tokens"] = get(prompts, "computed", None)
                fields["cached_prompt_tokens"] = get(prompts, "cached_tokens", None)
            first = get(iteration, "time_to_first_tokens_iter", ())
            latencies = get(iteration, self.latencies, ())
        elif scheduler is not None:
            # A message without outputs: vLLM counts nothing for it.
            fields["generation_tokens"] = fields["prompt_tokens"] = fields["preemptions"] = 0
        return pusher.step(fields, first, latencies)

    def _prefix(self, fields: Dict[str, Any], prefix: Any) -> None:
        if prefix is None:
            return
        fields["prefix_cache_queries"] = getattr(prefix, "queries", None)
        fields["prefix_cache_hits"] = getattr(prefix, "hits", None)
        fields["requests_admitted"] = getattr(prefix, "requests", None)
        if self.resumed:
            fields["prefix_cache_queries_preempted"] = getattr(prefix, "preempted_queries", None)
            fields["prefix_cache_hits_preempted"] = getattr(prefix, "preempted_hits", None)
            resumed, admitted = number(getattr(prefix, "preempted_requests", 0)), number(fields["requests_admitted"])
            if resumed and admitted is not None:
                fields["requests_admitted"] = admitted + resumed

    def _rare(self, fields: Dict[str, Any], scheduler: Any, pusher: Pusher) -> None:
        drafts = getattr(scheduler, "spec_decoding_stats", None)
        if drafts is not None:
            fields["spec_decode_drafts"] = getattr(drafts, "num_drafts", None)
            fields["spec_decode_draft_tokens"] = getattr(drafts, "num_draft_tokens", None)
            fields["spec_decode_accepted_tokens"] = getattr(drafts, "num_accepted_tokens", None)
        remote = getattr(scheduler, "connector_prefix_cache_stats", None)
        if remote is not None:
            fields["external_prefix_cache_queries"] = getattr(remote, "queries", None)
            fields["external_prefix_cache_hits"] = getattr(remote, "hits", None)
        details = getattr(scheduler, "iteration_details", None)
        if details is not None:
            elapsed = real(getattr(details, "elapsed_ms", None))
            fields["step_time_s"] = None if elapsed is None else elapsed / 1e3
            fields["prefill_requests"] = getattr(details, "num_ctx_requests", None)
            fields["prefill_tokens"] = getattr(details, "num_ctx_tokens", None)
            fields["decode_tokens"] = getattr(details, "num_generation_tokens", None)
        events = getattr(scheduler, "kv_cache_eviction_events", None)
        if events:
            pusher.evictions(events, getattr(pusher, "sample_every", 1))

    def finished(self, pusher: Pusher, iteration: Any, name: Callable[[], str]) -> int:
        """Pushes the requests that finished in a step."""
        rows = [self._request(pusher, one, name) for one in getattr(iteration, "finished_requests", None) or ()]
        return pusher.requests(rows) if rows else native.OK

    @staticmethod
    def _request(pusher: Pusher, one: Any, name: Callable[[], str]) -> bytes:
        get = getattr
        joined = get(one, "_kvlens", None) or {}
        given = get(one, "request_id", None) or joined.get("request_id") or name()
        return request(
            pusher,
            str(given),
            finish_code(get(one, "finish_reason", None)),
            get(one, "num_prompt_tokens", 0),
            get(one, "num_generation_tokens", 0),
            {
                "cached_prompt_tokens": get(one, "num_cached_tokens", joined.get("cached_prompt_tokens")),
                "max_tokens": get(one, "max_tokens_param", None),
                "preemptions": get(one, "num_preemptions", joined.get("preemptions")),
                "time_to_first_token_s": joined.get("time_to_first_token_s"),
                "time_per_output_token_s": get(one, "mean_time_per_output_token", None),
                "e2e_latency_s": get(one, "e2e_latency", None),
                "queue_time_s": get(one, "queued_time", None),
                "prefill_time_s": get(one, "prefill_time", None),
                "decode_time_s": get(one, "decode_time", None),
            },
        )
