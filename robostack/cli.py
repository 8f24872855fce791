"""`robostack VERB ...`: finds the verb, parses its dataclass, runs it; a failure is one clear line.

Only the verb that was asked for is imported, so that help is instant. Exit status: 0 success, 1 failure,
2 wrong usage, 130 Ctrl-C.
"""

from __future__ import annotations

import importlib
import keyword
import os
import sys
from collections.abc import Sequence
from typing import Any

from robostack.commands import VERBS

HELP = """\
robostack takes a controller from a simulated task to a machine.

usage: robostack VERB [options]

{verbs}

  robostack VERB --help   what a verb does, with an example
  robostack --version     version of this robostack
  --debug, with any verb  show where an error came from
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit status."""
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args
    args = [a for a in args if a != "--debug"]
    try:
        return _dispatch(args)
    except KeyboardInterrupt:
        print("\nrobostack: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more at exit
        return 1
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except Exception as error:
        if debug:
            raise
        print(f"robostack: {_message(error)}", file=sys.stderr)
        return 1


def _dispatch(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help", "help"):
        print(_help(), end="")
        return 0 if args else 2
    if args[0] == "--version":
        from importlib import metadata

        print(f"robostack {metadata.version('robostack')}")
        return 0
    verb, rest = args[0], args[1:]
    command: Any
    if verb in VERBS:
        command = importlib.import_module(f"robostack.commands.{verb}{'_' * keyword.iskeyword(verb)}").Command
    else:
        from robostack import registry

        extra = registry.entries("command")
        if verb not in extra:
            import difflib

            close = difflib.get_close_matches(verb, [*VERBS, *extra], n=1)
            hint = f" Did you mean `robostack {close[0]}`?" if close else ""
            print(f"robostack: there is no verb {verb!r}.{hint} `robostack --help` lists them.", file=sys.stderr)
            return 2
        command = registry.load("command", verb)

    import tyro

    prog, config = f"robostack {verb}", (tyro.conf.FlagCreatePairsOff,)
    if getattr(command, "TAKES_REST", False):
        parsed, unknown = tyro.cli(command, args=rest, prog=prog, config=config, return_unknown_args=True)
        return int(parsed.run(unknown))
    return int(tyro.cli(command, args=rest, prog=prog, config=config).run())


def _help() -> str:
    from robostack import registry

    lines = [f"  {verb:<9} {summary}" for verb, summary in VERBS.items()]
    for name, entry in registry.entries("command").items():
        lines.append(f"  {name:<9} from {registry.owner(entry)}")
    return HELP.format(verbs="\n".join(lines))


def _message(error: Exception) -> str:
    """One line for a failure that a user can act on; for any other, its kind and how to see more."""
    if isinstance(error, FileNotFoundError) and error.filename:
        return f"{error.filename}: no such file or folder"
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        from robostack import registry

        extra = registry.extra_for(error.name)
        if extra:
            return f"this needs {error.name!r}: pip install 'robostack[{extra}]'"
    if isinstance(error, (ValueError, OSError, ImportError, LookupError)) and str(error):
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return text
    return f"{type(error).__name__}: {error} (unexpected; add --debug to see where)"
