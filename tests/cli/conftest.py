"""Running one command inside the test process: its exit status, and what it printed."""

from dataclasses import dataclass

import pytest

from engine.cli import main


@dataclass(frozen=True)
class Said:
    status: int
    out: str
    err: str


@pytest.fixture
def command(capsys):
    """Return a function that runs one command line."""

    def run(*arguments):
        try:
            status = main([str(a) for a in arguments])
        except SystemExit as ended:  # what argparse does
            status = ended.code
        said = capsys.readouterr()
        return Said(status, said.out, said.err)

    return run


@pytest.fixture
def refused(command):
    """Return a function that runs a bad command line and gives the one line it is refused with."""

    def run(*arguments):
        said = command(*arguments)
        assert said.status == 2, said
        assert said.out == ""
        assert said.err.endswith("\n")
        assert len(said.err.splitlines()) == 1, "one line, for a human and for a script"
        return said.err

    return run
