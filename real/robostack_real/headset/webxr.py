"""A headset's own browser as the sender: a page over HTTP(S) that reads WebXR and sends poses back by a websocket.

Browsers give WebXR to secure pages only. On loopback plain HTTP counts as one (`adb reverse tcp:8443 tcp:8443` makes
the computer the headset's loopback, over a cable); from elsewhere it takes HTTPS, with a certificate of our own making
that the wearer has to accept once.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
import threading
import time
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from robostack.axes import from_openxr
from robostack_real.headset.poses import TRACKED, Listening

PORT = 8443
LARGEST_BYTES = 4096
HANDSHAKE_S = 2.0
"""that a page may take to say why it comes, and to say good-bye; browsers keep spare connections that say nothing"""
ANOTHER = 4000
"""the code that a page is closed by when it has to give way to another; it then waits longer"""
SILENT_S = 1.0
"""of a headset, after which another may take over: one that lost its network does not say so"""
VALID_DAYS = 3650
PAGE = "webxr.html"


class WebXrHeadset(Listening):
    """Serves the page at `host`:`port`. Any number of pages may be open; one headset at a time may send, another one is
    told so and closed.

    `certificate` is a PEM file of key and certificate, made when it is not there; it is used where `host` is not
    loopback.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = PORT, certificate: Path | None = None) -> None:
        self._loopback = host in ("127.0.0.1", "::1", "localhost")
        self.where = f"{'http' if self._loopback else 'https'}://{host}:{port}/"
        self._host, self._port, self._certificate = host, port, certificate
        super().__init__()
        self._lock = threading.Lock()
        self._open: set[ServerConnection] = set()
        self._sender: tuple[ServerConnection, float] | None = None

    def __enter__(self) -> Self:
        context = None
        if not self._loopback:
            if self._certificate is None:
                raise ConnectionError(f"{self.where}: off this machine a certificate is needed; say where to keep it")
            if not self._certificate.exists():
                make_certificate(self._certificate, self._host)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._certificate)
        try:
            self._server: Server = serve(
                self._handle, self._host, self._port, ssl=context, process_request=_page, max_size=LARGEST_BYTES,
                compression=None, open_timeout=HANDSHAKE_S, close_timeout=HANDSHAKE_S,
            )  # fmt: skip
        except OSError as error:
            raise ConnectionError(f"{self.where}: {error.strerror}; choose another port") from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="WebXR", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        with self._lock:
            left = list(self._open)
        for connection in left:
            connection.close(1001, "the computer ends")
        self._thread.join()

    def _handle(self, connection: ServerConnection) -> None:
        who = connection.remote_address[0]
        self._newest.say(f"page open: {who}")
        with self._lock:
            self._open.add(connection)
        try:
            for message in connection:
                if not self._theirs(connection):
                    self._newest.say(f"a second headset, {who}, was sent away")
                    connection.close(ANOTHER, "another headset sends")
                    return
                self.hear(message)
        except ConnectionClosed:
            pass
        finally:
            with self._lock:
                self._open.discard(connection)
                if self._sender and self._sender[0] is connection:
                    self._sender = None
            self._newest.say(f"page closed: {who}")

    def _theirs(self, connection: ServerConnection) -> bool:
        with self._lock:
            now = time.monotonic()
            if self._sender and self._sender[0] is not connection and now - self._sender[1] < SILENT_S:
                return False
            self._sender = connection, now
            return True

    def hear(self, message: str | bytes) -> None:
        """{"head": [x, y, z, qx, qy, qz, qw], ...} in WebXR's axes; a part that is not seen is left out or null."""
        try:
            parts = json.loads(message)
            if not isinstance(parts, dict):
                raise ValueError("not an object")
            for part in TRACKED:
                if parts.get(part) is None:
                    continue
                numbers = np.array(parts[part], float)
                if numbers.shape != (7,):
                    raise ValueError(f"{part} has {numbers.size} numbers, not 7")
                self._newest.put(part, from_openxr(numbers[:3]), from_openxr(numbers[[6, 3, 4, 5]]))
        except (ValueError, TypeError, RecursionError) as error:
            self._newest.say(f"not a message of our page: {error}")


def _page(connection: ServerConnection, request: Any) -> Any:
    """The page, for whoever asks for no websocket."""
    if request.headers.get("Upgrade", "").lower() == "websocket":
        return None
    if request.path != "/":
        return connection.respond(HTTPStatus.NOT_FOUND, "there is one page, /\n")
    response = connection.respond(HTTPStatus.OK, files(__package__).joinpath(PAGE).read_text(encoding="utf-8"))
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "text/html; charset=utf-8"
    return response


def make_certificate(path: Path, host: str) -> None:
    """A self-signed one for `host` with its key, for ten years, readable by its owner only."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "robostack headset")])
    try:
        known: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(host))]
    except ValueError:
        known = [x509.DNSName(host)]
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(known), critical=False)
        .sign(key, hashes.SHA256())
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
