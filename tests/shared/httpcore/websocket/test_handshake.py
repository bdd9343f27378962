"""Handshakes as values: a server's answers, a client's reading of them, and the fields in between."""

import pytest

from shared.httpcore.errors import HttpError, ProtocolError
from shared.httpcore.headers import Headers
from shared.httpcore.websocket.deflate import Deflate
from shared.httpcore.websocket.handshake import (
    Agreement,
    accept_handshake,
    accept_key,
    check_reply,
    new_key,
    offer_handshake,
    parse_extensions,
)

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
DEFLATE = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
REQUEST = [
    ("Host", "server.example.com"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", KEY),
    ("Sec-WebSocket-Version", "13"),
]


def replaced(pairs: list[tuple[str, str]], name: str, *values: str) -> Headers:
    kept = [pair for pair in pairs if pair[0] != name]
    return Headers([*kept, *((name, value) for value in values)])


def test_the_key_is_answered_as_in_the_example_of_the_rfc() -> None:
    assert accept_key(KEY) == ACCEPT  # RFC 6455 §1.3


def test_keys_are_sixteen_bytes_and_never_the_same() -> None:
    keys = {new_key() for _ in range(50)}
    assert len(keys) == 50
    assert all(len(key) == 24 for key in keys)


def test_a_plain_handshake_is_accepted() -> None:
    agreement = accept_handshake("GET", 1, Headers(REQUEST))
    assert agreement == Agreement((("Upgrade", "websocket"), ("Sec-WebSocket-Accept", ACCEPT)))


def test_a_body_of_no_length_is_none() -> None:
    assert accept_handshake("GET", 1, replaced(REQUEST, "Content-Length", "0")).headers


@pytest.mark.parametrize(
    ("name", "value"),
    [("Upgrade", "WebSocket"), ("Upgrade", "h2c, websocket"), ("Connection", "keep-alive, UPGRADE")],
)
def test_tokens_match_in_any_case_and_in_lists(name: str, value: str) -> None:
    assert accept_handshake("GET", 1, replaced(REQUEST, name, value)).headers


# name, method, minor version, fields, status, words of the message, fields of the reply
REFUSED = [
    ("no upgrade", "GET", 1, replaced(REQUEST, "Upgrade"), 426, "WebSocket only", {"Upgrade": "websocket"}),
    ("another protocol", "GET", 1, replaced(REQUEST, "Upgrade", "h2c"), 426, "WebSocket only", {}),
    ("Connection does not name it", "GET", 1, replaced(REQUEST, "Connection", "close"), 426, "WebSocket only", {}),
    ("POST", "POST", 1, Headers(REQUEST), 400, "got POST HTTP/1.1, expected GET HTTP/1.1", {}),
    ("HTTP/1.0", "GET", 0, Headers(REQUEST), 400, "got GET HTTP/1.0, expected GET HTTP/1.1", {}),
    ("a body", "GET", 1, replaced(REQUEST, "Content-Length", "5"), 400, "with a body", {}),
    ("a chunked body", "GET", 1, replaced(REQUEST, "Transfer-Encoding", "chunked"), 400, "with a body", {}),
    ("no version", "GET", 1, replaced(REQUEST, "Sec-WebSocket-Version"), 426, "Version: 13",
     {"Sec-WebSocket-Version": "13"}),
    ("version 8", "GET", 1, replaced(REQUEST, "Sec-WebSocket-Version", "8"), 426, "Version: 13",
     {"Sec-WebSocket-Version": "13", "Upgrade": "websocket"}),
    ("two versions", "GET", 1, replaced(REQUEST, "Sec-WebSocket-Version", "13", "13"), 426, "Version: 13", {}),
    ("no key", "GET", 1, replaced(REQUEST, "Sec-WebSocket-Key"), 400, "one Sec-WebSocket-Key", {}),
    ("two keys", "GET", 1, replaced(REQUEST, "Sec-WebSocket-Key", KEY, KEY), 400, "one Sec-WebSocket-Key", {}),
    ("short key", "GET", 1, replaced(REQUEST, "Sec-WebSocket-Key", "AAAA"), 400, "16 bytes in base64", {}),
    ("key not base64", "GET", 1, replaced(REQUEST, "Sec-WebSocket-Key", "*" * 24), 400, "16 bytes in base64", {}),
    ("key not ASCII", "GET", 1, replaced(REQUEST, "Sec-WebSocket-Key", "é" * 24), 400, "16 bytes in base64", {}),
    ("odd extensions", "GET", 1, replaced(REQUEST, "Sec-WebSocket-Extensions", "a=b=c"), 400, "got 'a=b=c'", {}),
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=[case[0] for case in REFUSED])
def test_what_is_no_handshake_is_refused(
    case: tuple[str, str, int, Headers, int, str, dict[str, str]],
) -> None:
    _, method, minor, headers, status, words, fields = case
    with pytest.raises(HttpError) as refused:
        accept_handshake(method, minor, headers)
    assert refused.value.status == status
    assert words in refused.value.message
    assert dict(refused.value.headers).items() >= fields.items()


def test_a_subprotocol_is_agreed_on_only_when_both_speak_it() -> None:
    offer = replaced(REQUEST, "Sec-WebSocket-Protocol", "soap, chat.v1")
    assert accept_handshake("GET", 1, offer, "chat.v1").subprotocol == "chat.v1"
    assert ("Sec-WebSocket-Protocol", "chat.v1") in accept_handshake("GET", 1, offer, "chat.v1").headers
    assert accept_handshake("GET", 1, offer, "CHAT.v1").subprotocol is None
    assert accept_handshake("GET", 1, offer).subprotocol is None
    assert accept_handshake("GET", 1, Headers(REQUEST), "chat.v1").subprotocol is None


# name, what the client offers, what the server answers (None: no extension), its window
OFFERS = [
    ("plain", "permessage-deflate", DEFLATE, 15),
    ("as Chromium", "permessage-deflate; client_max_window_bits", DEFLATE, 15),
    ("a client's window", "permessage-deflate; client_max_window_bits=10", DEFLATE, 15),
    ("a server's window", "permessage-deflate; server_max_window_bits=9", f"{DEFLATE}; server_max_window_bits=9", 9),
    ("in quotes", 'permessage-deflate; server_max_window_bits="10"', f"{DEFLATE}; server_max_window_bits=10", 10),
    ("in capitals", "Permessage-Deflate", DEFLATE, 15),
    ("second choice", "x-webkit-deflate-frame, permessage-deflate; nonsense, permessage-deflate", DEFLATE, 15),
    ("unknown extension", "x-webkit-deflate-frame", None, 0),
    ("unknown parameter", "permessage-deflate; nonsense", None, 0),
    ("a value where none belongs", "permessage-deflate; server_no_context_takeover=1", None, 0),
    ("a repeated parameter", "permessage-deflate; client_max_window_bits; client_max_window_bits=9", None, 0),
    ("a window too small for zlib", "permessage-deflate; server_max_window_bits=8", None, 0),
    ("a window too large", "permessage-deflate; server_max_window_bits=16", None, 0),
    ("a window with a zero in front", "permessage-deflate; server_max_window_bits=09", None, 0),
    ("a window without a value", "permessage-deflate; server_max_window_bits", None, 0),
]


@pytest.mark.parametrize(
    ("offer", "answer", "window_bits"), [case[1:] for case in OFFERS], ids=[case[0] for case in OFFERS]
)
def test_compression_is_negotiated(offer: str, answer: str | None, window_bits: int) -> None:
    agreement = accept_handshake("GET", 1, replaced(REQUEST, "Sec-WebSocket-Extensions", offer))
    assert dict(agreement.headers).get("Sec-WebSocket-Extensions") == answer
    assert agreement.deflate == (Deflate(window_bits) if answer else None)


def test_compression_can_be_declined() -> None:
    offer = replaced(REQUEST, "Sec-WebSocket-Extensions", "permessage-deflate")
    assert accept_handshake("GET", 1, offer, compresses=False).deflate is None


def test_extensions_of_several_lines_are_one_list() -> None:
    headers = Headers([("Sec-WebSocket-Extensions", "A; b; c=d"), ("Sec-WebSocket-Extensions", ' , e;f="g" ')])
    assert parse_extensions(headers) == [("a", (("b", None), ("c", "d"))), ("e", (("f", "g"),))]


@pytest.mark.parametrize("value", ["a b", ";a", "a;", 'a="b c"', "a=b", "a;b=", "a;=b"])
def test_malformed_extensions_are_an_error(value: str) -> None:
    with pytest.raises(ValueError, match="Sec-WebSocket-Extensions"):
        parse_extensions(Headers([("Sec-WebSocket-Extensions", value)]))


# --- the client's side
# ---------------------------------------------------------------------------------------


def reply_fields(*extra: tuple[str, str]) -> list[tuple[str, str]]:
    return [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", ACCEPT), *extra]


def test_an_offer_of_ours_is_accepted_by_ourselves() -> None:
    offer = offer_handshake(KEY, ["chat"])
    server = accept_handshake("GET", 1, Headers(offer), "chat")
    client = check_reply(101, Headers([*server.headers, ("Connection", "Upgrade")]), KEY, ["chat"])
    assert client == Agreement((), "chat", Deflate())
    assert server.deflate == Deflate()


def test_an_offer_without_compression_or_subprotocols_has_no_such_fields() -> None:
    assert [name for name, _ in offer_handshake(KEY, compresses=False)] == [
        "Upgrade",
        "Connection",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
    ]


# name, status, fields of the reply, words of the error
BAD_REPLIES = [
    ("refused", 403, [], "got status 403, expected 101"),
    ("no upgrade", 101, replaced(reply_fields(), "Upgrade"), "does not upgrade"),
    ("another upgrade", 101, replaced(reply_fields(), "Upgrade", "h2c"), "does not upgrade"),
    ("not named", 101, replaced(reply_fields(), "Connection"), "does not upgrade"),
    ("no answer", 101, replaced(reply_fields(), "Sec-WebSocket-Accept"), "does not answer our key"),
    ("wrong answer", 101, replaced(reply_fields(), "Sec-WebSocket-Accept", "x"), "does not answer our key"),
    ("two answers", 101, reply_fields(("Sec-WebSocket-Accept", ACCEPT)), "does not answer our key"),
    ("unasked subprotocol", 101, reply_fields(("Sec-WebSocket-Protocol", "soap")), "the subprotocol 'soap'"),
    ("unasked extension", 101, reply_fields(("Sec-WebSocket-Extensions", "mux")), "the extension 'mux'"),
    ("takeover", 101, reply_fields(("Sec-WebSocket-Extensions", "permessage-deflate")), "did not confirm"),
    ("no such window", 101, reply_fields(("Sec-WebSocket-Extensions", f"{DEFLATE}; client_max_window_bits=7")),
     "client_max_window_bits=7, which was not offered"),
    ("a window without bits", 101, reply_fields(("Sec-WebSocket-Extensions", f"{DEFLATE}; client_max_window_bits")),
     "client_max_window_bits=None, which was not offered"),
    ("twice", 101, reply_fields(("Sec-WebSocket-Extensions", f"{DEFLATE}, {DEFLATE}")), "was not offered"),
    ("malformed", 101, reply_fields(("Sec-WebSocket-Extensions", "a b")), "got 'a b'"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "fields", "words"), [case[1:] for case in BAD_REPLIES], ids=[case[0] for case in BAD_REPLIES]
)
def test_a_reply_that_is_no_yes_is_an_error(status: int, fields: list[tuple[str, str]] | Headers, words: str) -> None:
    with pytest.raises(ProtocolError, match="no WebSocket") as refused:
        check_reply(status, Headers(fields), KEY)
    assert words in refused.value.message
    assert refused.value.status == 502


def test_an_extension_is_refused_when_none_was_offered() -> None:
    fields = Headers(reply_fields(("Sec-WebSocket-Extensions", DEFLATE)))
    with pytest.raises(ProtocolError, match="none was offered"):
        check_reply(101, fields, KEY, compresses=False)


def test_a_server_may_choose_the_window_that_we_compress_with() -> None:
    """RFC 7692 §7.1.2.2; Autobahn's cases 13.3 to 13.6."""
    fields = reply_fields(("Sec-WebSocket-Extensions", f"{DEFLATE}; client_max_window_bits=10"))
    agreed = check_reply(101, Headers(fields), KEY)
    assert agreed.deflate is not None
    assert agreed.deflate.window_bits == 10
