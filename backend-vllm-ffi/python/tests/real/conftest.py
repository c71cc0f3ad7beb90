"""Starts scripts; see `real_vllm`."""

import pytest
from real_vllm import Script


@pytest.fixture
def start(tmp_path):
    running = []

    def start_script(body, **more):
        running.append(Script(tmp_path, body, **more))
        return running[-1]

    yield start_script
    for script in running:
        script.kill()


@pytest.fixture
def run(start):
    return lambda body, **more: start(body, **more).wait()


@pytest.fixture
def runs(tmp_path):
    """The directory for runs."""
    return tmp_path / "runs"
