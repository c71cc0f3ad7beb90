"""Block lives out of vLLM's KV-event publisher, where ``kv_events_config`` has it on.

The engine core publishes which blocks its prefix cache gains and loses, by hash, over ZMQ. A thread subscribes to it, pairs
gains with losses, and pushes a row per life. Token ids, most of a message, are skipped undecoded. ZMQ and msgpack are
vLLM's own dependencies.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from typing import Any, Callable, Deque, Dict, List, NamedTuple, Optional, Tuple, Union

from . import _native as native
from ._log import logger, once

#: Rows handed over at once, and the rest in between: the Rust side's ring holds 16,384 and is emptied every few milliseconds.
ROWS_AT_ONCE = 4096
REST_S = 0.02
#: How long a subscription may take to be known to the publisher.
CONNECT_S = 2.0
#: How long it must have been quiet at the end before everything counts as arrived, and the longest wait for that.
QUIET_MS = 200
DRAIN_S = 3.0

#: Other media are copies in slower tiers.
_MEDIA = (None, "GPU")
_LOW_64 = (1 << 64) - 1

Key = Tuple[int, Any, Any]


def prefix_hash(value: Union[int, bytes]) -> int:
    """The low 64 bits of a hash, as vLLM itself shortens it."""
    return (int.from_bytes(value, "big") if isinstance(value, bytes) else value) & _LOW_64


class Lives:
    """Pairs what was stored with what was removed; ``ended`` takes packed rows."""

    def __init__(self, ended: Callable[[List[bytes]], None]) -> None:
        self._ended = ended
        # The same content can stand in several blocks at a time.
        self._open: Dict[Key, Deque[Tuple[float, int]]] = {}

    def batch(self, rank: int, seconds: float, events: Any) -> None:
        """Takes what one step of the engine with this rank published at this time."""
        rows: List[bytes] = []
        for event in events:
            name = type(event).__name__
            if name == "AllBlocksCleared":
                rows += self._all(rank, seconds, native.BLOCK_RESET)
            elif event.medium not in _MEDIA:
                continue
            elif name == "BlockStored":
                for value in event.block_hashes:
                    self._open.setdefault((rank, event.group_idx, value), deque()).append((seconds, event.block_size))
            else:
                for value in event.block_hashes:
                    rows += self._removed((rank, event.group_idx, value), seconds)
        self._ended(rows)

    def end(self, rank: Optional[int], seconds: float) -> None:
        """Lives of an engine, or of all, that are not followed further: they were longer than this."""
        self._ended(self._all(rank, seconds, native.BLOCK_CENSORED))

    def _removed(self, key: Key, seconds: float) -> List[bytes]:
        lives = self._open.get(key)
        if not lives:
            # Stored before recording began.
            return []
        row = self._row(key, lives.popleft(), seconds, native.BLOCK_EVICTED)
        if not lives:
            del self._open[key]
        return [row]

    def _all(self, rank: Optional[int], seconds: float, end: int) -> List[bytes]:
        keys = [key for key in self._open if rank is None or key[0] == rank]
        return [self._row(key, life, seconds, end) for key in keys for life in self._open.pop(key)]

    @staticmethod
    def _row(key: Key, life: Tuple[float, int], seconds: float, end: int) -> bytes:
        rank, _, value = key
        stored, tokens = life
        known = native.BLOCK_PREFIX_HASH | native.BLOCK_TOKENS | native.BLOCK_CACHED
        lasted = max(0.0, seconds - stored)
        return native.BLOCK_STRUCT.pack(
            native.BLOCK_STRUCT.size, end, known, rank, 1, 0, 0, 0, prefix_hash(value), tokens, 0, lasted, 0.0, lasted)


class Source(NamedTuple):
    """Where one engine's events come from."""

    rank: int
    endpoint: str


def sources_of(config: Any) -> List[Source]:
    """The publishers of an engine with this configuration, as a subscriber on the same machine reaches them."""
    events: Any = getattr(config, "kv_events_config", None)
    if not getattr(events, "enable_kv_cache_events", False) or events.publisher != "zmq":
        return []
    if getattr(getattr(config, "observability_config", None), "kv_cache_metrics", False):
        once("blocks are recorded from kv_cache_metrics' samples, which say more than the KV events")
        return []
    endpoint = events.endpoint
    if not ("*" in endpoint or "::" in endpoint or endpoint.startswith(("ipc://", "inproc://"))) or endpoint.endswith(":0"):
        once(f"vLLM's KV events go to {endpoint}, where kvlens can't subscribe; an endpoint such as tcp://*:5557 or "
             "ipc:///tmp/kv-events would be recorded as `blocks`")
        return []
    from vllm.distributed.kv_events import ZmqEventPublisher

    parallel = getattr(config, "parallel_config", None)
    first = getattr(parallel, "data_parallel_rank", 0) or 0
    found = []
    for rank in range(first, first + (getattr(parallel, "data_parallel_size_local", 1) or 1)):
        # The port, or the name, depends on the rank.
        address = ZmqEventPublisher.offset_endpoint_port(endpoint, rank) if rank else endpoint
        found.append(Source(rank, address.replace("*", "127.0.0.1").replace("[::]", "[::1]")))
    return found


