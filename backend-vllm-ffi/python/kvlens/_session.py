"""One recording of one engine: its configuration, its collector, and how it ends."""

from __future__ import annotations

import atexit
import itertools
import os
import platform
import socket
import sys
import threading
import time
import weakref
from typing import Any, Dict, List, Optional, Sequence

from . import _native as native
from ._log import logger, once
from ._steps import Pusher

_counter = itertools.count()
_open: "weakref.WeakSet[Session]" = weakref.WeakSet()

#: How many records in a row may fail before another origin takes over.
FAILURES_BEFORE_FALLBACK = 3
#: Seconds before a failed origin is tried again; doubles up to :data:`MAX_BACKOFF_S`.
FIRST_BACKOFF_S = 1.0
MAX_BACKOFF_S = 60.0


def options_from_environment() -> Dict[str, Any]:
    """What ``KVLENS_*`` variables say: ``OUT``, ``SPOOL``, ``FORMATS``, ``TABLES``, ``INTERVAL`` (seconds)."""
    found: Dict[str, Any] = {}
    texts = (("out", "KVLENS_OUT"), ("spool", "KVLENS_SPOOL"), ("metrics_url", "KVLENS_METRICS_URL"))
    for key, name in texts:
        if os.environ.get(name):
            found[key] = os.environ[name]
    for key, name in (("formats", "KVLENS_FORMATS"), ("tables", "KVLENS_TABLES")):
        if os.environ.get(name):
            found[key] = [part.strip() for part in os.environ[name].split(",") if part.strip()]
    if os.environ.get("KVLENS_INTERVAL"):
        found["interval"] = float(os.environ["KVLENS_INTERVAL"])
    if os.environ.get("KVLENS_INJECT_FAULT"):
        found["inject_fault"] = os.environ["KVLENS_INJECT_FAULT"]
    return found


def is_url(out: str) -> bool:
    """Whether a run goes to a store, such as ``s3://bucket/prefix``, rather than to a directory."""
    return "://" in out


def new_run_id() -> str:
    """A name that sorts by time and is unique among processes, also of hosts that write to one place."""
    return time.strftime("%Y%m%d-%H%M%S") + f"-{os.getpid()}-{next(_counter)}-{os.urandom(2).hex()}"


class Session:
    """A recording. Closed by :meth:`close`, by leaving a ``with`` block, when the engine is collected, or at exit."""

    def __init__(
        self,
        out: str,
        *,
        engine: str = "vllm",
        engine_version: Optional[str] = None,
        model: Optional[str] = None,
        device: Optional[str] = None,
        clock_domain: Optional[str] = None,
        run_id: Optional[str] = None,
        spool: Optional[str] = None,
        job: Optional[str] = None,
        formats: Sequence[str] = ("parquet",),
        tables: Optional[Sequence[str]] = None,
        interval: float = 1.0,
        attributes: Optional[Dict[str, Any]] = None,
        source_attributes: Optional[Dict[str, Any]] = None,
        metrics_url: Optional[str] = None,
        scrape_url: Optional[str] = None,
        inject_fault: Optional[str] = None,
    ) -> None:
        self.run_id = run_id or new_run_id()
        self.out = os.fspath(out)
        self.interval = interval
        self.metrics_url = metrics_url
        facts = {"python": platform.python_version(), "command": " ".join(sys.argv)[:1000], "pid": os.getpid()}
        facts.update(attributes or {})
        config: Dict[str, Any] = {
            "out": self.out if is_url(self.out) else os.path.abspath(self.out),
            "run_id": self.run_id,
            "formats": list(formats),
            "interval_ms": max(1, round(interval * 1000)),
            "stall_timeout_ms": 10_000,
            "host": socket.gethostname(),
            "attributes": {key: str(value) for key, value in facts.items()},
            "source": {
                "name": "engine",
                "engine": engine,
                "engine_version": engine_version,
                "model": model,
                "device": device,
                "clock_domain": clock_domain,
                "attributes": {key: str(value) for key, value in (source_attributes or {}).items()},
            },
            "metrics_url": scrape_url,
            "inject_fault": inject_fault,
        }
        if tables is not None:
            config["tables"] = list(tables)
        if job is not None:
            config["job"] = job
        if spool is not None:
            config["spool"] = os.path.abspath(spool)
        self._tables = None if tables is None else list(tables)
        self.collector = native.Collector(config)
        self.hit_rate_metric: Optional[int] = None
        self.collector.start()
        self._pid = os.getpid()
        self._pushers: Dict[int, Pusher] = {}
        self._blocks_total: Optional[int] = None
        self._sample_every = 1
        self._request_numbers = itertools.count()
        self._closed = False
        self._lock = threading.Lock()
        self.fallbacks: List[Any] = []
        #: The reader of vLLM's KV events, if there are any.
        self.blocks: Any = None
        self.health = Health(self)
        _open.add(self)
        logger.info("recording to %s", self.path)

    @property
    def path(self) -> str:
        """The run's directory, or its URL."""
        if is_url(self.out):
            return f"{self.out.rstrip('/')}/run_id={self.run_id}"
        return os.path.join(self.out, f"run_id={self.run_id}")

    def pusher(self, origin: int, engine_index: int = 0) -> Pusher:
        """The pusher of one engine of the run."""
        pusher = self._pushers.get(engine_index)
        if pusher is None:
            pusher = self._pushers[engine_index] = Pusher(self.collector, origin, engine_index)
            pusher.set_blocks(self._blocks_total)
            pusher.sample_every = self._sample_every  # type: ignore[attr-defined]
        return pusher

    def set_blocks(self, total: Optional[int], sample_rate: Optional[float] = None) -> None:
        """Sets how many KV blocks requests can use, and what share of evictions vLLM reports."""
        self._blocks_total = total
        if sample_rate and 0 < sample_rate <= 1:
            self._sample_every = round(1 / sample_rate)
        for pusher in self._pushers.values():
            pusher.set_blocks(total)
            pusher.sample_every = self._sample_every  # type: ignore[attr-defined]

    def records(self, table: str) -> bool:
        """Whether the run has this table."""
        return self._tables is None or table in self._tables

    def request_name(self) -> str:
        """A name for a request whose own is not told."""
        return f"finished-{next(self._request_numbers)}"

    def flush(self, timeout: float = 10.0) -> None:
        """Waits until everything so far is safe against the death of the process."""
        self.collector.flush(timeout)

    def snapshot(self) -> Dict[str, Any]:
        """The figures now, of the whole run."""
        return self.collector.snapshot()

    def summary(self) -> Dict[str, Any]:
        """What the run came to; complete after :meth:`close`."""
        return self.collector.summary()

    @property
    def closed(self) -> bool:
        """Whether the run has ended."""
        return self._closed

    def close(self) -> None:
        """Ends the run and waits until it is written. A second call does nothing."""
        with self._lock:
            if self._closed or os.getpid() != self._pid:
                return
            self._closed = True
        self.health.stop()
        if self.blocks is not None:
            self.blocks.stop()
        self.collector.close()
        try:
            for problem in self.summary().get("problems", []):
                once(f"run {self.run_id}: {problem}")
        except Exception as error:
            once(f"run {self.run_id}: {error}")

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<kvlens.Session {self.path!r}{' closed' if self._closed else ''}>"


