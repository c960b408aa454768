"""End what tests started, once the tests have ended, however they ended: ``watchdog.py FOLDER``.

Whoever runs the tests holds the standard input open; the system closes it also when they are killed. Then every process
of Forgetscope whose command line names something in FOLDER is ended.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

OURS = ("-m engine ", "-m pages.server.serve ")
PATIENCE = 10.0
"""Seconds a process has to end by itself before it is killed."""


def command_lines():
    """Yield the number and the command line of every process."""
    if Path("/proc/self/cmdline").exists():
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                yield int(file.parent.name), file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:  # it ended meanwhile
                continue
    else:
        listed = subprocess.run(["ps", "-axww", "-o", "pid=,args="], capture_output=True, text=True, check=True)
        for line in listed.stdout.splitlines():
            number, _, command = line.strip().partition(" ")
            yield int(number), command + " "


def strays(folder):
    return [n for n, command in command_lines() if f"{folder}/" in command and any(one in command for one in OURS)]


def main():
    folder = sys.argv[1].rstrip("/")
    sys.stdin.read()
    deadline = time.monotonic() + PATIENCE
    while numbers := strays(folder):
        for number in numbers:
            try:
                os.kill(number, signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.2)


if __name__ == "__main__":
    main()
