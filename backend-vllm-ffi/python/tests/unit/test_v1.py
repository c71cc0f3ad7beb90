"""The V1 logger, on stand-ins of the oldest and the newest statistics."""

import math

import pytest

from kvlens._loggers import V1Logger


def metrics(session):
    return session.snapshot()["metrics"]


@pytest.mark.parametrize("age", ["Old", "New"])
def test_totals_rows_and_latencies(session, stats, read, age):
    scheduler, iteration = getattr(stats, age + "Scheduler"), getattr(stats, age + "Iteration")
    prefix = stats.PrefixCacheStats if age == "New" else stats.OldPrefixCacheStats
    log = V1Logger(session)
    session.set_blocks(100)
    log.record(scheduler(3, 1, 0.25, prefix(requests=3, queries=30, hits=16)),
               iteration(3, (), (0.1, 0.2, 0.3), 30, 0), engine_idx=0)
    for _ in range(10):
        log.record(scheduler(3, 1, 0.5), iteration(3, (0.01, 0.02, 0.03)), None, 0)
    done = [stats.FinishedRequestStats(stats.FinishReason.LENGTH) for _ in range(3)]
    log.record(scheduler(0, 0, 0.0), iteration(3, (0.01,) * 3, preempted=2, finished=done), engine_idx=0)
    now = metrics(session)
    assert now["steps"] == 12
    assert now["generation_tokens"] == 36 and now["prompt_tokens"] == 30
    assert now["prefix_cache_queries"] == 30 and now["prefix_cache_hits"] == 16
    assert now["preemptions_recompute"] == 2
    assert now["requests_finished_length"] == 3 and now["requests_finished_stop"] == 0
    assert now["time_to_first_token_ns"]["sum"] == 600_000_000
    assert now["inter_token_latency_ns"]["count"] == 33
    assert now["inter_token_latency_ns"]["sum"] == 630_000_000
    assert ("prefix_cache_queries_preempted" in now) == (age == "New")
    assert "spec_decode_drafts" not in now
    session.close()
    requests = read(session, "requests")
    assert [row["finish_reason"] for row in requests] == ["length"] * 3
    assert {row["request_id"] for row in requests} == {"finished-0", "finished-1", "finished-2"}
    assert requests[0]["generation_tokens"] == "4" and requests[0]["e2e_latency_ns"] == "500000000"
    steps = read(session, "steps")
    assert len(steps) == 12 and steps[-1]["requests_finished"] == "3"
    assert steps[1]["kv_blocks_used"] == "50"
    assert read(session, "samples")[-1]["served_by"] == "stat_logger"


def test_engines_are_told_apart(session, stats, read):
    log = V1Logger(session)
    for index in (0, 1, 1):
        log.record(stats.NewScheduler(), stats.NewIteration(), mm_cache_stats=None, engine_idx=index)
    session.close()
    assert sorted(row["engine_index"] for row in read(session, "steps")) == ["0", "1", "1"]


@pytest.mark.parametrize("broken", [
    dict(running=-1), dict(running="three"), dict(running=None), dict(usage=float("nan")), dict(usage="x"),
    dict(usage=None), dict(waiting=1.5), dict(waiting=-(1 << 70)),
])
def test_scheduler_values_that_can_not_be_true(session, stats, broken):
    log = V1Logger(session)
    log.record(stats.NewScheduler(**broken), stats.NewIteration(2, (0.5,)))
    log.record(stats.NewScheduler(), stats.NewIteration(2, (0.5,)))
    now = metrics(session)
    assert now["generation_tokens"] == 4 and now["inter_token_latency_ns"]["count"] == 2
    assert not session.health.failed


@pytest.mark.parametrize("latencies", [(0.5, None), (0.5, "x"), None, 7, (math.nan, 0.5), (-1.0,)])
def test_latencies_that_can_not_be_true(session, stats, latencies):
    log = V1Logger(session)
    iteration = stats.NewIteration(1)
    iteration.inter_token_latencies_iter = latencies
    log.record(stats.NewScheduler(), iteration)
    assert metrics(session)["generation_tokens"] == 1


@pytest.mark.parametrize("name", [
    "num_waiting_reqs", "kv_cache_usage", "prefix_cache_stats", "kv_cache_eviction_events", "spec_decoding_stats",
])
def test_fields_that_vanish(session, stats, name):
    log = V1Logger(session)
    log.record(stats.NewScheduler(), stats.NewIteration())
    poor = stats.NewScheduler()
    delattr(poor, name)
    log.record(poor, stats.NewIteration())
    assert metrics(session)["generation_tokens"] == 2


def test_nothing_can_raise(session):
    log = V1Logger(session)

    class Bomb:
        def __getattribute__(self, name):
            raise KeyboardInterrupt if name == "never" else RuntimeError(name)

    for scheduler in (Bomb(), object(), None, 3):
        for iteration in (Bomb(), object(), None, 3):
            log.record(scheduler, iteration, *[None, 0])
    log.record()
    log.log_engine_initialized()
    log.record_sleep_state(1, 1)
    log.record_admission_rejection("full")


def test_a_message_without_outputs(session, stats):
    log = V1Logger(session)
    log.record(stats.NewScheduler(0, 0, 0.0), None)
    now = metrics(session)
    assert now["requests_running"] == 0 and now["steps"] == 1


def test_evictions(session, stats, read):
    class Event:
        lifetime_seconds, idle_seconds, reuse_gaps_seconds = 2.0, 0.5, (0.25, 0.75)

    log = V1Logger(session)
    scheduler = stats.NewScheduler()
    scheduler.kv_cache_eviction_events = [Event(), Event()]
    log.record(scheduler, stats.NewIteration())
    now = metrics(session)
    assert now["kv_block_lifetime_ns"]["count"] == 2 and now["kv_block_reuse_gap_ns"]["sum"] == 2_000_000_000
    session.close()
    blocks = read(session, "blocks")
    assert len(blocks) == 2 and blocks[0]["block"] == "" and blocks[0]["reuse_count"] == "3"


def test_after_close_and_in_a_fork(session, stats):
    import os

    log = V1Logger(session)
    log.record(stats.NewScheduler(), stats.NewIteration())
    child = os.fork()
    if child == 0:
        code = 1
        try:
            log.record(stats.NewScheduler(), stats.NewIteration())
            session.close()
            code = 0 if not log._active else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    session.close()
    session.close()
    log.record(stats.NewScheduler(), stats.NewIteration())
    assert metrics(session)["steps"] == 1


def test_no_step_is_lost_while_figures_are_read_out(session, stats):
    import threading

    stop = threading.Event()

    def read_out():
        while not stop.is_set():
            session.snapshot()

    readers = [threading.Thread(target=read_out) for _ in range(2)]
    for reader in readers:
        reader.start()
    log = V1Logger(session)
    scheduler, decode = stats.NewScheduler(), stats.NewIteration(2, (0.01, 0.02))
    for _ in range(3000):
        log.record(scheduler, decode)
    stop.set()
    for reader in readers:
        reader.join()
    assert metrics(session)["steps"] == 3000 and metrics(session)["generation_tokens"] == 6000
