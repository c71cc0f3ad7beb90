"""Stand-ins for vLLM's statistics, one per way they have looked, and a recording to push them into."""

import csv
import enum
import glob
import json
import os
import sys
import types
from dataclasses import dataclass, field

import pytest

from kvlens._session import Session


class FinishReason(enum.IntEnum):
    STOP = 0
    LENGTH = 1
    ABORT = 2


@dataclass
class PrefixCacheStats:
    reset: bool = False
    requests: int = 0
    queries: int = 0
    hits: int = 0
    preempted_requests: int = 0
    preempted_queries: int = 0
    preempted_hits: int = 0


@dataclass
class OldPrefixCacheStats:
    reset: bool = False
    requests: int = 0
    queries: int = 0
    hits: int = 0


@dataclass
class PromptTokenStats:
    computed: int = 0
    local_cache_hit: int = 0
    external_kv_transfer: int = 0
    cached_tokens: int = 0
    total: int = 0


@dataclass
class FinishedRequestStats:
    finish_reason: FinishReason
    e2e_latency: float = 0.5
    num_prompt_tokens: int = 10
    num_generation_tokens: int = 4
    max_tokens_param: int = 4
    queued_time: float = 0.1
    prefill_time: float = 0.1
    inference_time: float = 0.4
    decode_time: float = 0.3


class NewScheduler:
    """As 0.32.0."""

    def __init__(self, running=1, waiting=0, usage=0.5, prefix=None):
        self.num_running_reqs, self.num_waiting_reqs, self.kv_cache_usage = running, waiting, usage
        self.num_skipped_waiting_reqs = 0
        self.prefix_cache_stats = prefix or PrefixCacheStats()
        self.connector_prefix_cache_stats = None
        self.kv_cache_eviction_events = []
        self.spec_decoding_stats = None
        self.iteration_details = None


class OldScheduler:
    """As 0.8.5."""

    def __init__(self, running=1, waiting=0, usage=0.5, prefix=None):
        self.num_running_reqs, self.num_waiting_reqs, self.gpu_cache_usage = running, waiting, usage
        self.prefix_cache_stats = prefix or OldPrefixCacheStats()
        self.spec_decoding_stats = None


class NewIteration:
    """As 0.32.0."""

    def __init__(self, generated=1, latencies=(), first=(), prompts=0, preempted=0, finished=()):
        self.iteration_timestamp = 0.0
        self.num_generation_tokens, self.num_preempted_reqs = generated, preempted
        self.prompt_token_stats = PromptTokenStats(computed=prompts, total=prompts)
        self.finished_requests = list(finished)
        self.time_to_first_tokens_iter, self.inter_token_latencies_iter = list(first), list(latencies)

    @property
    def num_prompt_tokens(self):
        return self.prompt_token_stats.total


class OldIteration:
    """As 0.8.5."""

    def __init__(self, generated=1, latencies=(), first=(), prompts=0, preempted=0, finished=()):
        self.num_generation_tokens, self.num_preempted_reqs, self.num_prompt_tokens = generated, preempted, prompts
        self.finished_requests = list(finished)
        self.time_to_first_tokens_iter, self.time_per_output_tokens_iter = list(first), list(latencies)


@pytest.fixture
def session(tmp_path):
    made = Session(str(tmp_path / "runs"), engine_version="test", formats=["csv", "parquet", "arrow"], interval=0.05)
    yield made
    made.close()


@pytest.fixture
def stats():
    """The stand-ins, by name."""
    return types.SimpleNamespace(**{name: thing for name, thing in globals().items() if isinstance(thing, type)})


def table(session, name):
    """A table of a closed run, as dictionaries of text."""
    with open(os.path.join(session.path, f"{name}.csv"), encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def read():
    return table
