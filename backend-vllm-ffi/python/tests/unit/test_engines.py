"""Ways into an engine, on stand-ins of several versions."""

import types

import pytest

import kvlens
from kvlens._engines import attach_engine


def config(blocks=65):
    cache = types.SimpleNamespace(num_gpu_blocks=blocks, block_size=16)
    return types.SimpleNamespace(cache_config=cache, model_config=types.SimpleNamespace(model="tiny"))


class Engine:
    def __init__(self, **attributes):
        self.vllm_config = config()
        vars(self).update(attributes)


def record(loggers, stats):
    for logger in loggers:
        logger.record(stats.NewScheduler(), stats.NewIteration(3), engine_idx=0)


def test_a_list_of_loggers(tmp_path, stats):
    manager = types.SimpleNamespace(stat_loggers=[])
    llm = types.SimpleNamespace(llm_engine=Engine(logger_manager=manager))
    with kvlens.attach(llm, out=str(tmp_path)) as run:
        assert kvlens.attach(llm, out=str(tmp_path)) is run, "an engine has one recording"
        record(manager.stat_loggers, stats)
        assert run.snapshot()["metrics"]["kv_blocks_total"] == 64
    assert len(manager.stat_loggers) == 1


def test_loggers_by_engine(tmp_path, stats):
    manager = types.SimpleNamespace(per_engine_logger_dict={0: [], 1: []})
    engine = Engine(logger_manager=manager)
    with attach_engine(engine, out=str(tmp_path)) as run:
        record([logger for one in manager.per_engine_logger_dict.values() for logger in one], stats)
        assert run.snapshot()["metrics"]["steps"] == 2


def test_one_logger(tmp_path, stats):
    seen = []
    single = types.SimpleNamespace(record=lambda *a, **k: seen.append(a), other=5)
    engine = Engine(stat_logger=single)
    with attach_engine(engine, out=str(tmp_path)) as run:
        record([engine.stat_logger], stats)
        assert run.snapshot()["metrics"]["generation_tokens"] == 3 and len(seen) == 1
        assert engine.stat_logger.other == 5


def test_statistics_off_says_what_to_do(tmp_path):
    with pytest.raises(kvlens.StatisticsOff, match="disable_log_stats=False"):
        attach_engine(Engine(logger_manager=None), out=str(tmp_path))


def test_statistics_off_in_process_is_polled(tmp_path):
    import time

    manager = types.SimpleNamespace(usage=0.25)

    class Core:
        scheduler = types.SimpleNamespace(running=[1], waiting=[1, 2], kv_cache_manager=manager)

    core = Core()
    engine = Engine(logger_manager=None, engine_core=types.SimpleNamespace(engine_core=core))
    with attach_engine(engine, out=str(tmp_path), interval=0.02) as run:
        time.sleep(0.2)
        now = run.snapshot()
    assert now["served_by"] == "scheduler_poll" and now["metrics"]["requests_waiting"] == 2
    assert now["metrics"]["kv_blocks_used"] == 16


def test_a_factory_shares_one_recording(tmp_path, stats):
    factory = kvlens.stat_logger(out=str(tmp_path))
    of = config()
    loggers = [factory(of, 0), factory(of, 1)]
    assert loggers[0].session is loggers[1].session
    record(loggers, stats)
    loggers[0].session.close()


def test_two_engines_make_two_runs(tmp_path, stats):
    managers = [types.SimpleNamespace(stat_loggers=[]) for _ in range(2)]
    engines = [Engine(logger_manager=manager) for manager in managers]
    runs = [attach_engine(engine, out=str(tmp_path)) for engine in engines]
    record(managers[0].stat_loggers, stats)
    record(managers[1].stat_loggers * 2, stats)
    assert [run.snapshot()["metrics"]["steps"] for run in runs] == [1, 2]
    assert runs[0].path != runs[1].path
    for run in runs:
        run.close()


def test_a_directory_that_can_not_be_written(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(kvlens.KvlensError, match="can't be used"):
        attach_engine(Engine(logger_manager=types.SimpleNamespace(stat_loggers=[])), out=str(blocked / "runs"))
