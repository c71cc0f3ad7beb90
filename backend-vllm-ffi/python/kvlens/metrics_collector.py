"""``VLLMMetricsCollector``: the interface that people have scripts for, over a kvlens recording.

::

    from kvlens import VLLMMetricsCollector
    llm = LLM(model="...", enable_prefix_caching=True)
    collector = VLLMMetricsCollector(llm=llm, collection_interval=1.0, enable_monitoring=True)
    collector.start_monitoring()
    llm.generate(prompts, sampling_params)
    collector.stop_monitoring()
    stats = collector.get_comprehensive_stats()
    collector.save_metrics("metrics.csv")
"""

from __future__ import annotations

import csv
import glob
import os
import shutil
import tempfile
import threading
import time
from typing import Any, Dict, List, Optional

from ._engines import StatisticsOff, attach_engine, engine_of, is_v0
from ._log import once
from ._session import Session

#: The raw names, and what they are made of.
_GAUGES = {
    "gpu_cache_usage_sys": "kv_cache_usage",
    "num_running_sys": "requests_running",
    "num_waiting_sys": "requests_waiting",
    "num_swapped_sys": "requests_swapped",
}
_TOTALS = {"prompt_tokens_total": "prompt_tokens", "generation_tokens_total": "generation_tokens"}
_MEANS = {
    "avg_time_to_first_token_seconds": "time_to_first_token_ns",
    "avg_time_per_output_token_seconds": "inter_token_latency_ns",
}
_HISTOGRAMS = {
    "time_to_first_token_seconds": "time_to_first_token_ns",
    "time_per_output_token_seconds": "inter_token_latency_ns",
    "e2e_request_latency_seconds": "e2e_latency_ns",
    "request_queue_time_seconds": "queue_time_ns",
    "request_prefill_time_seconds": "prefill_time_ns",
    "request_decode_time_seconds": "decode_time_ns",
}
RAW_NAMES = (
    "gpu_cache_usage_sys",
    "gpu_prefix_cache_hit_rate",
    "num_running_sys",
    "num_waiting_sys",
    "num_swapped_sys",
    "prompt_tokens_total",
    "generation_tokens_total",
    "avg_time_to_first_token_seconds",
    "avg_time_per_output_token_seconds",
)


