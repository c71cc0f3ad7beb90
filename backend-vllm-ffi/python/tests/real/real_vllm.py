"""Runs scripts in a real vLLM: each in a process of its own, since vLLM allows one engine per process.

The interpreter that runs pytest has the vLLM and the installed kvlens wheel; ``KVLENS_TEST_MODEL`` names the model.
"""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import pytest

#: What every script begins with.
PREAMBLE = """
import json, os, signal, sys, time
# A shell that starts tests in the background has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
MODEL = os.environ["KVLENS_TEST_MODEL"]
V0 = os.environ.get("VLLM_USE_V1") == "0"
BASE = dict(model=MODEL, dtype="bfloat16", enable_prefix_caching=True, max_model_len=1024, max_num_seqs=64,
            enforce_eager=True, seed=0, block_size=16 if V0 else 32, num_gpu_blocks_override=80 if V0 else 40)
SHARED = "You are a helpful assistant. Answer the question below in one line. " * 6
PROMPTS = [SHARED + "q %d" % i for i in range(12)]
def sampling(tokens=60, **more):
    from vllm import SamplingParams
    return SamplingParams(max_tokens=tokens, temperature=0.0, ignore_eos=True, **more)
def answer(**values):
    print("ANSWER " + json.dumps(values), flush=True)
"""


#: The longest that anything may take. On an idle machine nothing takes a minute; beside other work one core is soon a tenth of one.
PATIENCE_S = 600


def v0():
    return os.environ.get("VLLM_USE_V1") == "0"


def environment(**more):
    given = {
        **os.environ,
        "HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "OMP_NUM_THREADS": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_LOGGING_LEVEL": "WARNING",
        "PYTHONFAULTHANDLER": "1",
    }
    given.update(more)
    return given


def kill_group(process):
    """Ends a process that leads a session, and all that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait(timeout=30)


class Script:
    """A script that runs.

    What it prints goes to files: a pipe would also wait for the engine's other processes, and stop it when it is full.
    """

    def __init__(self, folder, body, **more):
        self.path = folder / f"script-{time.monotonic_ns()}.py"
        main = textwrap.indent(textwrap.dedent(body), "    ")
        self.path.write_text(PREAMBLE + "\nif __name__ == '__main__':\n" + main)
        with open(self.path.with_suffix(".out"), "w") as out, open(self.path.with_suffix(".err"), "w") as err:
            # A session of its own, to be ended with all its processes.
            self.process = subprocess.Popen(
                [sys.executable, str(self.path)], env=environment(**more), stdout=out, stderr=err, cwd=folder,
                start_new_session=True)

    @property
    def out(self):
        return self.path.with_suffix(".out").read_text(errors="replace")

    @property
    def err(self):
        return self.path.with_suffix(".err").read_text(errors="replace")

    @property
    def code(self):
        return self.process.returncode

    def wait(self, timeout=PATIENCE_S):
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._hangs(f"the script does not end within {timeout} s")
        return self

    def wait_for(self, line, timeout=PATIENCE_S):
        """Waits until it prints this line."""
        deadline = time.monotonic() + timeout
        while line not in self.out.splitlines():
            assert self.process.poll() is None, f"exit {self.code} before {line}\n{self.out[-3000:]}\n{self.err[-6000:]}"
            if time.monotonic() > deadline:
                self._hangs(f"no {line} within {timeout} s")
            time.sleep(0.05)

    def _hangs(self, what):
        # Python's fault handler prints where every thread is.
        self.process.send_signal(signal.SIGABRT)
        time.sleep(2)
        self.kill()
        raise AssertionError(f"{what}\n{self.out[-3000:]}\n{self.err[-12000:]}")

    def kill(self):
        """Ends it, and every process that it has started."""
        kill_group(self.process)

    @property
    def answer(self):
        assert self.code == 0, f"exit {self.code}\n{self.out[-3000:]}\n{self.err[-6000:]}"
        lines = [line for line in self.out.splitlines() if line.startswith("ANSWER ")]
        return json.loads(lines[-1][len("ANSWER "):])


def only_run(runs):
    [found] = [path for path in runs.iterdir() if path.name.startswith("run_id=")]
    return found


def manifest(path):
    return json.loads((path / "run.json").read_text())


def parquet(path, table):
    """Every sealed row of a table, as dictionaries."""
    import pyarrow.parquet as pq

    rows = []
    for part in sorted((path / table).glob("part-*.parquet")):
        read = pq.read_table(part, partitioning=None)
        # Python's own times have no nanoseconds.
        times = [name for name in read.schema.names if str(read.schema.field(name).type).startswith("timestamp")]
        for name in times:
            read = read.set_column(read.schema.get_field_index(name), name, read[name].cast("int64"))
        rows += read.to_pylist()
    return rows


def text(path, table):
    with open(path / f"{table}.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def kvlens(*arguments):
    """Runs the command ``kvlens``; returns what it prints."""
    command = os.environ.get("KVLENS_COMMAND", "kvlens")
    if shutil.which(command) is None:
        pytest.skip("no `kvlens` command: cargo build --release, or set KVLENS_COMMAND")
    done = subprocess.run([command, *arguments], capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


def recover(path):
    """Runs ``kvlens recover``; returns, by table, how many rows there are and how many it got back."""
    [run] = json.loads(kvlens("recover", "--json", str(path)))
    return run["formats"]["parquet"]


only_v1 = pytest.mark.skipif(v0(), reason="of the V1 engine")
only_v0 = pytest.mark.skipif(not v0(), reason="of the V0 engine")
