"""docs/protocol.md says what the code does: its examples, its test vector, its numbers and its error codes."""

import re
from pathlib import Path

from services.peer import courier, frames, greeting, links, messages, outbox, remembered, wire
from services.peer.frames import Auth, Hello, serialize_frame
from services.peer.handshake import Handshake, Identity, Role, proof, proof_input
from services.peer.link import DEFAULT_LIMITS, PERMANENT_CODES
from services.peer.wire import parse_frame

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "protocol.md").read_text("utf-8")
ROOMS = ROOT / "services" / "peer"


def conversation() -> list[tuple[str, bytes]]:
    return [(end, line.encode()) for end, line in re.findall(r"^([<>]) (\{.*\})$", PAGE, re.MULTILINE)]


def test_the_conversation_is_what_is_written_and_read() -> None:
    lines = conversation()
    assert len(lines) == 10
    for _, line in lines:
        assert serialize_frame(parse_frame(line)) == line + b"\n"


def test_the_handshake_of_the_page_succeeds_and_its_test_vector_fits() -> None:
    match = re.search(r"Key \(ASCII\): `([0-9a-f]{64})`", PAGE)
    assert match is not None
    key = match[1].encode()
    told = [parse_frame(line) for _, line in conversation()[:4]]
    client_hello, server_hello, client_auth, server_auth = told
    assert isinstance(client_hello, Hello)
    assert isinstance(server_hello, Hello)
    hex_block = re.search(r"these (\d+) bytes \(hex\):\n\n```\n([0-9a-f\n]+)```", PAGE)
    assert hex_block is not None
    bytes_of_page = bytes.fromhex(hex_block[2].replace("\n", ""))
    assert len(bytes_of_page) == int(hex_block[1])
    assert bytes_of_page == proof_input(client_hello, server_hello, Role.CLIENT)
    for role, auth in ((Role.CLIENT, client_auth), (Role.SERVER, server_auth)):
        mac = proof(key, client_hello, server_hello, role)
        assert f"| {role.value} | `{mac}` |" in PAGE
        assert auth == Auth(mac)
    client = Handshake(Identity("p1", key), Role.CLIENT, expected_id="p2", nonce=client_hello.nonce)
    server = Handshake(Identity("p2", key), Role.SERVER, nonce=server_hello.nonce)
    assert (client.hello, server.hello) == (client_hello, server_hello)
    server.receive(client_hello)
    assert client.receive(server_hello) == [client_auth]
    assert server.receive(client_auth) == [server_auth]
    client.receive(server_auth)
    assert client.is_done


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    plain = " ".join(PAGE.split())
    for words in (
        f"at most {frames.MAX_LINE_BYTES:,} bytes, the LF not counted",
        f"handshake has {DEFAULT_LIMITS.handshake_s:g} seconds",
        f"at most {wire.MAX_CAPABILITIES} texts",
        f"{wire.MIN_MAX_LINE_BYTES:,} or more",
        f"at most {messages.MAX_CONTENT_BYTES:,} bytes of UTF-8",
        f"{courier.ACK_TIMEOUT_S:g} seconds passed",
        f"waits {courier.FIRST_PAUSE_S:g} s, doubled each time up to {courier.MAX_PAUSE_S:g} s",
        f"forgotten after {remembered.REMEMBER_S / 86_400:g} days",
        f"at most {courier.WINDOW} of them (or {courier.WINDOW_BYTES // 1024} KiB of text)",
        f"at most {outbox.MAX_WAITING:,} deliveries",
        f"nothing was heard for {DEFAULT_LIMITS.ping_after_s:g} s",
        f"after {DEFAULT_LIMITS.silence_s:g} s of silence",
        f"After {DEFAULT_LIMITS.idle_s:g} s without a message",
        f"take within {DEFAULT_LIMITS.stall_s:g} s",
        f"at most {links.MAX_LINKS} links, {links.MAX_LINKS_PER_PEER} with one peer",
        f"{links.MAX_GREETING} in the handshake",
        f"while {DEFAULT_LIMITS.max_unanswered} messages wait",
        f"at most {greeting.MAX_DISCARDED_BYTES // 2**20} MiB",
    ):
        assert words in plain, words
    assert remembered.MAX_REMEMBERED == 1_000_000
    assert "beyond the newest million" in plain
    assert greeting.DISCARD_S == 1.0


def test_every_error_code_of_the_code_is_on_the_page_and_no_other() -> None:
    in_code = set()
    for name in ("wire", "handshake", "link", "links"):
        text = (ROOMS / f"{name}.py").read_text("utf-8")
        in_code |= set(re.findall(r'(?:WireError|Failure)\(\s*"([a-z0-9_]+)"', text))
    in_code |= {"bad_frame", "bad_version", "bad_content", "content_too_large"}  # told through `_FieldError`
    in_code.discard("unspecified")
    errors = PAGE[PAGE.index("## Errors") :]
    on_page = {
        code for row in re.findall(r"^\| (`.*?) \|", errors, re.MULTILINE) for code in re.findall(r"`(\w+)`", row)
    }
    assert on_page == in_code
    permanent = {
        code for row in re.findall(r"^\| (`.*?) \| no \|", errors, re.MULTILINE) for code in re.findall(r"`(\w+)`", row)
    }
    assert permanent == PERMANENT_CODES