class VLLMMetricsCollector:
    """Collects an engine's statistics while it works. What this engine can't know is ``None``, with the reason in ``reasons``."""

    def __init__(
        self,
        llm: Any = None,
        collection_interval: float = 1.0,
        enable_monitoring: bool = True,
        out: Optional[str] = None,
        **options: Any,
    ) -> None:
        self.llm = llm
        self.collection_interval = collection_interval
        self.enable_monitoring = enable_monitoring
        self._out = out
        self._options = options
        self._own_out: Optional[str] = None
        self._session: Optional[Session] = None
        self._owns_session = False
        self._history: List[Dict[str, Any]] = []
        self._stop = threading.Event()
        self._thread: Optional[threading.Thread] = None
        self._final: Optional[Dict[str, Any]] = None
        self._failure: Optional[str] = None
        if enable_monitoring and llm is not None:
            self._attach()

    @property
    def session(self) -> Optional[Session]:
        """The recording behind it."""
        return self._session

    def _attach(self) -> None:
        if self._session is not None and not self._session.closed:
            return
        engine = engine_of(self.llm)
        known = getattr(engine, "_kvlens_session", None)
        if known is not None and not known.closed:
            self._session, self._owns_session = known, False
            return
        out = self._out
        if out is None:
            out = self._own_out = tempfile.mkdtemp(prefix="kvlens-")
        options = {"interval": self.collection_interval, "formats": ["parquet", "csv", "arrow"], **self._options}
        try:
            self._session = attach_engine(self.llm, out=out, **options)
            self._owns_session, self._failure = True, None
        except StatisticsOff as error:
            # A script that was written for the older tool goes on without figures.
            self._failure = str(error)
            once(self._failure)

    def start_monitoring(self) -> None:
        """Starts collecting; does nothing when it is running already."""
        if not self.enable_monitoring or (self._thread is not None and self._thread.is_alive()):
            return
        self._attach()
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="kvlens-metrics", daemon=True)
        self._thread.start()

    def stop_monitoring(self) -> None:
        """Stops collecting; what was collected can be read afterwards."""
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(timeout=5)
        self._remember()
        session = self._session
        if session is not None and self._owns_session and not session.closed:
            self._final = session.snapshot()
            session.close()

    def _run(self) -> None:
        while not self._stop.wait(self.collection_interval):
            self._remember()

    def _remember(self) -> None:
        try:
            self._history.append(self.collect_internal_stats())
        except Exception as error:
            once(f"collecting: {type(error).__name__}: {error}")

    def _figures(self) -> Dict[str, Any]:
        session = self._session
        if session is None:
            return {}
        if session.closed and self._final is not None:
            return self._final
        return session.snapshot()

    def collect_internal_stats(self) -> Dict[str, Any]:
        """The figures now, by their raw names, with ``timestamp``, ``served_by`` and ``reasons``.

        They come from the engine's own statistics where it has them, else from its scheduler and block manager, else
        from what its model executor knows of the cache's size.
        """
        figures = self._figures()
        metrics = figures.get("metrics", {})
        stats: Dict[str, Any] = {"timestamp": time.time(), "served_by": figures.get("served_by")}
        for raw, name in {**_GAUGES, **_TOTALS}.items():
            stats[raw] = metrics.get(name)
        stats["gpu_prefix_cache_hit_rate"] = _hit_rate(metrics)
        for raw, name in _MEANS.items():
            stats[raw] = _mean(metrics.get(name))
        if self._session is None:
            stats.update({key: value for key, value in self._of_executor().items() if stats.get(key) is None})
        stats["reasons"] = {raw: self._reason(raw) for raw in RAW_NAMES if stats[raw] is None}
        return stats

    def _of_executor(self) -> Dict[str, Any]:
        engine = engine_of(self.llm) if self.llm is not None else None
        executor = getattr(engine, "model_executor", None)
        cache = getattr(executor, "cache_config", None) or getattr(
            getattr(engine, "vllm_config", None), "cache_config", None)
        found = {}
        for name in ("num_gpu_blocks", "num_cpu_blocks", "block_size"):
            value = getattr(cache, name, None)
            if value is not None:
                found[name] = value
        return found

    def _reason(self, raw: str) -> str:
        if self._failure is not None:
            return self._failure
        if self._session is None:
            return "monitoring is off, or no engine was given"
        v0 = is_v0(engine_of(self.llm)) if self.llm is not None else False
        if raw == "num_swapped_sys" and not v0:
            return "the V1 engine has no swapped queue: preempted requests are recomputed"
        if raw == "gpu_prefix_cache_hit_rate":
            return "prefix caching is off, or nothing was looked up yet"
        return "nothing of the kind has happened yet, or statistics are off in this engine"

    def get_comprehensive_stats(self) -> Dict[str, Any]:
        """Everything so far: ``key_metrics``, ``histogram_analysis``, ``trend_analysis`` and what they rest on."""
        now = self.collect_internal_stats()
        metrics = self._figures().get("metrics", {})
        # A run that is over has no usage; its highest is what one wants to see then.
        usage = [one["gpu_cache_usage_sys"] for one in self._history if one.get("gpu_cache_usage_sys") is not None]
        key_metrics = {raw: now[raw] for raw in RAW_NAMES}
        key_metrics["gpu_cache_usage_percent"] = _percent(now["gpu_cache_usage_sys"])
        key_metrics["gpu_cache_usage_percent_max"] = _percent(max(usage) if usage else None)
        key_metrics["gpu_prefix_cache_hit_rate_percent"] = _percent(now["gpu_prefix_cache_hit_rate"])
        reasons = dict(now["reasons"])
        for percent, raw in (
            ("gpu_cache_usage_percent", "gpu_cache_usage_sys"),
            ("gpu_prefix_cache_hit_rate_percent", "gpu_prefix_cache_hit_rate"),
        ):
            if raw in reasons:
                reasons[percent] = reasons[raw]
        return {
            "key_metrics": key_metrics,
            "reasons": reasons,
            "histogram_analysis": _histograms(metrics),
            "trend_analysis": self._trends(),
            "collection_info": {
                "samples": len(self._history),
                "collection_interval": self.collection_interval,
                "served_by": now["served_by"],
                "run": self._session.path if self._session is not None else None,
                "problems": self._figures().get("problems", []),
            },
            "raw_metrics": metrics,
        }

    def _trends(self) -> Dict[str, Any]:
        trends: Dict[str, Any] = {}
        for raw in RAW_NAMES:
            values = [one[raw] for one in self._history if one.get(raw) is not None]
            if not values:
                continue
            first, last = values[0], values[-1]
            trends[raw] = {
                "first": first,
                "last": last,
                "min": min(values),
                "max": max(values),
                "mean": sum(values) / len(values),
                "change": last - first,
                "trend": "rising" if last > first else "falling" if last < first else "steady",
                "samples": len(values),
            }
        return trends

    def save_metrics(self, path: str) -> str:
        """Writes what was collected: ``.csv`` one row per collection; ``.parquet`` and ``.arrow`` the run's samples."""
        path = os.fspath(path)
        ending = os.path.splitext(path)[1].lower()
        if ending == ".csv":
            self._save_csv(path)
        elif ending in (".parquet", ".arrow"):
            self._save_samples(path, ending)
        else:
            raise ValueError(f"save_metrics writes .csv, .parquet or .arrow, not {ending or 'a name without an ending'!r}")
        return path

    def _save_csv(self, path: str) -> None:
        rows = self._history or [self.collect_internal_stats()]
        columns = ["timestamp", "served_by", *RAW_NAMES]
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)

    def _save_samples(self, path: str, ending: str) -> None:
        session = self._session
        if session is None:
            raise RuntimeError(f"nothing was recorded: {self._reason('')}")
        if not session.closed:
            raise RuntimeError(f"call stop_monitoring() first: a {ending} file is complete only then")
        folder = session.path
        names = [
            os.path.join(folder, "samples" + ending),
            *sorted(glob.glob(os.path.join(folder, "samples", "part-*" + ending))),
        ]
        found = [name for name in names if os.path.exists(name)]
        if not found:
            raise RuntimeError(f"the run in {folder} has no samples as {ending[1:]}; ask for that format in `formats`")
        # A run shorter than hours has one part; the newest has the end in any case.
        shutil.copyfile(found[-1], path)

    def __enter__(self) -> "VLLMMetricsCollector":
        self.start_monitoring()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop_monitoring()


