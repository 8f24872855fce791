"""`robostack completion`"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from robostack.completion import SCRIPTS


@dataclass(frozen=True)
class Command:
    """Print the lines by which a shell completes verbs, options, tasks and runs at TAB. They go where it looks:

    bash: robostack completion bash > ~/.local/share/bash-completion/completions/robostack
    zsh: robostack completion zsh > ~/.zfunc/_robostack, with fpath+=~/.zfunc before compinit in ~/.zshrc
    fish: robostack completion fish > ~/.config/fish/completions/robostack.fish

    Example: robostack completion bash > ~/.local/share/bash-completion/completions/robostack
    """

    shell: Annotated[Literal["bash", "zsh", "fish"], tyro.conf.Positional]

    def run(self) -> int:
        print(SCRIPTS[self.shell], end="")
        return 0
