"""The Rust collector, through ctypes.

Pushes go through ``PyDLL``, which keeps the interpreter lock: they take about a microsecond and never block, and giving
the lock up for so short a time would cost more than it buys. Everything that can block goes through ``CDLL``.
"""

from __future__ import annotations

import ctypes
import glob
import json
import os
import struct
from typing import Any, Dict, Optional

OK = 7000
OUTPUT = 7006
CLOSED = 7009
FORKED = 7010
BUSY = 7011
PANIC = 7012
BUFFER_TOO_SMALL = 7014

ABI_MAJOR = 1

ORIGIN_STAT_LOGGER = 1
ORIGIN_V0_STAT_LOGGER = 2
ORIGIN_SCHEDULER_POLL = 3
ORIGIN_GET_METRICS = 4
ORIGIN_PROMETHEUS_REGISTRY = 5
ORIGIN_METRICS_URL = 6

FLAG_POLLED = 1

#: The optional fields of ``kvlens_step`` in their order, with the letter of :mod:`struct`; a field's bit is its place.
STEP_FIELDS = (
    ("requests_running", "Q"),
    ("requests_waiting", "Q"),
    ("kv_cache_usage", "d"),
    ("kv_blocks_total", "Q"),
    ("generation_tokens", "Q"),
    ("prompt_tokens", "Q"),
    ("preemptions", "Q"),
    ("requests_deferred", "Q"),
    ("prefix_cache_queries", "Q"),
    ("prefix_cache_hits", "Q"),
    ("requests_admitted", "Q"),
    ("cached_prompt_tokens", "Q"),
    ("computed_prompt_tokens", "Q"),
    ("prefix_cache_queries_preempted", "Q"),
    ("prefix_cache_hits_preempted", "Q"),
    ("requests_swapped", "Q"),
    ("kv_blocks_used", "Q"),
    ("kv_blocks_cached", "Q"),
    ("kv_blocks_free", "Q"),
    ("external_prefix_cache_queries", "Q"),
    ("external_prefix_cache_hits", "Q"),
    ("spec_decode_drafts", "Q"),
    ("spec_decode_draft_tokens", "Q"),
    ("spec_decode_accepted_tokens", "Q"),
    ("prefill_requests", "Q"),
    ("prefill_tokens", "Q"),
    ("decode_tokens", "Q"),
    ("step_time_s", "d"),
    ("prefix_cache_hit_rate", "d"),
)
STEP_BIT = {name: 1 << at for at, (name, _) in enumerate(STEP_FIELDS)}
#: struct_size, origin, known, engine_index, flags, two arrays with their counts.
STEP_HEAD = "=IIQIIQQQQ"


def step_struct(fields: int) -> struct.Struct:
    """The packer of a step that ends after so many of :data:`STEP_FIELDS`."""
    return struct.Struct(STEP_HEAD + "".join(letter for _, letter in STEP_FIELDS[:fields]))


STEP_STRUCT = step_struct(len(STEP_FIELDS))

#: The optional fields of ``kvlens_request``, by bit.
REQUEST_FIELDS = (
    "cached_prompt_tokens",
    "external_cached_tokens",
    "max_tokens",
    "preemptions",
    "priority",
    "time_to_first_token_s",
    "time_per_output_token_s",
    "e2e_latency_s",
    "queue_time_s",
    "prefill_time_s",
    "decode_time_s",
    "inter_token_latency_max_s",
)
REQUEST_STRUCT = struct.Struct("=IIQII128s7Q7d")
REQUEST_FLOATS = frozenset(name for name in REQUEST_FIELDS if name.endswith("_s"))

FINISH_REASONS = {"stop": 0, "length": 1, "abort": 2, "error": 3, "repetition": 4}
FINISH_OTHER = 5
FINISH_UNKNOWN = 255

BLOCK_STRUCT = struct.Struct("=IIQIIQQQQQQddd")
BLOCK_EVICTED = 0
BLOCK_RESET = 2
BLOCK_CENSORED = 3
BLOCK_UNKNOWN = 255
BLOCK_NUMBER, BLOCK_PREFIX_HASH, BLOCK_TOKENS, BLOCK_IDLE, BLOCK_REUSE_COUNT, BLOCK_CACHED = 1, 2, 4, 8, 16, 32


