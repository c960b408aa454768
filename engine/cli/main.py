"""The parser, and one line instead of a traceback for everything a user can get wrong."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from engine.cli import analysing, exporting, lists, measuring, recipes, running, serving
from engine.cli.common import Refused
from engine.knobs import BadSetting, Configured
from engine.store import StoreError
from engine.training import EnsembleSize, Measuring, Training

BAD_ARGUMENTS, FAILED = 2, 1


class _Parser(argparse.ArgumentParser):
    def __init__(self, **settings: Any) -> None:
        # No abbreviations: a script's --epoch must not change its meaning when a flag is added.
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with 2."""
        self.exit(BAD_ARGUMENTS, f"{self.prog}: {' '.join(message.split())} (try --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 failed, 2 bad arguments."""
    parsed = _parser().parse_args(arguments)
    try:
        status = parsed.command(parsed)
        sys.stdout.flush()  # here, where a reader that has gone or a full disk can still be answered
    except BadSetting as error:
        return _say(error, BAD_ARGUMENTS)
    except Refused as error:
        return _say(error, error.status)
    except BrokenPipeError:
        _quiet()
        return 128 + signal.SIGPIPE
    except (StoreError, ValueError, OSError) as error:
        _quiet()
        return _say(error, FAILED)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return status


def _quiet() -> None:
    """Drop what can no longer be printed, so that the interpreter does not fail on it once more at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(error: Exception, status: int) -> int:
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {error.filename}" if error.filename else f"cannot print the result: {error.strerror}"
    print(f"error: {' '.join(text.split())}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m engine", description="Forgetscope's engine: unlearn, and measure what is left.")
    subs = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    def add(name: str, command: object, help_text: str) -> argparse.ArgumentParser:
        sub = subs.add_parser(name, help=help_text, description=help_text)
        sub.set_defaults(command=command)
        return sub

    def store(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--store", help="the store's folder (default: $FORGETSCOPE_STORE or .store)")

    def as_json(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--json", action="store_true", help="print JSON instead of a table")

    run = add("run", running.run, "Run a recipe, or join the one that is running; resume what was interrupted.")
    run.add_argument("recipe", metavar="RECIPE.json", help="a recipe, or - for standard input")
    run.add_argument(
        "--each", action="store_true", help="run and print every request of a sequence in turn, not only the last"
    )
    store(run)
    as_json(run)

    tune = add("tune", running.tune, "Tune a method: choose among settings on a few networks, measure on fresh ones.")
    tune.add_argument("recipe", metavar="RECIPE.json", help="a recipe, or - for standard input")
    tune.add_argument("--method", required=True, help="the key of a method of the recipe")
    store(tune)
    as_json(tune)

    recipe = add("recipe", recipes.recipe, "Print a complete recipe with every default filled in.")
    recipe.add_argument(
        "--dataset", default="digits", help="a data set's key, or the path of a folder or archive (./digits is a path)"
    )
    recipe.add_argument("--model", default="mlp", help="a model, such as cnn or mlp:hidden=64:depth=2")
    recipe.add_argument(
        "--forget", default="random:50", help="random:50, class:3,5, cluster:4, nearest:17,50, margin:lowest,50, "
        "memorised:most,50, outliers:50 or indices:FILE",
    )  # fmt: skip
    recipe.add_argument(
        "--then", action="append", default=[], metavar="FORGET", help="a further request on what the one before left; "
        "as often as wanted: --forget class:3 --then class:5 --then class:8",
    )  # fmt: skip
    recipe.add_argument(
        "--methods",
        default=recipes.METHODS,
        help="comma-separated, each with settings if wanted: do_nothing,scrub:lr=0.001:epochs=5; a grid is "
        "scrub:lr=1e-4|1e-3, random settings are scrub*20:lr=1e-5..1e-2",
    )
    recipe.add_argument("--seed", type=int, default=0)
    for settings in (Training, EnsembleSize, Measuring):
        _flags(recipe, settings)

    for name, what in (
        ("methods", "methods"),
        ("datasets", "data sets"),
        ("models", "models"),
        ("metrics", "metrics"),
        ("analyses", "analyses"),
        ("prerequisites", "prerequisites"),
    ):
        sub = add(name, lists.listing, f"List the {what} with their knobs, bounds and papers.")
        sub.set_defaults(family=name)
        as_json(sub)
    add("catalog", lists.catalogue, "Print everything the registries hold as JSON.")

    analyse = add(
        "analyse", analysing.analyse, "Look further at a recipe's networks: CKA, membership and what else is listed."
    )
    analyse.add_argument("recipe", metavar="RECIPE.json", help="a recipe, or - for standard input; run if it is not")
    analyse.add_argument("--method", help="a method of the recipe (default: its only one)")
    analyse.add_argument(
        "--analysis", required=True, metavar="KEY[:knob=value...]", help="such as cka or membership:fpr=0.05"
    )
    analyse.add_argument("--point", type=int, metavar="N", help="the point that an analysis of one point looks at")
    analyse.add_argument("--out", metavar="FILE.npz", help="also write the measured arrays")
    store(analyse)
    as_json(analyse)

    export = add("export", exporting.export, "Write margins, logits or weights of a recipe's networks into one file.")
    export.add_argument("recipe", metavar="RECIPE.json", help="a recipe, or - for standard input; run if it is not")
    export.add_argument("--what", required=True, choices=tuple(exporting.KINDS))
    export.add_argument("--role", required=True, choices=tuple(exporting.ROLES), help="whose networks")
    export.add_argument("--method", help="a method of the recipe (default: its only one)")
    export.add_argument("--out", required=True, metavar="FILE", help=".npy or .npz; of weights .safetensors or .npz")
    store(export)

    klom = add("klom", measuring.klom, "Measure KLOM between two arrays of margins (N models, P points).")
    klom.add_argument("--oracle", required=True, metavar="A.npy", help="margins of retrained models; .npz too")
    klom.add_argument(
        "--unlearned",
        required=True,
        metavar="B.npy",
        help="margins of unlearned models; an .npz of `export` gives splits",
    )
    klom.add_argument("--convention", choices=("paper", "easydub"), default="paper")
    as_json(klom)

    compute = add("compute", serving.compute, "Serve the store's queue until stopped.")
    store(compute)
    compute.add_argument("--scheduler", help="a dask.distributed scheduler (default: $FORGETSCOPE_SCHEDULER, or none)")
    compute.add_argument("--workers", type=int, help="worker processes (default: $FORGETSCOPE_WORKERS, or one a core)")
    compute.add_argument("--idle-exit", type=float, metavar="SECONDS", help="end after so long without work")

    runs = add("runs", serving.runs, "List the runs of a store, newest first.")
    store(runs)
    as_json(runs)
    cancel = add("cancel", serving.cancel, "Stop a run between two steps; say it twice to stop it at once.")
    cancel.add_argument("run", metavar="RUN", help="a run's id, or its beginning")
    store(cancel)

    demo = add("demo", running.demo, "Run the README's experiments on the digits and print their tables.")
    demo.add_argument("--forget", action="append", help="one experiment (default: random:50 and class:3)")
    demo.add_argument("--models", type=int, default=None, help="models per ensemble (default: 100, looking 40)")
    demo.add_argument("--looking", action="store_true", help="a table per page that looks closer, digits and fashion")
    store(demo)
    as_json(demo)
    return parser


def _flags(parser: argparse.ArgumentParser, settings: type[Configured]) -> None:
    """Add one flag per knob; what is not given keeps its default."""
    kinds = {"int": int, "float": float, "str": str, "bool": _truth}
    for field in settings.fields():
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=kinds[field.kind],
            choices=field.knob.choices or None,
            help=f"{field.knob.help} (default: {field.default})".replace("%", "%%"),
        )


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"must be true or false, not {text!r}")
    return text == "true"
