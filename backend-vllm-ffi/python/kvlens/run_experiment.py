"""Runs prompts through a real vLLM and records it: ``python -m kvlens.run_experiment --model M --prompts prompts.txt``.

Prompts come from a file: one per line, or JSON lines with ``prompt`` and, if given, ``max_tokens``. A trace is JSON lines
with ``input_length`` and ``output_length`` in tokens, and ``hash_ids``, one per block of 512 tokens, as in the Mooncake
traces: prompts of these lengths are made up, alike where their hashes are, and sent as fast as the engine takes them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

#: Tokens per ``hash_ids`` entry of a trace.
TRACE_BLOCK = 512


def read_prompts(path: str) -> List[Tuple[Any, Optional[int]]]:
    """Prompts with their token limits."""
    found: List[Tuple[Any, Optional[int]]] = []
    for line in _lines(path):
        if line.startswith("{"):
            entry = json.loads(line)
            found.append((entry["prompt"], entry.get("max_tokens")))
        else:
            found.append((line, None))
    return found


def read_trace(path: str, vocabulary: int, limit: int) -> List[Tuple[Any, Optional[int]]]:
    """Made-up prompts, as token ids, with the lengths and the shared prefixes of a trace."""
    found: List[Tuple[Any, Optional[int]]] = []
    for line in _lines(path):
        entry = json.loads(line)
        wanted, answer = int(entry["input_length"]), max(1, int(entry["output_length"]))
        ids: List[int] = []
        for block in entry.get("hash_ids") or [len(found) + (1 << 40)]:
            ids.extend(_block(int(block), vocabulary))
        while len(ids) < wanted:
            ids.extend(_block(len(found) + (1 << 41) + len(ids), vocabulary))
        answer = min(answer, max(1, limit // 2))
        found.append(({"prompt_token_ids": ids[: min(wanted, limit - answer)]}, answer))
    return found


def _block(seed: int, vocabulary: int) -> List[int]:
    chooser = random.Random(seed)
    # The first ids of a vocabulary are usually special.
    return [chooser.randrange(10, vocabulary) for _ in range(TRACE_BLOCK)]


def _lines(path: str) -> Iterator[str]:
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.strip():
                yield line.strip()


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _arguments(given: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="kvlens-experiment", description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", required=True)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--prompts", help="a file with one prompt per line, or JSON lines")
    source.add_argument("--trace", help="a trace as JSON lines")
    parser.add_argument("--out", default="runs")
    parser.add_argument("--run-id")
    parser.add_argument("--format", action="append", choices=["parquet", "csv", "arrow"])
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between samples")
    parser.add_argument("--repeat", type=int, default=1, help="how often all prompts are run; the second time is warm")
    parser.add_argument("--limit", type=int, help="use only so many prompts")
    parser.add_argument("--prefix-caching", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ignore-eos", action="store_true", help="always generate as many tokens as allowed")
    parser.add_argument("--engine-arg", action="append", default=[], metavar="NAME=VALUE",
                        help="any other argument of LLM(...), such as max_model_len=4096; values are JSON or text")
    return parser.parse_args(given)


def run(given: argparse.Namespace) -> str:
    """Runs the experiment; returns the run's directory."""
    import kvlens
    from vllm import LLM, SamplingParams

    extra: Dict[str, Any] = {}
    for pair in given.engine_arg:
        name, _, value = pair.partition("=")
        extra[name.replace("-", "_")] = _value(value)
    llm = LLM(model=given.model, enable_prefix_caching=given.prefix_caching, seed=given.seed, **extra)
    if given.prompts:
        work = read_prompts(given.prompts)
    else:
        config = llm.llm_engine.vllm_config.model_config
        work = read_trace(given.trace, config.get_vocab_size(), config.max_model_len)
    work = work[: given.limit]
    sampling = [
        SamplingParams(max_tokens=limit or given.max_tokens, temperature=given.temperature, top_p=given.top_p,
                       seed=given.seed, ignore_eos=given.ignore_eos)
        for _, limit in work
    ]
    facts = {"experiment": "kvlens.run_experiment", "prefix_caching": given.prefix_caching,
             "temperature": given.temperature, "top_p": given.top_p, "max_tokens": given.max_tokens,
             "prompts": given.prompts or given.trace, "repeat": given.repeat}
    session = kvlens.attach(llm, out=given.out, run_id=given.run_id, formats=given.format or ["parquet"],
                            interval=given.interval, attributes=facts)
    with session:
        for turn in range(given.repeat):
            started = time.perf_counter()
            outputs = llm.generate([prompt for prompt, _ in work], sampling, use_tqdm=False)
            seconds = time.perf_counter() - started
            tokens = sum(len(one.token_ids) for output in outputs for one in output.outputs)
            print(f"turn {turn}: {len(outputs)} requests, {tokens} tokens generated in {seconds:.2f} s")
    metrics = session.summary()["sources"][0]["metrics"]
    for name in ("requests_finished_length", "requests_finished_stop", "prompt_tokens", "generation_tokens",
                 "prefix_cache_queries", "prefix_cache_hits", "preemptions_recompute"):
        if name in metrics:
            print(f"{name}: {metrics[name]}")
    print(os.path.abspath(session.path))
    return session.path


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """The command."""
    run(_arguments(arguments))


if __name__ == "__main__":
    main()
