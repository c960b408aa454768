"""Settings of every test: one thread per process, because several run side by side; no process outlives the tests."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def watchdog(tmp_path_factory):
    """See to it that the app and compute processes on stores of these tests end with them, even if they are killed."""
    line = [sys.executable, str(Path(__file__).with_name("watchdog.py")), str(tmp_path_factory.getbasetemp())]
    with subprocess.Popen(line, stdin=subprocess.PIPE, start_new_session=True):
        yield
