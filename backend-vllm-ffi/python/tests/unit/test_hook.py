"""The import hook, on a package that only looks like vLLM, in a process of its own."""

import os
import subprocess
import sys
import textwrap

import pytest

FAKE = {
    "vllm/__init__.py": "__version__ = '0.0'\n",
    "vllm/entrypoints/__init__.py": "",
    "vllm/entrypoints/llm.py": """
        from vllm.v1.engine.llm_engine import LLMEngine
        class LLM:
            def __init__(self, model, **kwargs):
                if "disable_log_stats" not in kwargs:
                    kwargs["disable_log_stats"] = True
                self.kwargs = kwargs
                self.llm_engine = LLMEngine(log_stats=not kwargs["disable_log_stats"])
    """,
    "vllm/v1/__init__.py": "",
    "vllm/v1/engine/__init__.py": "",
    "vllm/v1/engine/llm_engine.py": """
        import types
        class LLMEngine:
            def __init__(self, log_stats):
                cache = types.SimpleNamespace(num_gpu_blocks=11)
                self.vllm_config = types.SimpleNamespace(cache_config=cache)
                self.logger_manager = types.SimpleNamespace(stat_loggers=[]) if log_stats else None
    """,
}


@pytest.fixture
def fake(tmp_path):
    for name, text in FAKE.items():
        path = tmp_path / "fake" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return tmp_path


def run(fake, script, **environment):
    paths = [str(fake / "fake"), *[path for path in sys.path if path]]
    given = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], env=given, capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done


def test_importing_turns_statistics_on(fake):
    run(fake, """
        import kvlens
        from vllm.entrypoints.llm import LLM
        assert LLM("m").kwargs["disable_log_stats"] is False
        assert LLM("m", disable_log_stats=True).kwargs["disable_log_stats"] is True
    """)


def test_importing_late_turns_statistics_on(fake):
    run(fake, """
        from vllm.entrypoints.llm import LLM
        import kvlens
        assert LLM("m").kwargs["disable_log_stats"] is False
    """)


def test_every_engine_is_recorded(fake):
    run(fake, """
        import kvlens._hook as hook; hook.install()
        from vllm.entrypoints.llm import LLM
        llm = LLM("m")
        assert len(llm.llm_engine.logger_manager.stat_loggers) == 1
    """, KVLENS_OUT=str(fake / "runs"))
    [found] = os.listdir(fake / "runs")
    assert '"clean_stop": true' in (fake / "runs" / found / "run.json").read_text()


def test_a_directory_that_can_not_be_written_stops_nothing(fake):
    (fake / "blocked").write_text("")
    done = run(fake, """
        import kvlens._hook as hook; hook.install()
        from vllm.entrypoints.llm import LLM
        LLM("m")
        print("built")
    """, KVLENS_OUT=str(fake / "blocked" / "runs"))
    assert "built" in done.stdout and "not recorded" in done.stderr


def test_an_engine_without_statistics_says_so(fake):
    done = run(fake, """
        import kvlens._hook as hook; hook.install()
        from vllm.entrypoints.llm import LLM
        LLM("m", disable_log_stats=True)
        print("built")
    """, KVLENS_OUT=str(fake / "runs"))
    assert "built" in done.stdout and "disable_log_stats" in done.stderr


def test_the_hook_is_cheap_and_imports_nothing_of_vllm(fake):
    run(fake, """
        import sys, time
        started = time.perf_counter()
        import kvlens._hook
        kvlens_hook = sys.modules["kvlens._hook"]
        kvlens_hook.install()
        assert "vllm" not in sys.modules
    """)
