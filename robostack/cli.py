"""`robostack VERB ...`: finds the verb, parses its dataclass, runs it; a failure is one clear line.

Only the verb that was asked for is imported, so that help is instant. EXIT_STATUS says what is returned.
"""

from __future__ import annotations

import importlib
import importlib.util
import keyword
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robostack.commands import VERBS
from robostack.commands.answer import for_a_script

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

HELP = """\
robostack takes a controller from a simulated task to a machine.

usage: robostack VERB [options]

{verbs}

  robostack VERB --help   what a verb does, with an example
  robostack --version     version of this robostack
  --json, with most       the answer as one JSON document, for a script
  --debug, with any verb  show where an error came from

exit status: {statuses}
"""

EXIT_STATUS = {
    0: "done",
    1: "it failed, or its answer is no",
    2: "wrong usage",
    3: "`run`: held and verified",
    4: "`run`: held, and not all stands as it was left",
    130: "stopped by Ctrl-C",
}


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
    if args[0] == "--complete":
        from robostack.completion import candidates

        print("\n".join(candidates(args[1:])))
        return 0
    verb, rest = args[0], args[1:]
    if command_of(verb) is None:
        import difflib

        close = difflib.get_close_matches(verb, summaries(), n=1)
        hint = f" Did you mean `robostack {close[0]}`?" if close else ""
        print(f"robostack: there is no verb {verb!r}.{hint} `robostack --help` lists them.", file=sys.stderr)
        return 2

    parsed, unknown = parse(verb, rest)
    with for_a_script() if getattr(parsed, "json", False) else nullcontext():
        return int(parsed.run(*unknown))


def parse(verb: str, words: Sequence[str]) -> tuple[Any, list[Any]]:
    """The dataclass of a verb as `words` fill it, and what its `run` takes: a list of the words that are not its own,
    where it has a use for them. Raises SystemExit for wrong usage."""
    import tyro

    command, prog, config = command_of(verb), f"robostack {verb}", (tyro.conf.FlagCreatePairsOff,)
    if getattr(command, "TAKES_REST", False):
        parsed, unknown = tyro.cli(command, args=words, prog=prog, config=config, return_unknown_args=True)
        return parsed, [unknown]
    return tyro.cli(command, args=words, prog=prog, config=config), []


def command_of(verb: str) -> Any:
    """The dataclass behind a verb, ours or another package's; None when there is no such verb."""
    if verb in VERBS:
        return importlib.import_module(f"robostack.commands.{verb}{'_' * keyword.iskeyword(verb)}").Command
    from robostack import registry

    return registry.load("command", verb) if verb in registry.entries("command") else None


def summaries() -> dict[str, str]:
    """Every verb and its line in the help; none of them is imported."""
    from robostack import registry

    return VERBS | {name: _summary(entry) for name, entry in registry.entries("command").items()}


def _summary(entry: EntryPoint) -> str:
    """What follows the colon in the first line of a verb's module, as in this one; else whose verb it is."""
    from robostack import registry

    top, *inner = entry.module.split(".")
    spec = importlib.util.find_spec(top)
    for folder in (spec.submodule_search_locations if spec else None) or ():
        path = Path(folder, *inner).with_suffix(".py")
        if path.is_file():
            with path.open(encoding="utf-8") as source:
                text = source.readline().strip().strip('"').partition("`: ")[2]
            if text:
                return text
    return f"from {registry.owner(entry)}"


def _help() -> str:
    found = summaries()
    width = max(map(len, found))
    verbs = "\n".join(f"  {verb:<{width}} {summary}" for verb, summary in found.items())
    shown = "; ".join(f"{status} {EXIT_STATUS[status]}" for status in (0, 1, 2, 130))
    return HELP.format(verbs=verbs, statuses=shown)


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
