"""What may come next on a command line: verbs, options, their values, tasks, runs; for bash, zsh and fish alike.

A shell asks `robostack --complete WORD ... CURRENT` at each TAB, so what was installed or trained a moment ago is
known. (tyro's own scripts are written once, know a single parser, and nothing of words without a dash.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

SCRIPTS = {
    "bash": """\
_robostack() {
    local IFS=$'\\n'
    COMPREPLY=($(robostack --complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f 1))
}
complete -o default -F _robostack robostack
""",
    "zsh": """\
#compdef robostack
_robostack() {
    local -a found
    found=("${(@f)$(robostack --complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    found=(${found//:/\\\\:})
    found=(${found/$'\\t'/:})
    if (( ${#found} )); then _describe robostack found; else _files; fi
}
if [[ ${funcstack[1]} == _robostack ]]; then _robostack; else compdef _robostack robostack; fi
""",
    "fish": """\
function __robostack
    set -l words (commandline -opc) (commandline -ct)
    robostack --complete $words[2..-1] 2>/dev/null
end
complete -c robostack -a '(__robostack)'
""",
}
"""Asked for words, each shell completes the names of files where there are none."""


def candidates(words: Sequence[str], root: Path = Path("logs")) -> list[str]:
    """Words that may stand in the place of the last of `words`, which has been begun; a verb with a tab and its
    summary. Empty where anything may, or nothing can be said."""
    *before, begun = words or [""]
    return [w for w in _all(before, begun, root) if w.startswith(begun)]


def _all(before: Sequence[str], begun: str, root: Path) -> Iterable[str]:
    from robostack.cli import command_of, summaries

    if not before:
        return [f"{verb}\t{summary}" for verb, summary in summaries().items()] + ["--help", "--version"]
    try:
        command = command_of(before[0])
    except ImportError:  # an extra is missing; the verb itself says which
        return []
    before = before[1:]
    kinds = {_subcommand(part): get_args(part)[0] for part in get_args(command)}
    if kinds:  # verbs of a verb
        if not before:
            return kinds
        command, before = kinds.get(before[0]), before[1:]
    return _of(command, before, begun, root) if is_dataclass(command) else []


def _of(command: Any, before: Sequence[str], begun: str, root: Path) -> Iterable[str]:
    """After the words `before` of a command."""
    hints = get_type_hints(command, include_extras=True)
    places = [f.name for f in fields(command) if _is_positional(hints[f.name])]
    options = {"--" + f.name.replace("_", "-"): f.name for f in fields(command) if f.name not in places}
    takes_value = {option for option, name in options.items() if hints[name] is not bool}
    if begun.startswith("-"):
        return [*options, "--help", "--debug"]
    if before and before[-1] in takes_value:
        name = options[before[-1]]
        return _values(name, hints[name], root)
    pairs = zip(["", *before], before, strict=False)
    filled = sum(not word.startswith("-") and last not in takes_value for last, word in pairs)
    return _values(places[filled], hints[places[filled]], root) if filled < len(places) else []


def _values(name: str, hint: Any, root: Path) -> Iterable[str]:
    """What a field may be, by its Literals, else by what it is called."""
    if literal := _literals(hint):
        return literal
    from robostack import registry

    called = next((m.metavar for m in _metadata(hint) if getattr(m, "metavar", None)), name)
    if called in ("TASK", "task"):
        return registry.entries("task")
    if called in ("stack", "board"):
        return registry.entries("stack" if called == "stack" else "board")
    if called in ("RUN", "POLICY", "PATH", "run_folder"):
        runs = [str(p.parent) for p in sorted(root.glob("*/*/checkpoints"))]
        return [*dict.fromkeys(Path(run).parent.name for run in runs), *runs]
    return []


def _literals(hint: Any) -> list[str]:
    """Words of the Literals anywhere inside."""
    if get_origin(hint) is Literal:
        return [str(word) for word in get_args(hint)]
    if get_origin(hint) in (Annotated, Union, UnionType, tuple):
        return [word for part in get_args(hint) for word in _literals(part)]
    return []


def _metadata(hint: Any) -> tuple[Any, ...]:
    return get_args(hint)[1:] if get_origin(hint) is Annotated else ()


def _is_positional(hint: Any) -> bool:
    import tyro

    return tyro.conf.Positional in _metadata(hint)


def _subcommand(part: Any) -> str:
    return next((str(m.name) for m in _metadata(part) if getattr(m, "name", None)), "")
