"""The command line: every command is a function that returns its exit status."""

from engine.cli.main import main

__all__ = ["main"]
