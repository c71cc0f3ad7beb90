"""When the best origin fails, the next one takes over, and hands back."""

import time

from kvlens import _session
from kvlens._fallback import Fallback, page_of_metrics
from kvlens._loggers import V1Logger


class Broken:
    """Statistics of another shape altogether."""


def test_a_gap_is_filled_and_shown(session, stats, read, monkeypatch):
    monkeypatch.setattr(_session, "FIRST_BACKOFF_S", 0.4)
    tokens = {"vllm:generation_tokens_total": 100}

    def page():
        return "".join(f'{name}{{engine="0"}} {value}\n' for name, value in tokens.items())

    def unplugged():
        raise OSError("unplugged")

    session.collector.push_page(page(), 5, baseline=True)
    session.fallbacks = [Fallback("get_metrics", 4, unplugged), Fallback("prometheus_registry", 5, page)]
    log = V1Logger(session)

    def step(scheduler):
        tokens["vllm:generation_tokens_total"] += 2
        log.record(scheduler, stats.NewIteration(2, (0.01, 0.01)))

    for _ in range(5):
        step(stats.NewScheduler())
    for _ in range(4):
        step(Broken())
    assert session.health.failed
    deadline = time.monotonic() + 5
    while session.snapshot()["served_by"] != "prometheus_registry" and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.2)
    assert session.snapshot()["metrics"]["generation_tokens"] == 18, "the gap is filled"
    time.sleep(0.3)
    step(stats.NewScheduler())
    assert not session.health.failed
    time.sleep(0.2)
    session.close()
    assert session.snapshot()["metrics"]["generation_tokens"] == 20
    served = [row["served_by"] for row in read(session, "samples")]
    assert "stat_logger" in served and "prometheus_registry" in served
    assert len(read(session, "steps")) == 6, "the gap has no steps"


class Counter:
    def __init__(self):
        self.name, self.labels, self.value = "vllm:prompt_tokens", {"engine": "0"}, 7


class Histogram:
    def __init__(self):
        self.name, self.labels = "vllm:time_to_first_token_seconds", {}
        self.count, self.sum, self.buckets = 2, 0.3, {"0.1": 1, "+Inf": 2}


def test_get_metrics_becomes_a_page(session):
    session.collector.push_page(page_of_metrics([]) + 'vllm:prompt_tokens_total{engine="0"} 0\n', 4, baseline=True)
    session.collector.push_page(page_of_metrics([Counter(), Histogram()]), 4)
    now = session.snapshot()["metrics"]
    assert now["prompt_tokens"] == 7
    assert now["time_to_first_token_ns"]["count"] == 2 and now["time_to_first_token_ns"]["fixed"]
