"""`robostack import`"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro

from robostack.commands.answer import answer
from robostack.spec import ContractError, PolicySpec

MAX_CONTRACT_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Command:
    """Give a policy that was trained elsewhere our contract: one policy.onnx to verify, export and fly.

    SOURCE is an rsl_rl checkpoint, a state_dict (torch.save(module.state_dict(), path)) or TorchScript, trained on
    --task through robostack.adapters; or mjlab's policy.onnx, with --contract for what its metadata does not say.
    No pickled code is read. Settings of the task it was trained with follow, as with `robostack train`.

    Example: robostack import logs/rsl_rl/model_299.pt --task quadrotor --activation tanh
    Example: robostack import walk.onnx --contract walk.json --output robot/policy.onnx
    """

    TAKES_REST: ClassVar[bool] = True

    source: Annotated[Path, tyro.conf.Positional]
    """The checkpoint or ONNX file."""
    task: str | None = None
    """The task it was trained on; `robostack list` shows them."""
    contract: Path | None = None
    """For mjlab's ONNX: the contract as JSON, what `robostack explain --json` shows under `spec`."""
    output: Path = Path("policy.onnx")
    """The file to write."""
    activation: Literal["tanh", "relu", "elu", "selu", "leaky_relu", "silu", "sigmoid"] | None = None
    """Between the linear layers; weights do not say it, TorchScript does."""
    squash: Literal["clip", "tanh"] = "clip"
    """What brings the last layer's output to [-1, 1]: the adapters clip."""
    layers: tuple[str, ...] = ()
    """Prefixes of the policy's linear layers in a state_dict, in their order. Default: all there are."""
    raw: bool = False
    """It saw the channels in SI, not the task's features."""
    quaternion: Literal["wxyz", "xyzw"] = "wxyz"
    """xyzw: it was trained through the Isaac Lab or Isaac Gym shape."""
    json: bool = False
    """Print the result as JSON for a script."""

    def run(self, rest: list[str]) -> int:
        if (self.task is None) == (self.contract is None):
            raise ContractError("say one of: --task, for what was trained on it; --contract, for mjlab's ONNX")
        policy = self._from_mjlab(self.contract) if self.contract is not None else self._from_torch(rest)
        if self.json:
            answer({"policy": self.output, "policy_bytes": len(policy.data), "policy_hash": policy.policy_hash})
        else:
            print(f"{self.output}: {len(policy.data):,} bytes, policy {policy.policy_hash[:16]}")
            print(f"next: robostack verify {self.output}")
        return 0

    def _from_torch(self, rest: list[str]) -> Any:
        from robostack import registry
        from robostack.adapters.imported import ImportedActor, read_network
        from robostack.learn.trained import export_actor

        assert self.task is not None
        kind = registry.load("task", self.task)
        settings = tyro.cli(kind.Config, args=rest, prog=f"robostack import --task {self.task}")
        network = read_network(self.source, self.activation, self.squash, self.layers)
        task = kind(replace(settings, num_envs=1, device="cpu"))
        actor = ImportedActor(task, network, raw=self.raw, quaternion=self.quaternion)
        return export_actor(task, actor, self.output, {"imported": self.source.name})

    def _from_mjlab(self, contract: Path) -> Any:
        from robostack.adapters.mjlab import import_mjlab

        if contract.stat().st_size > MAX_CONTRACT_BYTES:
            raise ContractError(f"{contract}: larger than a contract can be")
        return import_mjlab(self.source, PolicySpec.from_json(contract.read_bytes()), self.output)
