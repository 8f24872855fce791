"""policy.onnx: one file with the graph, the weights and the whole contract; writing it and reading it back.

Inputs: one float32 tensor a channel, [N, *shape], then `applied_action` [N, A] and, for a policy with memory,
`state` [N, S]. Outputs: `action` [N, A] in SI and `next_state` [N, S]. Metadata: `robostack.spec` (canonical
JSON) and `robostack.policy_hash`. Reading executes nothing and believes nothing: what the file says of itself
is compared with what it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import ModelProto, TensorProto, helper

from robostack.export import self_test
from robostack.export.graph import Graph
from robostack.export.profile import IR_VERSION, OPSET
from robostack.run_folder import write_atomic
from robostack.spec import ContractError, PolicySpec, policy_hash

SPEC_KEY = "robostack.spec"
HASH_KEY = "robostack.policy_hash"
MAX_BYTES = 64 * 2**20
"""A policy that runs at a fixed rate on a small machine is far below this; a larger file is a mistake or an
attack.
"""
OPSETS = range(13, 22)
"""What a wrapped graph may use: from the first with today's Squeeze and Clip to the last that ONNX Runtime
1.20 knows.
"""
IR_VERSIONS = range(7, 11)


class Actor(Protocol):
    """What can be exported: it writes itself as nodes.

    `channel_names` maps each channel of the spec to its graph input [N, *shape]; `state` is None without
    memory. Returns the names of the action [N, A] in SI and of the next state [N, S] (None without memory).
    """

    def onnx(
        self, graph: Graph, channel_names: dict[str, str], applied_action: str, state: str | None
    ) -> tuple[str, str | None]: ...


@dataclass(frozen=True)
class LoadedPolicy:
    """A policy.onnx that was read and found sound; nothing of it was run."""

    spec: PolicySpec
    policy_hash: str
    file_sha256: str
    model: ModelProto
    data: bytes
    origin: str

    @cached_property
    def interface_hash(self) -> str:
        """The contract's, made once: half a millisecond for two dozen joints, and a node says it in every report."""
        return self.spec.interface_hash

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says by key; the spec and the hash are among it."""
        return {p.key: p.value for p in self.model.metadata_props}

    @cached_property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """Row shape of each input, in the graph's order; asked for at every inference."""
        return _interface(self.spec)[0]


