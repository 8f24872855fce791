"""A policy as the blob that takes another's place on a board without a reflash.

Header, image (robostack.export.hot_swap), CRC-32 of both; little-endian. The header is what firmware/link/swap.h calls
rs_swap_header_t. A blob fits one topology: firmware that was exported with hot swap from a policy of the same graph and
the same interface, in the same precision.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from robostack.export.firmware import Precision, program_of
from robostack.export.onnx import LoadedPolicy

MAGIC = b"RSWB"
VERSION = 1
HEADER = struct.Struct("<4sII32s32s32s")


@dataclass(frozen=True)
class Blob:
    """Digests are hexadecimal."""

    topology: str
    interface_hash: str
    policy_hash: str
    image: bytes
    version: int = VERSION

    @property
    def header(self) -> bytes:
        digests = (bytes.fromhex(d) for d in (self.topology, self.interface_hash, self.policy_hash))
        return HEADER.pack(MAGIC, self.version, len(self.image), *digests)

    @property
    def crc(self) -> int:
        return zlib.crc32(self.header + self.image)

    def __bytes__(self) -> bytes:
        return self.header + self.image + self.crc.to_bytes(4, "little")


def blob(policy: LoadedPolicy, precision: Precision = "float32") -> Blob:
    """Raises ContractError when the policy cannot become C of this precision, or carries no self-test vectors."""
    program = program_of(policy, precision, hot_swap=True)
    return Blob(program.topology, policy.spec.interface_hash, policy.policy_hash, program.image())
