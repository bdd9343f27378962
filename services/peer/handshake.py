"""Who is at the other end of a link: `hello` both ways and, with a key, `auth` both ways.

Pure: frames in, frames out. Owns the order of the first frames, what the proof is made of, and why a link is
refused. Doesn't own timeouts or sockets (`link`), nor the shape of the frames (`frames`, `wire`).
"""

import enum
import hashlib
import hmac
import secrets
from dataclasses import dataclass

from services.peer.frames import Auth, Failure, Frame, Hello
from services.peer.wire import RefusedError, WireError

MIN_NONCE_CHARS = 16
_LABEL = "weaprous-p2p-1"


class Role(enum.Enum):
    """Which end of the TCP connection: the one that dialled is the client."""

    CLIENT = "client"
    SERVER = "server"


class Stage(enum.Enum):
    """What the handshake waits for."""

    HELLO = "hello"
    AUTH = "auth"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Identity:
    """This peer: its id and, where links are keyed, the key that all peers share."""

    peer_id: str
    key: bytes | None = None


def proof_input(client: Hello, server: Hello, role: Role) -> bytes:
    """The bytes under the HMAC of the end that plays `role`: six lines, each with its LF.

    Ids and nonces can't hold an LF, so no two handshakes share these bytes; the role differs between the two
    ends, so nobody can be answered with his own proof.
    """
    lines = (_LABEL, role.value, client.peer_id, server.peer_id, client.nonce, server.nonce)
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def proof(key: bytes, client: Hello, server: Hello, role: Role) -> str:
    """The `mac` of an `auth` frame: HMAC-SHA256 in lower-case hex."""
    return hmac.new(key, proof_input(client, server, role), hashlib.sha256).hexdigest()


class Handshake:
    """One end's side of the handshake. Send `hello` first, then give `receive` each frame until `is_done`."""

    def __init__(
        self, identity: Identity, role: Role, *, expected_id: str | None = None, nonce: str | None = None
    ) -> None:
        self._key = identity.key
        self._role = role
        self._expected_id = expected_id  # whom the client dialled; None at the server
        self.hello = Hello(identity.peer_id, nonce or secrets.token_hex(16))
        self.stage = Stage.HELLO
        self._other: Hello | None = None

    @property
    def is_done(self) -> bool:
        """Both ends are who they say, as far as a key can tell."""
        return self.stage is Stage.DONE

    @property
    def peer(self) -> Hello:
        """The other end's hello; only once it was read."""
        assert self._other is not None, "no hello yet"
        return self._other

    def receive(self, frame: Frame) -> list[Frame]:
        """Takes the next frame from the other end and returns what to send. Raises a fatal WireError."""
        if isinstance(frame, Failure):
            raise RefusedError(frame.code, f"refused by the other end: {frame.message}")
        if self.stage is Stage.HELLO:
            return self._receive_hello(frame)
        return self._receive_auth(frame)

    def _receive_hello(self, frame: Frame) -> list[Frame]:
        if not isinstance(frame, Hello):
            raise WireError("hello_expected", f"got {_name(frame)} before hello")
        if frame.peer_id == self.hello.peer_id:
            raise WireError("self_connection", f"both ends are {frame.peer_id!r}")
        if self._expected_id is not None and frame.peer_id != self._expected_id:
            raise WireError("wrong_peer", f"got {frame.peer_id!r} where {self._expected_id!r} was dialled")
        self._other = frame
        if self._key is None:
            self.stage = Stage.DONE
            return []
        if len(frame.nonce) < MIN_NONCE_CHARS:
            text = f"this peer wants a key, so hello needs a nonce of {MIN_NONCE_CHARS} characters or more"
            raise WireError("auth_required", text)
        if frame.nonce == self.hello.nonce:
            raise WireError("bad_auth", "the nonce of hello is this peer's own")
        self.stage = Stage.AUTH
        # The client proves itself first: a server says nothing under the key to a stranger.
        return [Auth(self._proof(self._role))] if self._role is Role.CLIENT else []

    def _receive_auth(self, frame: Frame) -> list[Frame]:
        if not isinstance(frame, Auth):
            raise WireError("auth_required", f"got {_name(frame)} before auth")
        other_role = Role.SERVER if self._role is Role.CLIENT else Role.CLIENT
        if not hmac.compare_digest(frame.mac, self._proof(other_role)):
            raise WireError("bad_auth", "the proof doesn't fit: is it the same key?")
        self.stage = Stage.DONE
        return [Auth(self._proof(self._role))] if self._role is Role.SERVER else []

    def _proof(self, role: Role) -> str:
        assert self._key is not None
        ends = (self.hello, self.peer) if self._role is Role.CLIENT else (self.peer, self.hello)
        return proof(self._key, *ends, role)


def _name(frame: Frame) -> str:
    return type(frame).__name__.lower()
