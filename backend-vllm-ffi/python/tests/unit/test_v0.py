"""The V0 logger and its polling, on stand-ins."""

import types

from kvlens._engines import attach_engine
from kvlens._loggers import V0Logger


class Stats:
    def __init__(self, **values):
        self.num_running_sys, self.num_waiting_sys, self.num_swapped_sys = 3, 1, 0
        self.gpu_cache_usage_sys, self.gpu_prefix_cache_hit_rate = 0.5, 0.75
        self.num_prompt_tokens_iter, self.num_generation_tokens_iter, self.num_preemption_iter = 0, 0, 0
        self.time_to_first_tokens_iter, self.time_per_output_tokens_iter, self.time_e2e_requests = [], [], []
        vars(self).update(values)


class Group:
    def __init__(self, name):
        self.request_id = name
        self.metrics = types.SimpleNamespace(arrival_time=10.0, first_token_time=10.25)
        data = types.SimpleNamespace(get_num_cached_tokens=lambda: 16)
        self.first_seq = types.SimpleNamespace(data=data)
        self.priority = 0

    def is_finished(self):
        return True

    def get_seqs(self):
        return []


class Engine:
    def __init__(self, log_stats=True):
        self.log_stats = log_stats
        self.stat_loggers = {}
        cache = types.SimpleNamespace(num_gpu_blocks=64, block_size=16)
        self.cache_config = cache
        self.vllm_config = types.SimpleNamespace(cache_config=cache)
        manager = types.SimpleNamespace(
            get_num_free_gpu_blocks=lambda: 16, get_prefix_cache_hit_rate=lambda device: 0.5)
        self.scheduler = [types.SimpleNamespace(
            running=[1, 2], waiting=[1], swapped=[], block_manager=manager, num_cumulative_preemption=3)]
        self.stats = Stats()

    def _get_stats(self, scheduler_outputs, model_output=None, finished_before=None, skip=None):
        return self.stats

    def add_logger(self, name, logger):
        self.stat_loggers[name] = logger


def scheduled(*groups):
    return types.SimpleNamespace(scheduled_seq_groups=[types.SimpleNamespace(seq_group=group) for group in groups])


def test_steps_and_joined_requests(session, read):
    engine = Engine()
    log = V0Logger(session, engine)
    engine.stats = Stats(num_prompt_tokens_iter=30, num_generation_tokens_iter=3, time_to_first_tokens_iter=[0.1, 0.2, 0.3])
    log.log(engine._get_stats(scheduled()))
    engine.stats = Stats(
        num_generation_tokens_iter=2, time_per_output_tokens_iter=[0.01, 0.02], time_e2e_requests=[0.5, 0.6],
        time_queue_requests=[0.1, 0.1], num_prompt_tokens_requests=[20, 30], num_generation_tokens_requests=[2, 2],
        finished_reason_requests=["stop", "length"])
    log.log(engine._get_stats(scheduled(Group("a"), Group("b"))))
    now = session.snapshot()["metrics"]
    assert now["prompt_tokens"] == 30 and now["generation_tokens"] == 5
    assert now["requests_finished_stop"] == 1 and now["requests_finished_length"] == 1
    assert "prefix_cache_hits" not in now and now["vllm_v0_prefix_cache_hit_rate"] == 0.75
    session.close()
    rows = read(session, "requests")
    assert [row["request_id"] for row in rows] == ["a", "b"]
    assert rows[0]["cached_prompt_tokens"] == "16" and rows[0]["time_to_first_token_ns"] == "250000000"


def test_no_prefix_cache_is_not_a_rate_of_minus_one(session):
    log = V0Logger(session, Engine())
    log.log(Stats(gpu_prefix_cache_hit_rate=-1))
    assert "vllm_v0_prefix_cache_hit_rate" not in session.snapshot()["metrics"]


def test_statistics_off_means_polling(tmp_path):
    import time

    engine = Engine(log_stats=False)
    with attach_engine(engine, out=str(tmp_path), interval=0.02) as run:
        time.sleep(0.2)
        now = run.snapshot()
    assert now["served_by"] == "scheduler_poll"
    assert now["metrics"]["requests_running"] == 2 and now["metrics"]["kv_cache_usage"] == 0.75
    assert "steps" not in now["metrics"]