class KvlensError(Exception):
    """The Rust side refused; :attr:`code` is its number."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def library_path() -> str:
    """Where the shared library is: ``KVLENS_LIBRARY``, or beside this file."""
    given = os.environ.get("KVLENS_LIBRARY")
    if given:
        return given
    here = os.path.dirname(os.path.abspath(__file__))
    for pattern in ("_lib/*.so", "_lib/*.dylib", "_lib/*.pyd", "_lib/*.dll"):
        found = sorted(glob.glob(os.path.join(here, pattern)))
        if found:
            return found[0]
    raise ImportError("kvlens was installed without its library; reinstall it with pip, or set KVLENS_LIBRARY")


_size, _pointer, _text = ctypes.c_uint64, ctypes.c_void_p, ctypes.c_char_p
#: What may block: name, arguments.
_BLOCKING = {
    "kvlens_open": [_text, _size, _pointer, _pointer, _size],
    "kvlens_declare_metric": [
        _pointer, _text, _size, ctypes.c_uint32, _text, _size, _text, _size, _pointer,
    ],
    "kvlens_start": [_pointer],
    "kvlens_flush": [_pointer, _size],
    "kvlens_close": [_pointer],
    "kvlens_snapshot": [_pointer, _pointer, _size, _pointer],
    "kvlens_summary": [_pointer, _size, _pointer, _size, _pointer],
    "kvlens_last_error": [_pointer, _pointer, _size],
    "kvlens_push_page": [_pointer, _text, _size, ctypes.c_uint32, ctypes.c_uint32],
}
#: What never does.
_PUSHING = {
    "kvlens_push_step": [_pointer, _pointer],
    "kvlens_push_requests": [_pointer, _pointer, _size],
    "kvlens_push_blocks": [_pointer, _pointer, _size],
    "kvlens_push_anomalies": [_pointer, _size],
    "kvlens_set_gauge": [_pointer, ctypes.c_uint32, ctypes.c_double],
    "kvlens_add_counter": [_pointer, ctypes.c_uint32, _size],
    "kvlens_record_histogram": [_pointer, ctypes.c_uint32, _pointer, _size],
}


class _Library:
    """Both views of the library; loaded once, when the first collector is opened."""

    def __init__(self) -> None:
        path = library_path()
        self.blocking = ctypes.CDLL(path)
        self.pushing = ctypes.PyDLL(path)
        for view, functions in ((self.blocking, _BLOCKING), (self.pushing, _PUSHING)):
            for name, arguments in functions.items():
                function = getattr(view, name)
                function.argtypes, function.restype = arguments, ctypes.c_uint32
        self.blocking.kvlens_free.argtypes, self.blocking.kvlens_free.restype = [_pointer], None
        version = self.blocking.kvlens_abi_version
        version.restype = ctypes.c_uint32
        if version() >> 16 != ABI_MAJOR:
            raise ImportError(f"the library at {path} speaks version {version() >> 16}, not {ABI_MAJOR}; reinstall kvlens")


_library: Optional[_Library] = None


def library() -> _Library:
    """Loads the library, once."""
    global _library
    if _library is None:
        _library = _Library()
    return _library


class Collector:
    """One recording: a handle of the Rust side.

    Every call but :meth:`open` may be made from any thread, and after :meth:`close`. The handle is freed when the object
    is collected, and closes the run then if no one has.
    """

    KINDS = {"counter": 0, "gauge": 1, "histogram": 2}

    def __init__(self, config: Dict[str, Any]) -> None:
        self._library = library()
        self._pid = os.getpid()
        self.handle = ctypes.c_void_p()
        text = json.dumps(config).encode()
        message = ctypes.create_string_buffer(4096)
        code = self._library.blocking.kvlens_open(text, len(text), ctypes.byref(self.handle), message, len(message))
        if code != OK:
            self.handle = ctypes.c_void_p()
            raise KvlensError(code, message.value.decode(errors="replace"))
        pushing = self._library.pushing
        self.push_step = pushing.kvlens_push_step
        self.push_requests = pushing.kvlens_push_requests
        self.push_blocks = pushing.kvlens_push_blocks
        self.push_anomalies = pushing.kvlens_push_anomalies

    def declare(self, name: str, kind: str, unit: str = "", help: str = "") -> int:
        """Declares a metric of one's own, before :meth:`start`; returns its number."""
        number = ctypes.c_uint32()
        parts = [text.encode() for text in (name, unit, help)]
        self._check(self._library.blocking.kvlens_declare_metric(
            self.handle, parts[0], len(parts[0]), self.KINDS[kind], parts[1], len(parts[1]), parts[2], len(parts[2]),
            ctypes.byref(number)))
        return number.value

    def start(self) -> None:
        """Begins the run."""
        self._check(self._library.blocking.kvlens_start(self.handle))

    def set_gauge(self, metric: int, value: float) -> None:
        """Sets a declared gauge."""
        self._check(self._library.pushing.kvlens_set_gauge(self.handle, metric, value))

    def add_counter(self, metric: int, value: int) -> None:
        """Adds to a declared counter."""
        self._check(self._library.pushing.kvlens_add_counter(self.handle, metric, value))

    def push_page(self, page: str, origin: int, baseline: bool = False) -> None:
        """Takes a metrics page in the place of steps."""
        text = page.encode()
        self._check(self._library.blocking.kvlens_push_page(self.handle, text, len(text), origin, int(baseline)))

    def flush(self, timeout_s: float = 10.0) -> None:
        """Waits until everything pushed so far is safe against the death of the process."""
        self._check(self._library.blocking.kvlens_flush(self.handle, int(timeout_s * 1000)))

    def close(self) -> None:
        """Ends the run; a second call does nothing, and neither does one in the child of a fork."""
        if self.handle:
            self._library.blocking.kvlens_close(self.handle)

    def snapshot(self) -> Dict[str, Any]:
        """What is known now."""
        return self._read(lambda *to: self._library.blocking.kvlens_snapshot(self.handle, *to))

    def summary(self, timeout_s: float = 10.0) -> Dict[str, Any]:
        """What the run came to, or has come to up to the last sample."""
        timeout = int(timeout_s * 1000)
        return self._read(lambda *to: self._library.blocking.kvlens_summary(self.handle, timeout, *to))

    def last_error(self) -> str:
        """Why the last call that failed did so."""
        buffer = ctypes.create_string_buffer(4096)
        self._library.blocking.kvlens_last_error(self.handle, buffer, len(buffer))
        return buffer.value.decode(errors="replace")

    def _read(self, call: Any) -> Dict[str, Any]:
        needed = ctypes.c_uint64()
        capacity = 1 << 16
        while True:
            buffer = ctypes.create_string_buffer(capacity)
            code = call(buffer, capacity, ctypes.byref(needed))
            if code != BUFFER_TOO_SMALL:
                break
            capacity = needed.value + 4096
        self._check(code)
        value: Dict[str, Any] = json.loads(buffer.value.decode())
        return value

    def _check(self, code: int) -> None:
        if code != OK:
            raise KvlensError(code, self.describe(code))

    def describe(self, code: int) -> str:
        """A code's meaning, with what the handle knows about it."""
        buffer = ctypes.create_string_buffer(512)
        describe = self._library.blocking.kvlens_describe
        describe.argtypes, describe.restype = [ctypes.c_uint32, _pointer, _size], None
        describe(code, buffer, len(buffer))
        text = buffer.value.decode(errors="replace")
        more = "" if code == FORKED else self.last_error()
        return more or text

    def __del__(self) -> None:
        # In a forked child the memory is the parent's; at exit this module, and ctypes, may be half gone.
        try:
            handle = self.handle
            if handle and self._pid == os.getpid():
                self.handle = ctypes.c_void_p()
                self._library.blocking.kvlens_free(handle)
        except Exception:
            pass
