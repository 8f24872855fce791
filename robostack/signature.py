"""A detached signature over a policy file: who vouches for the bytes that a host is about to run or flash.

`policy.onnx.sig` is OpenSSH's signature format (PROTOCOL.sshsig) with an Ed25519 key, in the namespace `robostack`,
over the file's SHA-256. So these are the same:

    robostack sign policy.onnx --key robot
    ssh-keygen -Y sign -n robostack -O hashalg=sha256 -f robot policy.onnx

and keys come from `robostack sign --new-key`, `ssh-keygen -t ed25519` or `openssl genpkey -algorithm ed25519`. The
namespace keeps a signature made for another purpose (a login, a commit) from vouching for a policy.

Needs cryptography (the `sign` extra). docs/security.md says what a signature protects, and what it does not.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import os
import struct
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robostack.export.onnx import LoadedPolicy, load_policy
from robostack.registry import MissingExtraError
from robostack.run_folder import write_atomic
from robostack.spec import ContractError

NAMESPACE = b"robostack"
KIND = b"ssh-ed25519"
MAGIC = b"SSHSIG"
BEGIN, END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
ED25519, SERIAL = "hazmat.primitives.asymmetric.ed25519", "hazmat.primitives.serialization"
HASHES = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}
MAX_BYTES = 64 * 1024
"""of a key or a signature"""


@dataclass(frozen=True)
class PublicKey:
    """An Ed25519 key that may be trusted; `where` says which file and line it came from."""

    raw: bytes
    where: str = ""

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` shows it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(_key_blob(self.raw)).digest()).decode().rstrip("=")

    @property
    def line(self) -> str:
        """As in a .pub or authorized_keys file."""
        return f"{KIND.decode()} {base64.b64encode(_key_blob(self.raw)).decode()}"


def load_signed(path: str | Path, trusted: Sequence[str | Path]) -> LoadedPolicy:
    """The policy at `path`, which one of the keys in the files `trusted` has signed; without any, any policy.

    What is verified is what is returned: the file is read once. Raises ContractError naming file, key and remedy.
    """
    policy = load_policy(path)
    if trusted:
        check(policy, [key for file in trusted for key in public_keys(file)])
    return policy


def check(policy: LoadedPolicy, trusted: Sequence[PublicKey]) -> PublicKey:
    """The key of `trusted` that signed the policy, by the signature beside its file. Raises ContractError."""
    signer = signer_of(policy)
    for key in trusted:
        if key.raw == signer.raw:
            return key
    listed = ", ".join(f"{key.fingerprint} ({key.where})" for key in trusted) or "none"
    raise ContractError(
        f"{policy.origin}: signed with {signer.fingerprint}, which is not trusted here; trusted: {listed}. Have it "
        "signed with one of these, or trust that key by its public file"
    )


def signer_of(policy: LoadedPolicy) -> PublicKey:
    """Whose signature lies beside the policy's file: genuine, which is not yet trusted. Raises ContractError."""
    path = signature_path(policy.origin)
    if not path.exists():
        raise ContractError(
            f"{policy.origin}: not signed ({path.name} is missing); sign it: robostack sign {policy.origin} --key KEY"
        )
    raw, hashed, signature = _unpack(_read(path).decode("ascii", "replace"), path)
    digest = HASHES[hashed](policy.data).digest()
    try:
        _crypto(ED25519).Ed25519PublicKey.from_public_bytes(raw).verify(signature, _signed(hashed, digest))
    except (_crypto("exceptions").InvalidSignature, ValueError):
        raise ContractError(
            f"{path}: not a signature of {policy.origin} as it is now (by {PublicKey(raw).fingerprint}): one of the "
            "two was changed or exchanged afterwards; get both from who signed, or sign it again"
        ) from None
    return PublicKey(raw, str(path))


def sign(policy: LoadedPolicy, key_file: str | Path, passphrase: Callable[[], str] | None = None) -> Path:
    """Writes the signature beside the policy's file and returns its path.

    `passphrase` is asked where the key has one. Raises ContractError, RunFolderError.
    """
    key = _private_key(Path(key_file), passphrase)
    raw = key.public_key().public_bytes_raw()
    signature = key.sign(_signed(b"sha256", bytes.fromhex(policy.file_sha256)))
    blob = MAGIC + struct.pack(">I", 1)
    for part in (_key_blob(raw), NAMESPACE, b"", b"sha256", _string(KIND) + _string(signature)):
        blob += _string(part)
    lines = textwrap.wrap(base64.b64encode(blob).decode(), 70)
    path = signature_path(policy.origin)
    write_atomic(path, "\n".join([BEGIN, *lines, END, ""]).encode())
    return path


def new_key(path: Path) -> PublicKey:
    """Makes a key pair: `path`, for its owner only, and `path`.pub. Raises ContractError where one of them exists."""
    key, kinds = _crypto(ED25519).Ed25519PrivateKey.generate(), _crypto(SERIAL)
    public = PublicKey(key.public_key().public_bytes_raw(), f"{path}.pub")
    private = key.private_bytes(kinds.Encoding.PEM, kinds.PrivateFormat.OpenSSH, kinds.NoEncryption())
    files = ((path, 0o600, private), (Path(public.where), 0o644, f"{public.line} {path.name}\n".encode()))
    for file, _, _ in files:
        if file.exists():
            raise ContractError(f"{file} exists, and a key is never overwritten; give another path")
    for file, mode, data in files:
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except OSError as error:
            raise ContractError(f"{file}: {error.strerror}") from error
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
    return public


