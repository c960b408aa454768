"""Nothing that tests start outlives them."""

import subprocess
import sys
from pathlib import Path

SLEEP = "import time; time.sleep(600)"


def test_only_our_processes_in_the_folder_end_with_the_tests(tmp_path):
    def start(*arguments):
        return subprocess.Popen([sys.executable, "-c", SLEEP, *arguments])

    processes = {
        "stray": start("-m", "engine", "compute", "--store", f"{tmp_path}/store"),
        "another folder's": start("-m", "engine", "compute", "--store", f"{tmp_path}0/store"),
        "another program's": start("less", f"{tmp_path}/store/compute.log"),
    }
    try:
        line = [sys.executable, str(Path(__file__).with_name("watchdog.py")), str(tmp_path)]
        with subprocess.Popen(line, stdin=subprocess.PIPE, start_new_session=True) as watchdog:
            assert watchdog.poll() is None, "it waits for the end of the tests"
            assert processes["stray"].poll() is None
        assert processes["stray"].wait(60) != 0
        assert [name for name, process in processes.items() if process.poll() is None] == list(processes)[1:]
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
