"""Handlers of commands that are imported when they are called, and tell what keeps them from it."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable

from jitgate.errors import ConfigurationInvalid, JitgateError

NOT_TOLD = 2
"""The exit code where there is no answer."""

Handler = Callable[[argparse.Namespace], int]


def told(module: str, name: str) -> Handler:
    """The handler of that name; what keeps it from an answer is told in a sentence."""

    def run(arguments: argparse.Namespace) -> int:
        handler: Handler = getattr(importlib.import_module(module), name)
        try:
            return handler(arguments)
        except ConfigurationInvalid as error:
            print(*error.problems, sep="\n", file=sys.stderr)
        except JitgateError as error:
            print(error, file=sys.stderr)
        except RecursionError:
            print("What is to be shown is nested deeper than anything is.", file=sys.stderr)
        except BrokenPipeError:
            raise
        except OSError as error:
            print(f"{error.filename}: {error.strerror}.", file=sys.stderr)
        return NOT_TOLD

    return run