def public_keys(path: str | Path) -> list[PublicKey]:
    """The Ed25519 keys in a file: lines as in .pub and authorized_keys, or PEM as openssl writes it.

    Raises ContractError where there is none.
    """
    path, remedy = Path(path), "give the .pub file of an Ed25519 key"
    text = _read(path).decode("utf-8", "replace")
    if "PRIVATE KEY" in text:
        raise ContractError(f"{path}: this is a private key, which stays where it signs; {remedy}")
    if text.startswith("-----BEGIN PUBLIC KEY"):
        try:
            key = _crypto(SERIAL).load_pem_public_key(text.encode())
        except ValueError as error:
            raise ContractError(f"{path}: a damaged public key; {remedy}") from error
        if not isinstance(key, _crypto(ED25519).Ed25519PublicKey):
            raise ContractError(f"{path}: a key of another kind than Ed25519; {remedy}")
        return [PublicKey(key.public_bytes_raw(), str(path))]
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if KIND.decode() in words[:-1]:
            blob = _base64(words[words.index(KIND.decode()) + 1])
            if len(blob) != len(_key_blob(bytes(32))) or blob != _key_blob(blob[-32:]):
                raise ContractError(f"{path}: line {number} has a damaged key; {remedy}")
            found.append(PublicKey(blob[-32:], f"{path}:{number}"))
    if not found:
        raise ContractError(f"{path}: no Ed25519 public key in it; {remedy}")
    return found


def signature_path(policy: str | Path) -> Path:
    return Path(f"{policy}.sig")


def _private_key(path: Path, passphrase: Callable[[], str] | None) -> Any:
    data, kinds = _read(path), _crypto(SERIAL)
    if path.stat().st_mode & 0o077:
        raise ContractError(f"{path}: others may read this private key, so it proves nothing; chmod 600 {path}")
    load = kinds.load_ssh_private_key if b"OPENSSH PRIVATE KEY" in data else kinds.load_pem_private_key
    what = f"{path}: not an Ed25519 private key; make one: robostack sign --new-key PATH"
    try:
        key = load(data, None)
    except TypeError as error:
        if passphrase is None:
            raise ContractError(f"{path}: has a passphrase; sign on a terminal, which can ask for it") from error
        try:
            key = load(data, passphrase().encode())
        except ValueError:
            raise ContractError(f"{path}: that is not its passphrase") from None
    except (ValueError, _crypto("exceptions").UnsupportedAlgorithm) as error:
        raise ContractError(what) from error
    if not isinstance(key, _crypto(ED25519).Ed25519PrivateKey):
        raise ContractError(what)
    return key


def _signed(hashed: bytes, digest: bytes) -> bytes:
    """What the key signs: PROTOCOL.sshsig, section 3."""
    return MAGIC + b"".join(_string(part) for part in (NAMESPACE, b"", hashed, digest))


def _unpack(text: str, path: Path) -> tuple[bytes, bytes, bytes]:
    """Public key, name of the hash, signature. Raises ContractError."""
    remedy = "sign the policy again: robostack sign POLICY --key KEY"
    body = text.strip()
    if not (body.startswith(BEGIN) and body.endswith(END)):
        raise ContractError(f"{path}: not an OpenSSH signature; {remedy}")
    blob = _base64("".join(body.removeprefix(BEGIN).removesuffix(END).split()))
    try:
        if blob[:6] != MAGIC or struct.unpack(">I", blob[6:10]) != (1,):
            raise ValueError("no SSHSIG of version 1")
        key, namespace, _, hashed, signature = _strings(blob[10:], 5)
        kind, raw = _strings(key, 2)
        signed_kind, value = _strings(signature, 2)
    except (struct.error, ValueError) as error:
        raise ContractError(f"{path}: truncated or damaged ({error}); {remedy}") from error
    if namespace != NAMESPACE:
        purpose = namespace.decode(errors="replace")
        raise ContractError(f"{path}: a signature for {purpose!r}, not for policies; {remedy}")
    if {kind, signed_kind} != {KIND} or len(raw) != 32 or hashed not in HASHES:
        raise ContractError(f"{path}: made with {kind.decode(errors='replace')}, not Ed25519; {remedy}")
    return raw, hashed, value


def _strings(data: bytes, count: int) -> list[bytes]:
    """Exactly `count` length-prefixed strings. Raises ValueError or struct.error."""
    found = []
    for _ in range(count):
        (size,) = struct.unpack(">I", data[:4])
        if size > len(data) - 4:
            raise ValueError("it ends too early")
        found.append(data[4 : 4 + size])
        data = data[4 + size :]
    if data:
        raise ValueError(f"{len(data)} bytes too many")
    return found


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _key_blob(raw: bytes) -> bytes:
    return _string(KIND) + _string(raw)


def _base64(text: str) -> bytes:
    """Empty for what is none."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ContractError(f"{path}: {error.strerror}; give the path of a key or signature") from error
    if len(data) > MAX_BYTES:
        raise ContractError(f"{path}: larger than {MAX_BYTES >> 10} KiB, which no key or signature is")
    return data


def _crypto(module: str) -> Any:
    try:
        return importlib.import_module(f"cryptography.{module}")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "signatures need cryptography, which the 'sign' extra installs: pip install 'robostack[sign]'"
        ) from error
