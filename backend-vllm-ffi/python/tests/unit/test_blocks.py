"""Block lives out of KV events: pairing, versions of the messages, a subscription over a real socket."""

import sys
import time
import types
from typing import Any, List, Optional, Union

import pytest

from kvlens import _blocks
from kvlens import _native as native


class BlockStored:
    def __init__(self, hashes, medium=None, group=None):
        self.block_hashes, self.medium, self.group_idx, self.block_size = hashes, medium, group, 16


class BlockRemoved:
    def __init__(self, hashes, medium=None, group=None):
        self.block_hashes, self.medium, self.group_idx = hashes, medium, group


class AllBlocksCleared:
    pass


FIELDS = ("struct_size end known engine_index sample_every gaps gap_count block prefix_hash tokens reuse_count "
          "lifetime_s idle_s cached_s").split()


@pytest.fixture
def lives():
    found = []

    def ended(rows):
        found.extend(dict(zip(FIELDS, native.BLOCK_STRUCT.unpack(row))) for row in rows)

    made = _blocks.Lives(ended)
    made.found = found
    return made


def test_a_life_is_from_stored_to_removed(lives):
    lives.batch(0, 10.0, [BlockStored([1, b"\xff" * 31 + b"\x05"])])
    lives.batch(0, 12.5, [BlockRemoved([1]), BlockRemoved([99])])
    [life] = lives.found
    assert (life["end"], life["prefix_hash"], life["tokens"], life["lifetime_s"], life["cached_s"]) == (
        native.BLOCK_EVICTED, 1, 16, 2.5, 2.5)
    assert not life["known"] & (native.BLOCK_IDLE | native.BLOCK_REUSE_COUNT | native.BLOCK_NUMBER)
    lives.end(None, 13.0)
    assert [(one["end"], one["prefix_hash"]) for one in lives.found[1:]] == [
        (native.BLOCK_CENSORED, 0xFFFFFFFFFFFFFF05)]


def test_the_same_content_in_two_blocks_is_two_lives(lives):
    lives.batch(0, 1.0, [BlockStored([7])])
    lives.batch(0, 2.0, [BlockStored([7])])
    lives.batch(0, 4.0, [BlockRemoved([7])])
    lives.batch(0, 8.0, [BlockRemoved([7])])
    assert [life["lifetime_s"] for life in lives.found] == [3.0, 6.0]


def test_engines_groups_and_tiers_are_kept_apart(lives):
    lives.batch(0, 1.0, [BlockStored([7], "GPU", 0), BlockStored([7], "GPU", 1), BlockStored([7], "CPU", 0)])
    lives.batch(1, 1.0, [BlockStored([7], "GPU", 0)])
    lives.batch(1, 2.0, [AllBlocksCleared()])
    lives.batch(0, 3.0, [BlockRemoved([7], "GPU", 1), BlockRemoved([7], "CPU", 0)])
    assert [(life["end"], life["engine_index"], life["lifetime_s"]) for life in lives.found] == [
        (native.BLOCK_RESET, 1, 1.0), (native.BLOCK_EVICTED, 0, 2.0)]


def test_a_clock_that_goes_backwards_gives_no_negative_life(lives):
    lives.batch(0, 5.0, [BlockStored([1])])
    lives.batch(0, 4.0, [BlockRemoved([1])])
    assert lives.found[0]["lifetime_s"] == 0.0


def config(endpoint="tcp://*:5557", publisher="zmq", on=True, samples=False, **parallel):
    return types.SimpleNamespace(
        kv_events_config=types.SimpleNamespace(enable_kv_cache_events=on, publisher=publisher, endpoint=endpoint),
        observability_config=types.SimpleNamespace(kv_cache_metrics=samples),
        parallel_config=types.SimpleNamespace(**parallel))