def export_onnx(
    actor: Actor,
    spec: PolicySpec,
    path: str | Path,
    *,
    reference: self_test.Reference,
    self_test_rows: int = 16,
    seed: int = 0,
) -> LoadedPolicy:
    """Writes `path` with self-test vectors recorded from `reference`, and returns what a reader will find in
    it.

    The graph must agree with `reference` on them in ONNX Runtime before anything is written. The file appears
    in one step: after a failure the one that was there is untouched.

    Raises ContractError when actor and spec do not fit or the graph computes something else; RunFolderError
    when the file cannot be written.
    """
    graph = Graph()
    channels = {c.name: graph.input(c.name, c.shape) for c in spec.observations}
    applied = graph.input("applied_action", (spec.action_size,))
    state = graph.input("state", (spec.state.size,)) if spec.state.size else None
    action, next_state = actor.onnx(graph, channels, applied, state)
    graph.output("action", action)
    if spec.state.size:
        if not next_state:
            raise ContractError(f"the actor writes no next state; the spec has a state of {spec.state.size}")
        graph.output("next_state", next_state)
    model = helper.make_model(graph.proto(spec.task), opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR_VERSION
    return _write(model, spec, Path(path), reference, self_test_rows, seed)


def wrap_onnx(source: str | Path, spec: PolicySpec, path: str | Path, *, self_test_rows: int = 16) -> LoadedPolicy:
    """Gives a foreign ONNX file a contract: writes `path`, its graph unchanged, with `spec` in its metadata.

    Its inputs and outputs must be named and shaped as the spec says. Its self-test vectors are ONNX Runtime's
    own. Raises ContractError naming what does not fit.
    """
    model = _parse(_read(Path(source)), str(source))

    from robostack.runtime.runner import Runner

    bare = spec.model_copy(update={"self_test": None})
    runner = Runner(parse_policy(seal(model, bare), str(source)))
    return _write(model, bare, Path(path), runner.infer, self_test_rows, seed=0)


def _write(
    model: ModelProto, spec: PolicySpec, path: Path, reference: self_test.Reference, rows: int, seed: int
) -> LoadedPolicy:
    bare = spec.model_copy(update={"self_test": None})
    parse_policy(seal(model, bare), str(path))  # a misfit is named before anything is run
    onnx.checker.check_model(model)
    recorded = self_test.record(bare, reference, rows, seed)
    policy = parse_policy(seal(model, bare.model_copy(update={"self_test": recorded})), str(path))

    from robostack.runtime.runner import Runner

    wanted = np.array(recorded.outputs, np.float32)
    inputs = np.array(recorded.inputs, np.float32)
    found = self_test.error(spec, self_test.run(spec, Runner(policy).infer, inputs), wanted)
    if found > recorded.tolerance["onnxruntime"]:
        raise ContractError(
            f"{path}: the graph differs from the actor by {found:.1e} of the action range on the self-test "
            f"vectors (allowed {recorded.tolerance['onnxruntime']:.0e}): its onnx() and its "
            "forward() compute different things"
        )
    write_atomic(path, policy.data)
    return policy


def seal(model: ModelProto, spec: PolicySpec, also: Mapping[str, str] | None = None) -> bytes:
    """The file's bytes: model, spec, what there is to say `also` by key, and the hash last, so that a file cut anywhere
    lacks it."""
    signed = ModelProto()
    signed.CopyFrom(model)
    del signed.metadata_props[:]
    signed.producer_name = "robostack"
    digest = policy_hash(spec.interface_hash, signed.graph.SerializeToString(deterministic=True))
    metadata = {
        SPEC_KEY: spec.canonical_json().decode(),
        "observation_names": ",".join(c.name for c in spec.observations),
        "run_path": str(spec.provenance.get("run", "")),
        **(also or {}),
        HASH_KEY: digest,
    }
    for key, value in metadata.items():
        signed.metadata_props.add(key=key, value=value)
    data: bytes = signed.SerializeToString(deterministic=True)
    return data


def load_policy(path: str | Path) -> LoadedPolicy:
    """Reads a policy.onnx without executing it.

    Raises ContractError, naming the file and the remedy, when it is missing, too large, truncated, altered,
    of another spec version, or not one of ours.
    """
    return parse_policy(_read(Path(path)), str(path))


def parse_policy(data: bytes, origin: str) -> LoadedPolicy:
    """`load_policy` of bytes; `origin` is how errors call them."""
    model = _parse(data, origin)
    metadata = {p.key: p.value for p in model.metadata_props}
    if len(metadata) != len(model.metadata_props):
        raise ContractError(f"{origin}: a metadata key occurs twice, so its contract is ambiguous; export it again")
    if SPEC_KEY not in metadata:
        made_by = f"{model.producer_name} {model.producer_version}".strip() or "an unknown program"
        raise ContractError(
            f"{origin}: an ONNX file by {made_by} without a contract ({SPEC_KEY}), or a truncated one. "
            "Export it with robostack, or give it one: robostack.export.onnx.wrap_onnx(source, spec, path)"
        )
    if HASH_KEY not in metadata:
        raise ContractError(f"{origin}: {HASH_KEY} is missing: the file is truncated; copy or export it again")
    try:
        spec = PolicySpec.from_json(metadata[SPEC_KEY])
    except ContractError as error:
        raise ContractError(f"{origin}: {SPEC_KEY}: {error}") from error
    _check_interface(model, spec, origin)
    digest = policy_hash(spec.interface_hash, model.graph.SerializeToString(deterministic=True))
    if digest != metadata[HASH_KEY]:
        raise ContractError(
            f"{origin}: {HASH_KEY} says {metadata[HASH_KEY][:12]}, its contents are {digest[:12]}: "
            "graph, weights or contract were altered after export; get the original or export it again"
        )
    _check_self_test(spec, origin)
    return LoadedPolicy(spec, digest, hashlib.sha256(data).hexdigest(), model, data, origin)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ContractError(f"{path}: {error.strerror}; give the path of a policy.onnx") from error
    if len(data) > MAX_BYTES:
        raise ContractError(f"{path}: larger than {MAX_BYTES >> 20} MiB, which no policy needs; is it a policy.onnx?")
    return data


def _parse(data: bytes, origin: str) -> ModelProto:
    """The model, with everything refused that reaches outside the file or hides code from the hash."""
    try:
        model = onnx.load_model_from_string(data)
    except DecodeError as error:
        raise ContractError(f"{origin}: truncated or not ONNX ({len(data)} bytes); copy or export it again") from error
    opsets = {o.domain: o.version for o in model.opset_import}
    versions = [v for d, v in opsets.items() if d in ("", "ai.onnx")]
    if not model.graph.node or len(opsets) != len(model.opset_import) or len(versions) != 1:
        raise ContractError(f"{origin}: truncated or not ONNX: no graph or no operator set; copy or export it again")
    if versions[0] not in OPSETS or model.ir_version not in IR_VERSIONS:
        raise ContractError(
            f"{origin}: opset {versions[0]}, IR {model.ir_version}; this robostack reads opset "
            f"{_span(OPSETS)}, IR {_span(IR_VERSIONS)}: convert it with onnx.version_converter"
        )
    if model.functions or any(n.domain not in ("", "ai.onnx") for n in model.graph.node):
        raise ContractError(f"{origin}: uses functions or custom operators; export it with standard operators only")
    if model.training_info:
        raise ContractError(f"{origin}: carries a training graph; export it for inference only")
    tensors = list(model.graph.initializer)
    for node in model.graph.node:
        for attribute in node.attribute:  # by what it holds: a reader may not look at the type it claims
            if attribute.HasField("g") or attribute.graphs:
                raise ContractError(
                    f"{origin}: node {node.name} ({node.op_type}) has a subgraph; unroll it before export"
                )
            if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
                raise ContractError(f"{origin}: node {node.name} holds a sparse tensor; export dense ones")
            tensors += [*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors]
    for tensor in tensors:
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise ContractError(
                f"{origin}: tensor {tensor.name} lies in another file; put weights inline: "
                "onnx.save(onnx.load(path), path, save_as_external_data=False)"
            )
    if model.graph.sparse_initializer:
        raise ContractError(f"{origin}: sparse initializers are not supported; export dense ones")
    return model


def _span(values: range) -> str:
    return f"{values[0]}-{values[-1]}"


def _interface(spec: PolicySpec) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """Row shapes of the inputs and outputs that `spec` prescribes, in order."""
    inputs: dict[str, tuple[int, ...]] = {c.name: c.shape for c in spec.observations}
    inputs["applied_action"] = (spec.action_size,)
    outputs: dict[str, tuple[int, ...]] = {"action": (spec.action_size,)}
    if spec.state.size:
        inputs["state"] = outputs["next_state"] = (spec.state.size,)
    return inputs, outputs


def _check_interface(model: ModelProto, spec: PolicySpec, origin: str) -> None:
    for kind, given, wanted in zip(
        ("input", "output"), (model.graph.input, model.graph.output), _interface(spec), strict=True
    ):
        names = [v.name for v in given]
        if names != list(wanted):
            raise ContractError(
                f"{origin}: the graph's {kind}s are {names}, its contract says {list(wanted)}; "
                "name the graph's values after the channels, in the contract's order"
            )
        for value in given:
            found, tensor = _dims(value), value.type.tensor_type
            if tensor.elem_type != TensorProto.FLOAT or found[:1] != ["N"] or tuple(found[1:]) != wanted[value.name]:
                raise ContractError(
                    f"{origin}: {kind} {value.name} is "
                    f"{TensorProto.DataType.Name(tensor.elem_type)} {found}, its contract says FLOAT "
                    f"{['N', *wanted[value.name]]} (N: a batch of any size)"
                )


def _dims(value: Any) -> list[Any]:
    """Dimensions with "N" for a batch of any size."""
    dims = value.type.tensor_type.shape.dim
    return [d.dim_value if d.HasField("dim_value") else "N" for d in dims]


def _check_self_test(spec: PolicySpec, origin: str) -> None:
    test = spec.self_test
    if test is None:
        return
    widths = {len(row) for row in test.inputs}, {len(row) for row in test.outputs}
    wanted = spec.observation_size + spec.action_size + spec.state.size, spec.action_size + spec.state.size
    if widths != ({wanted[0]}, {wanted[1]}) or len(test.inputs) != len(test.outputs):
        raise ContractError(
            f"{origin}: self_test has rows of {widths}, the contract's are {wanted} wide; export it again"
        )