def decoder() -> Callable[[bytes], Any]:
    """Reads a message, of this vLLM version's fields those that are needed."""
    import msgspec
    from vllm.distributed import kv_events

    kept: Dict[str, Any] = {
        "block_hashes": List[Union[int, bytes]], "block_size": int, "medium": Optional[str], "group_idx": Optional[int],
        "ts": float, "data_parallel_rank": Optional[int],
    }

    def slim(struct: Any) -> Any:
        config = struct.__struct_config__
        # In their order, since messages may be arrays; what this version lacks comes last and is never there.
        names = [field.name for field in msgspec.structs.fields(struct)]
        names += [name for name in ("medium", "group_idx") if name not in names]
        return msgspec.defstruct(
            struct.__name__, [(name, kept.get(name, msgspec.Raw), None) for name in names],
            array_like=config.array_like, tag=config.tag, tag_field=config.tag_field)

    events = [slim(getattr(kv_events, name)) for name in ("BlockStored", "BlockRemoved", "AllBlocksCleared")]
    kept["events"] = List[Union[tuple(events)]]  # type: ignore[misc]
    decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(slim(kv_events.KVEventBatch)).decode
    return decode


class BlockReader:
    """The subscription: a thread that lives as long as its session."""

    def __init__(self, session: Any, sources: List[Source]) -> None:
        import zmq

        self._session = weakref.ref(session)
        self._stop = threading.Event()
        self._decode = decoder()
        self._lives = Lives(self._push)
        self._sockets: List[Tuple[Any, Source]] = []
        self._expected: Dict[int, int] = {}
        self._last: Dict[int, float] = {}
        self._poller = zmq.Poller()
        for source in sources:
            socket = self._connect(zmq, source)
            self._sockets.append((socket, source))
            self._poller.register(socket, zmq.POLLIN)
        self._thread = threading.Thread(target=self._run, name="kvlens-blocks", daemon=True)
        self._thread.start()

    @staticmethod
    def _connect(zmq: Any, source: Source) -> Any:
        # The process's own context: an endpoint inside the process is in no other.
        socket = zmq.Context.instance().socket(zmq.SUB)
        socket.setsockopt(zmq.RCVHWM, 0)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.IPV6, int("[" in source.endpoint))
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        if source.endpoint.startswith("inproc://"):
            socket.connect(source.endpoint)
            return socket
        monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        socket.connect(source.endpoint)
        # What is published before the subscription is known is lost.
        if not monitor.poll(CONNECT_S * 1000):
            once(f"no publisher of KV events answers at {source.endpoint} yet")
        socket.disable_monitor()
        return socket

    def _run(self) -> None:
        while not self._stop.is_set():
            if self._session() is None:
                return
            try:
                self._receive(100)
            except Exception as error:
                once(f"KV events: {type(error).__name__}: {error}")
                self._stop.wait(0.1)

    def _receive(self, timeout_ms: int) -> bool:
        ready = dict(self._poller.poll(timeout_ms))
        for socket, source in self._sockets:
            if socket in ready:
                _, number, payload = socket.recv_multipart()
                self._take(source.rank, int.from_bytes(number, "big"), payload)
        return bool(ready)

    def _take(self, rank: int, number: int, payload: bytes) -> None:
        lost = number - self._expected.get(rank, number)
        self._expected[rank] = number + 1
        if lost:
            # Any life may have ended meanwhile.
            once(f"{lost} messages of KV events were lost; lives that were open are recorded as censored")
            self._lives.end(rank, self._last.get(rank, 0.0))
            self._anomalies(abs(lost))
        batch = self._decode(payload)
        self._last[rank] = batch.ts
        self._lives.batch(rank, batch.ts, batch.events)

    def _push(self, rows: List[bytes]) -> None:
        session = self._session()
        if session is None:
            return
        pusher = session.pusher(native.ORIGIN_STAT_LOGGER)
        for at in range(0, len(rows), ROWS_AT_ONCE):
            if at:
                time.sleep(REST_S)
            pusher.blocks(rows[at : at + ROWS_AT_ONCE])

    def _anomalies(self, count: int) -> None:
        session = self._session()
        if session is not None:
            session.collector.push_anomalies(session.collector.handle, count)

    def stop(self) -> None:
        """Takes what is still on its way, and ends the lives that are open."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join(timeout=DRAIN_S)
        if self._thread.is_alive():
            return
        deadline = time.monotonic() + DRAIN_S
        try:
            while time.monotonic() < deadline and self._receive(QUIET_MS):
                pass
            self._lives.end(None, time.time())
        except Exception as error:
            once(f"KV events: {type(error).__name__}: {error}")
        for socket, _ in self._sockets:
            socket.close(linger=0)


def watch_blocks(session: Any, config: Any) -> None:
    """Subscribes to an engine's KV events, once, if it publishes them and the run has a table for them."""
    if session.blocks is not None or not session.records("blocks"):
        return
    try:
        sources = sources_of(config)
        if sources:
            session.blocks = BlockReader(session, sources)
            logger.info("block lives are recorded from KV events")
    except Exception as error:
        once(f"KV events are not recorded: {type(error).__name__}: {error}")