@pytest.fixture
def vllm_events(monkeypatch, request):
    """A stand-in for vLLM's module, with messages as arrays (up to some version) or as maps."""
    msgspec = pytest.importorskip("msgspec")
    as_array = getattr(request, "param", False)
    shape = dict(tag=True, array_like=as_array, omit_defaults=True)
    hashes = List[Union[int, bytes]]
    old = [("block_hashes", hashes), ("parent_block_hash", Optional[int]), ("token_ids", List[int]), ("block_size", int),
           ("lora_id", Optional[int])]
    new = [*old, ("medium", Optional[str]), ("lora_name", Optional[str]), ("extra_keys", Any, None),
           ("group_idx", Optional[int], None), ("session_id", Optional[str], None)]
    stored = msgspec.defstruct("BlockStored", old if as_array else new, **shape)
    removed = msgspec.defstruct(
        "BlockRemoved", [("block_hashes", hashes)] + ([] if as_array else [("medium", Optional[str])]), **shape)
    cleared = msgspec.defstruct("AllBlocksCleared", [], **shape)
    batch = msgspec.defstruct(
        "KVEventBatch", [("ts", float), ("events", List[Any]), ("data_parallel_rank", Optional[int], None)],
        array_like=True, omit_defaults=True)
    module = types.ModuleType("vllm.distributed.kv_events")
    module.BlockStored, module.BlockRemoved, module.AllBlocksCleared, module.KVEventBatch = stored, removed, cleared, batch
    module.ZmqEventPublisher = types.SimpleNamespace(
        offset_endpoint_port=lambda endpoint, rank: f"{endpoint[:-1]}{int(endpoint[-1]) + rank}")
    for name in ("vllm", "vllm.distributed"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules["vllm.distributed"].kv_events = module
    monkeypatch.setitem(sys.modules, "vllm.distributed.kv_events", module)
    module.store = lambda *values: stored(list(values), None, [1, 2, 3] * 100, 16, None, *([] if as_array else ["GPU", None]))
    module.remove = lambda *values: removed(list(values), *([] if as_array else ["GPU"]))
    module.encode = msgspec.msgpack.Encoder().encode
    return module


@pytest.mark.parametrize("vllm_events", [False, True], indirect=True, ids=["maps", "arrays"])
def test_messages_of_any_version(vllm_events, lives):
    message = vllm_events.KVEventBatch(
        3.5, [vllm_events.store(1, b"\0" * 31 + b"\2"), vllm_events.remove(1), vllm_events.AllBlocksCleared()], 0)
    batch = _blocks.decoder()(vllm_events.encode(message))
    assert batch.ts == 3.5
    lives.batch(0, batch.ts, batch.events)
    assert [(life["prefix_hash"], life["end"]) for life in lives.found] == [
        (1, native.BLOCK_EVICTED), (2, native.BLOCK_RESET)]


def test_where_events_come_from(vllm_events):
    def endpoints(**given):
        return [tuple(source) for source in _blocks.sources_of(config(**given))]

    assert endpoints() == [(0, "tcp://127.0.0.1:5557")]
    assert endpoints(data_parallel_size_local=2) == [(0, "tcp://127.0.0.1:5557"), (1, "tcp://127.0.0.1:5558")]
    assert endpoints(data_parallel_rank=1) == [(1, "tcp://127.0.0.1:5558")]
    assert endpoints(endpoint="ipc:///tmp/events") == [(0, "ipc:///tmp/events")]
    assert endpoints(endpoint="tcp://[::]:5557") == [(0, "tcp://[::1]:5557")]
    for nothing in (dict(on=False), dict(publisher="null"), dict(endpoint="tcp://router:5557"),
                    dict(endpoint="tcp://*:0"), dict(samples=True)):
        assert endpoints(**nothing) == []
    assert _blocks.sources_of(object()) == []


def test_a_subscription(vllm_events, session, read, tmp_path):
    zmq = pytest.importorskip("zmq")
    endpoint = f"ipc://{tmp_path}/events"
    publisher = zmq.Context.instance().socket(zmq.PUB)
    publisher.bind(endpoint)
    _blocks.watch_blocks(session, config(endpoint))
    time.sleep(0.2)

    def publish(number, seconds, *events):
        message = vllm_events.encode(vllm_events.KVEventBatch(seconds, list(events), 0))
        publisher.send_multipart((b"", number.to_bytes(8, "big"), message))

    now = time.time()
    publish(0, now - 0.125, vllm_events.store(*range(1, 101)))
    publish(1, now, vllm_events.remove(*range(1, 41)))
    # Message 2 is lost: what is open is not followed further.
    publish(3, now + 0.001, vllm_events.store(200), vllm_events.remove(50))
    session.close()
    publisher.close(linger=0)
    rows = read(session, "blocks")
    ends = [row["end"] for row in rows]
    assert (ends.count("evicted"), ends.count("censored")) == (40, 61)
    evicted = [row for row in rows if row["end"] == "evicted"]
    assert all(abs(int(row["lifetime_ns"]) - 125_000_000) < 1_000 for row in evicted)
    assert all(row["cached"] == row["allocated"] != "" for row in evicted)
    assert all(row["reuse_count"] == row["idle_ns"] == row["last_touched"] == "" for row in rows)
    assert session.summary()["sources"][0]["metrics"]["anomalies"] >= 1
    assert not session.blocks._thread.is_alive()


def test_no_table_no_subscription(vllm_events, tmp_path):
    from kvlens._session import Session

    with Session(str(tmp_path), tables=["samples"]) as made:
        _blocks.watch_blocks(made, config(f"ipc://{tmp_path}/none"))
        assert made.blocks is None