class Health:
    """Whether the best origin works; runs the others while it does not."""

    def __init__(self, session: Session) -> None:
        self._session = weakref.ref(session)
        self._failures = 0
        self._backoff = 0.0
        self._retry_at = 0.0
        self._thread: Optional[threading.Thread] = None
        self._stop = threading.Event()
        self.failed = False

    def ready(self) -> bool:
        """Whether the best origin should be tried now."""
        return not self.failed or time.monotonic() >= self._retry_at

    def good(self) -> None:
        """The best origin worked."""
        self._failures = 0
        if self.failed:
            self.failed = False
            self._backoff = 0.0
            logger.warning("statistics are recorded in full again")

    def bad(self, what: str) -> None:
        """The best origin failed; after a few times in a row the others take over."""
        self._failures += 1
        once(what)
        if self._failures < FAILURES_BEFORE_FALLBACK:
            return
        self._backoff = min(MAX_BACKOFF_S, max(FIRST_BACKOFF_S, self._backoff * 2))
        self._retry_at = time.monotonic() + self._backoff
        if not self.failed:
            self.failed = True
            logger.warning("falling back to coarser statistics; trying again in %.0f s", self._backoff)
        self._watch()

    def _watch(self) -> None:
        session = self._session()
        if session is None or not session.fallbacks or (self._thread and self._thread.is_alive()):
            return
        self._thread = threading.Thread(target=self._run, name="kvlens-fallback", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while self.failed and not self._stop.is_set():
            session = self._session()
            if session is None or session.closed:
                return
            self.poll_once(session)
            interval = session.interval
            del session
            self._stop.wait(interval)

    @staticmethod
    def poll_once(session: Session) -> Optional[str]:
        """Lets the first fallback that answers serve; returns its name."""
        for fallback in session.fallbacks:
            try:
                fallback.push(session)
            except Exception as error:
                once(f"fallback {fallback.name}: {type(error).__name__}: {error}")
            else:
                name: str = fallback.name
                return name
        return None

    def stop(self) -> None:
        """Ends the watching thread."""
        self._stop.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=5)


class Poller:
    """Calls something at an interval, from a thread of its own, until the session is closed."""

    def __init__(self, session: Session, poll: Any) -> None:
        self._session = weakref.ref(session)
        self._poll = poll
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kvlens-poller", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            session = self._session()
            if session is None or session.closed:
                return
            try:
                self._poll(session)
            except Exception as error:
                once(f"polling: {type(error).__name__}: {error}")
            interval = session.interval
            del session
            self._stop.wait(interval)

    def stop(self) -> None:
        """Ends the thread."""
        self._stop.set()


@atexit.register
def _close_all() -> None:
    for session in list(_open):
        try:
            session.close()
        except Exception:
            pass