def _hit_rate(metrics: Dict[str, Any]) -> Optional[float]:
    queries, hits = metrics.get("prefix_cache_queries"), metrics.get("prefix_cache_hits")
    if queries:
        return float((hits or 0) / queries)
    rate = metrics.get("vllm_v0_prefix_cache_hit_rate")
    return None if rate is None else float(rate)


def _mean(histogram: Any) -> Optional[float]:
    if not histogram or not histogram["count"]:
        return None
    return float(histogram["sum"] / histogram["count"] / 1e9)


def _percent(share: Optional[float]) -> Optional[float]:
    return None if share is None else 100.0 * share


def _histograms(metrics: Dict[str, Any]) -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    for raw, name in _HISTOGRAMS.items():
        histogram = metrics.get(name)
        found["avg_" + raw] = _mean(histogram)
        if not histogram or not histogram["count"]:
            continue
        one: Dict[str, Any] = {"count": histogram["count"], "sum": histogram["sum"] / 1e9, "mean": _mean(histogram)}
        for key in ("min", "max", "p50", "p75", "p90", "p95", "p99"):
            value = histogram.get(key)
            if isinstance(value, list):
                # Fixed buckets give a range; both ends are told.
                one[key] = [end / 1e9 for end in value]
            elif value is not None:
                one[key] = value / 1e9
        found[raw] = one
    return found
