"""``VLLMMetricsCollector``, on a stand-in engine."""

import csv
import types

import kvlens
from kvlens.metrics_collector import RAW_NAMES


class Engine:
    def __init__(self, manager):
        cache = types.SimpleNamespace(num_gpu_blocks=65, block_size=16)
        self.vllm_config = types.SimpleNamespace(cache_config=cache)
        self.logger_manager = manager


def llm_of(manager):
    return types.SimpleNamespace(llm_engine=Engine(manager))


def test_the_old_script(tmp_path, stats):
    manager = types.SimpleNamespace(stat_loggers=[])
    llm = llm_of(manager)
    collector = kvlens.VLLMMetricsCollector(llm=llm, collection_interval=0.02, enable_monitoring=True)
    collector.start_monitoring()
    prefix = stats.PrefixCacheStats(requests=1, queries=40, hits=32)
    manager.stat_loggers[0].record(stats.NewScheduler(2, 1, 0.5, prefix), stats.NewIteration(1, (), (0.1,), 40))
    manager.stat_loggers[0].record(stats.NewScheduler(2, 1, 0.5), stats.NewIteration(2, (0.01, 0.03)))
    collector.stop_monitoring()
    found = collector.get_comprehensive_stats()
    key = found["key_metrics"]
    assert set(RAW_NAMES) <= set(key)
    assert key["gpu_cache_usage_percent"] == 50.0 and key["gpu_prefix_cache_hit_rate_percent"] == 80.0
    assert key["prompt_tokens_total"] == 40 and key["generation_tokens_total"] == 3
    assert abs(key["avg_time_per_output_token_seconds"] - 0.02) < 1e-12
    assert key["num_swapped_sys"] is None and "V1" in found["reasons"]["num_swapped_sys"]
    assert abs(found["histogram_analysis"]["avg_time_to_first_token_seconds"] - 0.1) < 1e-12
    assert found["histogram_analysis"]["time_per_output_token_seconds"]["p99"] > 0.02
    assert found["trend_analysis"]["num_running_sys"]["last"] == 2
    for ending in ("csv", "parquet", "arrow"):
        path = tmp_path / f"x.{ending}"
        collector.save_metrics(str(path))
        assert path.stat().st_size > 0
    with open(tmp_path / "x.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows[-1]["generation_tokens_total"] == "3"


def test_statistics_off_is_none_with_a_reason():
    collector = kvlens.VLLMMetricsCollector(llm=llm_of(None))
    collector.start_monitoring()
    collector.stop_monitoring()
    found = collector.get_comprehensive_stats()
    assert found["key_metrics"]["prompt_tokens_total"] is None
    assert "disable_log_stats=False" in found["reasons"]["prompt_tokens_total"]
