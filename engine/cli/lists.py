"""Lists of plug-ins: methods, data sets, models, metrics."""

from __future__ import annotations

import argparse
import json

from engine.cli import tables


def listing(arguments: argparse.Namespace) -> int:
    """List one family of plug-ins."""
    from engine.catalog import describe

    plugins = describe()[arguments.family]
    print(json.dumps(plugins, indent=1) if arguments.json else tables.plugins(plugins))
    return 0


def catalogue(_arguments: argparse.Namespace) -> int:
    """Print all registries as JSON."""
    from engine.catalog import describe

    print(json.dumps(describe()))
    return 0
