"""What verbs have in common: how one is added, the options that several take, and what a mistake on the command line becomes.

Imports nothing heavy, so that `medley --help` answers at once.
"""

from __future__ import annotations

import argparse
import functools
import importlib
from pathlib import Path
from typing import NoReturn

from pipeline.errors import RecipeError
from pipeline.places import argument

EXIT_CODES = "exit codes: 0 done, 1 failed, 2 your input is wrong, 3 the gate said no or data drifted, 130 stopped"


class Parser(argparse.ArgumentParser):
    """What is wrong with a command line ends as every other mistake does."""

    def error(self, message: str) -> NoReturn:
        """Raise it, with the usage, in one line."""
        raise RecipeError(f"{message.removeprefix('argument : ')}; {' '.join(self.format_usage().split())}")


def add(verbs: argparse._SubParsersAction[Parser], name: str, about: str, target: str) -> argparse.ArgumentParser:
    """A verb with `--json`; `target` is the `module:function` that obeys it."""
    parser = verbs.add_parser(name, help=about, description=about, epilog=EXIT_CODES)
    parser.set_defaults(verb=calling(target))
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    return parser


def calling(target: str) -> functools.partial[int]:
    """The function of a verb, imported when it is called."""
    return functools.partial(_call, target)


def _call(target: str, arguments: argparse.Namespace) -> int:
    module, _, function = target.partition(":")
    return int(getattr(importlib.import_module(module), function)(arguments))


def recipe_options(parser: argparse.ArgumentParser) -> None:
    """The recipe, and what changes it."""
    parser.add_argument("recipe", type=Path, help="the recipe's YAML file")
    setting_options(parser)


def setting_options(parser: argparse.ArgumentParser) -> None:
    """What changes a recipe."""
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="override a value, e.g. steps.model.epochs=1")
    parser.add_argument("--limit", type=int, metavar="N", help="smoke run: take N records from each corpus")
    parser.add_argument("--store", type=argument, help="folder or s3:// URL of the store, in place of the recipe's `store:`")


def plan_options(parser: argparse.ArgumentParser) -> None:
    """How much of it."""
    parser.add_argument("--until", metavar="STEP", help="only this step and what it needs")
    parser.add_argument("--strict-code", action="store_true", help="let code and library versions enter the keys")


def run_options(parser: argparse.ArgumentParser) -> None:
    """Where it runs."""
    parser.add_argument("--workers", type=int, metavar="N", help="at most N data tasks at once; changes no output")
    parser.add_argument("--address", help="join the Ray cluster of this machine (`auto`, or its head's HOST:PORT; default: RAY_ADDRESS)")
    if parser.prog.endswith("demo"):
        setting_options(parser)
        parser.set_defaults(until=None, strict_code=False)


def store_option(parser: argparse.ArgumentParser) -> None:
    """The store, for verbs without a recipe."""
    parser.add_argument("--store", type=argument, default=Path(".medley"), help="folder or s3:// URL of the store (default: %(default)s)")


def head_options(parser: argparse.ArgumentParser) -> None:
    """The cluster that is meant."""
    parser.add_argument("--address", metavar="URL", help="the head's dashboard, http://HEAD:8265 (default: RAY_API_SERVER_ADDRESS)")
    parser.add_argument("--insecure-token", action="store_true", help="let the token go over plain http to another machine")


def person_options(parser: argparse.ArgumentParser) -> None:
    """Who decides, and where MLflow is."""
    parser.add_argument(
        "--by", default="", metavar="NAME", help="who decides; kept in the promotion log (default: the user at the keyboard)"
    )
    parser.add_argument("--tracking", default="", help="MLflow URI; default: the database inside the store")
    parser.add_argument("--recipe", dest="webhooks_of", type=Path, metavar="RECIPE", help="tell this recipe's webhooks of the decision")
