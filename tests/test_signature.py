"""Claims: a policy runs only where its signature is genuine, by a trusted key, and over the very bytes that are read.

Keys and signatures go both ways between us, ssh-keygen and openssl.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent / "export"))
from small_policy import small_policy

from robostack import cli, signature
from robostack.export.onnx import LoadedPolicy, load_policy
from robostack.registry import MissingExtraError
from robostack.signature import check, load_signed, new_key, public_keys, sign, signature_path, signer_of
from robostack.spec import ContractError


@pytest.fixture
def policy(tmp_path: Path) -> LoadedPolicy:
    return small_policy(tmp_path / "policy.onnx")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    new_key(tmp_path / "robot")
    return tmp_path / "robot"


def pub(key: Path) -> Path:
    return Path(f"{key}.pub")


def test_a_signed_policy_is_loaded_and_an_unsigned_one_is_refused(policy: LoadedPolicy, key: Path) -> None:
    with pytest.raises(ContractError, match=r"policy\.onnx: not signed .*robostack sign"):
        load_signed(policy.origin, [pub(key)])
    assert load_signed(policy.origin, []).data == policy.data  # nobody asked
    sign(policy, key)
    assert load_signed(policy.origin, [pub(key)]).data == policy.data


def test_another_key_is_named_beside_the_trusted_ones(policy: LoadedPolicy, key: Path, tmp_path: Path) -> None:
    sign(policy, key)
    mine, other = public_keys(pub(key))[0], new_key(tmp_path / "other")
    with pytest.raises(ContractError) as refused:
        load_signed(policy.origin, [tmp_path / "other.pub"])
    for word in (policy.origin, mine.fingerprint, other.fingerprint, "other.pub", "not trusted"):
        assert word in str(refused.value)
    load_signed(policy.origin, [tmp_path / "other.pub", pub(key)])


def test_a_file_that_changed_after_it_was_signed_is_refused(policy: LoadedPolicy, key: Path) -> None:
    sign(policy, key)
    other = small_policy(Path(policy.origin), seed=1)
    assert other.data != policy.data
    with pytest.raises(ContractError, match=r"policy\.onnx\.sig: not a signature of .* as it is now"):
        load_signed(policy.origin, [pub(key)])


@given(at=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_no_damage_to_a_signature_is_taken(signed: tuple[LoadedPolicy, Path], at: int, flip: int) -> None:
    policy, key = signed
    path = signature_path(policy.origin)
    sound = path.read_bytes()
    spoiled = bytearray(sound)
    spoiled[at % len(sound)] ^= flip
    try:
        path.write_bytes(spoiled)
        try:
            signer = check(policy, public_keys(pub(key)))
        except ContractError:
            pass
        else:  # white space became other white space
            assert b"".join(bytes(spoiled).split()) == b"".join(sound.split()) and signer == public_keys(pub(key))[0]
    finally:
        path.write_bytes(sound)


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedPolicy, Path]:
    folder = tmp_path_factory.mktemp("signed")
    policy = small_policy(folder / "policy.onnx")
    new_key(folder / "robot")
    sign(policy, folder / "robot")
    return policy, folder / "robot"


def run(*command: object, stdin: Path | None = None) -> subprocess.CompletedProcess[str]:
    with (stdin or Path(os.devnull)).open() as given:
        return subprocess.run([*map(str, command)], stdin=given, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("hashed", ["sha256", "sha512"])
def test_what_ssh_keygen_signs_we_take(policy: LoadedPolicy, tmp_path: Path, need_tool: Callable[..., str],
                                       hashed: str) -> None:  # fmt: skip
    tool, theirs = need_tool("ssh-keygen"), tmp_path / "theirs"
    assert run(tool, "-q", "-t", "ed25519", "-N", "", "-f", theirs).returncode == 0
    done = run(tool, "-Y", "sign", "-n", "robostack", "-O", f"hashalg={hashed}", "-f", theirs, policy.origin)
    assert done.returncode == 0, done.stderr
    load_signed(policy.origin, [pub(theirs)])
    shown = run(tool, "-l", "-f", theirs).stdout
    assert public_keys(pub(theirs))[0].fingerprint in shown


def test_what_we_sign_ssh_keygen_takes(policy: LoadedPolicy, key: Path, tmp_path: Path,
                                       need_tool: Callable[..., str]) -> None:  # fmt: skip
    path, signers = sign(policy, key), tmp_path / "allowed_signers"
    signers.write_text(f"robot {pub(key).read_text()}")
    verify = (need_tool("ssh-keygen"), "-Y", "verify", "-n", "robostack", "-I", "robot", "-f", signers, "-s", path)
    assert run(*verify, stdin=Path(policy.origin)).returncode == 0
    assert run(*verify, stdin=key).returncode != 0
    load_signed(policy.origin, [signers])


def test_a_signature_for_another_purpose_vouches_for_nothing(policy: LoadedPolicy, key: Path,
                                                             need_tool: Callable[..., str]) -> None:  # fmt: skip
    assert run(need_tool("ssh-keygen"), "-Y", "sign", "-n", "git", "-f", key, policy.origin).returncode == 0
    with pytest.raises(ContractError, match="a signature for 'git', not for policies"):
        load_signed(policy.origin, [pub(key)])


def test_openssl_s_keys_do_too(policy: LoadedPolicy, tmp_path: Path, need_tool: Callable[..., str]) -> None:
    tool, private, public = need_tool("openssl"), tmp_path / "key.pem", tmp_path / "key.pub.pem"
    assert run(tool, "genpkey", "-algorithm", "ed25519", "-out", private).returncode == 0
    assert run(tool, "pkey", "-in", private, "-pubout", "-out", public).returncode == 0
    private.chmod(0o600)
    sign(policy, private)
    load_signed(policy.origin, [public])


@pytest.mark.parametrize("tool", ["ssh-keygen", "openssl"])
def test_a_key_with_a_passphrase_asks_for_it(policy: LoadedPolicy, tmp_path: Path, need_tool: Callable[..., str],
                                             tool: str) -> None:  # fmt: skip
    key = tmp_path / "locked"
    make = {
        "ssh-keygen": ("-q", "-t", "ed25519", "-N", "open sesame", "-f", key),
        "openssl": ("genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:open sesame", "-out", key),
    }
    assert run(need_tool(tool), *make[tool]).returncode == 0
    key.chmod(0o600)
    sign(policy, key, lambda: "open sesame")
    with pytest.raises(ContractError, match="locked: that is not its passphrase"):
        sign(policy, key, lambda: "open barley")
    with pytest.raises(ContractError, match="locked: has a passphrase"):
        sign(policy, key)


def test_a_new_key_is_for_its_owner_alone_and_never_takes_the_place_of_another(key: Path) -> None:
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes(), pub(key).read_bytes()
    with pytest.raises(ContractError, match="robot exists, and a key is never overwritten"):
        new_key(key)
    key.unlink()
    with pytest.raises(ContractError, match=r"robot\.pub exists"):
        new_key(key)
    assert pub(key).read_bytes() == before[1] and not key.exists()


def test_a_private_key_that_others_may_read_does_not_sign(policy: LoadedPolicy, key: Path) -> None:
    key.chmod(0o644)
    with pytest.raises(ContractError, match=r"others may read this private key.*chmod 600"):
        sign(policy, key)


def test_keys_of_another_kind_and_no_keys_are_refused_by_name(policy: LoadedPolicy, key: Path, tmp_path: Path,
                                                              need_tool: Callable[..., str]) -> None:  # fmt: skip
    rsa, notes = tmp_path / "rsa", tmp_path / "notes.txt"
    assert run(need_tool("ssh-keygen"), "-q", "-t", "rsa", "-N", "", "-f", rsa).returncode == 0
    notes.write_text("no key")
    notes.chmod(0o600)
    for file in (rsa, notes, pub(key)):
        file.chmod(0o600)
        with pytest.raises(ContractError, match=f"{file.name}: not an Ed25519 private key"):
            sign(policy, file)
    for file, says in ((pub(rsa), "no Ed25519 public key"), (notes, "no Ed25519 public key"), (key, "a private key"),
                       (tmp_path / "absent", "No such file")):  # fmt: skip
        with pytest.raises(ContractError, match=f"{file.name}.*{says}"):
            public_keys(file)
    notes.write_text("ssh-ed25519 AAAA me")
    with pytest.raises(ContractError, match=r"notes\.txt: line 1 has a damaged key"):
        public_keys(notes)


def test_without_cryptography_the_extra_is_named(policy: LoadedPolicy, key: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    sign(policy, key)
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    monkeypatch.setitem(sys.modules, f"cryptography.{signature.ED25519}", None)
    with pytest.raises(MissingExtraError, match=r"robostack\[sign\]"):
        signer_of(policy)


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_policy(tmp_path / "policy.onnx")
    policy, key = str(tmp_path / "policy.onnx"), str(tmp_path / "robot")
    assert cli.main(["sign", "--new-key", key]) == 0
    fingerprint = public_keys(pub(Path(key)))[0].fingerprint
    assert fingerprint in capsys.readouterr().out
    assert cli.main(["explain", policy]) == 0
    assert "signed by none" in capsys.readouterr().out
    assert cli.main(["sign", policy, "--key", key]) == 0
    assert f"policy.onnx.sig: {fingerprint} signed file" in capsys.readouterr().out
    assert cli.main(["explain", policy]) == 0
    assert f"signed by {fingerprint}" in capsys.readouterr().out.replace("\n", "")
    small_policy(tmp_path / "policy.onnx", seed=1)
    assert cli.main(["explain", policy, "--json"]) == 0
    assert '"signature": "BAD: ' in capsys.readouterr().out
    assert cli.main(["sign", "--new-key", key]) == 1 and cli.main(["sign", policy]) == 1
    said = capsys.readouterr().err
    assert "never overwritten" in said and "POLICY --key KEY" in said


def test_swap_refuses_before_it_opens_the_line(policy: LoadedPolicy, key: Path,
                                               capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    words = ["swap", policy.origin, "--port", "/dev/nonexistent", "--require-signature", str(pub(key))]
    assert cli.main(words) == 1
    assert "not signed" in capsys.readouterr().err
    sign(load_policy(policy.origin), key)
    assert cli.main(words) == 1
    assert "/dev/nonexistent" in capsys.readouterr().err
