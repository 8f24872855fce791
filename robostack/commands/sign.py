"""`robostack sign`"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from robostack.commands.answer import answer
from robostack.run_folder import RunFolder
from robostack.spec import ContractError


@dataclass(frozen=True)
class Command:
    """Sign a policy.onnx with an Ed25519 key, so that hosts which know the public key run no other file.

    The signature lies beside the policy as policy.onnx.sig, in OpenSSH's format; Ed25519 keys of ssh-keygen and openssl
    do, too. A policy that is exported again has to be signed again.

    Example: robostack sign --new-key ~/keys/robot
    Example: robostack sign policy.onnx --key ~/keys/robot
    """

    policy: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY")] = None
    """A policy.onnx, a run folder, or a task (its newest run). Default: the newest run."""
    key: Path | None = None
    """The private key."""
    new_key: Path | None = None
    """Make a key pair instead: PATH, for you alone, and PATH.pub, for every host that should trust it."""
    root: Path = Path("logs")
    """Folder with the runs."""
    json: bool = False
    """Print the result as JSON for a script."""

    def run(self) -> int:
        if (self.key is None) == (self.new_key is None) or (self.new_key and self.policy):
            raise ContractError("say one of: POLICY --key KEY, which signs; --new-key PATH, which makes a key pair")
        from robostack import signature

        if self.new_key is not None:
            public = signature.new_key(self.new_key)
            if self.json:
                answer({"private_key": self.new_key, "public_key": public.where, "fingerprint": public.fingerprint})
            else:
                print(f"{self.new_key}: private, keep it where policies are made and nowhere else")
                print(f"{public.where}: public, {public.fingerprint}")
            return 0
        assert self.key is not None
        from robostack.export.onnx import load_policy

        policy = load_policy(RunFolder.find_policy(self.policy, self.root))
        path = signature.sign(policy, self.key, _passphrase if sys.stdin.isatty() else None)
        signer = signature.signer_of(policy).fingerprint
        if self.json:
            answer({"signature": path, "fingerprint": signer, "file_sha256": policy.file_sha256})
        else:
            print(f"{path}: {signer} signed file {policy.file_sha256[:16]}")
        return 0


def _passphrase() -> str:
    from getpass import getpass

    return getpass("passphrase of the key: ")
