"""A server that answers with bytes which no proxy may pass on, and remembers every byte that it was sent.

Run inside a container with the whole text as `python -c`, so it imports the standard library only. `/hostile/NAME` gets
the reply of that name, `/hostile/well` its own target, `/hostile/seen` all that came since the start. Connections stay
open, for a reply that is passed on wrongly does its harm in the next one.
"""

import re
import socket
import threading

POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
OK = b"HTTP/1.1 200 OK\r\n"

# Never to be taken for a reply: the client gets a 502, or sees its reply cut.
MALFORMED = {
    "two-lengths": OK + b"Content-Length: 2\r\nContent-Length: 47\r\n\r\nok" + POISON,
    "length-list": OK + b"Content-Length: 2, 47\r\n\r\nok" + POISON,
    "length-and-chunks": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + POISON,
    "signed-length": OK + b"Content-Length: +2\r\n\r\nok" + POISON,
    "hexadecimal-length": OK + b"Content-Length: 0x2\r\n\r\nok" + POISON,
    "unknown-coding": OK + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + POISON,
    "chunked-twice": OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + POISON,
    "folded-field": OK + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\nok" + POISON,
    "space-before-colon": OK + b"Content-Length : 2\r\n\r\nok" + POISON,
    "bare-line-feed": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok" + POISON,
    "nul-in-field": OK + b"X: a\x00b\r\nContent-Length: 2\r\n\r\nok" + POISON,
    "carriage-return-in-field": OK + b"X: a\rSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok" + POISON,
    "short-status": b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok" + POISON,
    "other-version": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok" + POISON,
    "no-http": b"220 mail.example ESMTP\r\n" + POISON,
    "unasked-101": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + POISON,
    "odd-chunk-size": OK + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\nok\r\n0\r\n\r\n" + POISON,
    "signed-chunk-size": OK + b"Transfer-Encoding: chunked\r\n\r\n-2\r\nok\r\n0\r\n\r\n" + POISON,
    "chunk-without-end": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nokXX0\r\n\r\n" + POISON,
    "chunk-line-feed": OK + b"Transfer-Encoding: chunked\r\n\r\n2\nok\n0\n\n" + POISON,
}
# Whole replies with something behind them: they are passed on, what follows is not.
TRAILED = {
    "a-second-reply": OK + b"Content-Length: 2\r\n\r\nok" + POISON,
    "chunks-and-more": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + POISON,
    "no-content-with-body": b"HTTP/1.1 204 No Content\r\n\r\n" + POISON,
    "not-modified-with-body": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok" + POISON,
}
REPLIES = {**MALFORMED, **TRAILED}

seen: list[bytes] = []


def serve(sock: socket.socket) -> None:
    """Answers one request after the other until the other side ends the connection."""
    data = b""
    with sock:
        while True:
            while (request := re.match(rb"(.*?)\r\n\r\n", data, re.DOTALL)) is None:
                received = sock.recv(65536)
                if not received:
                    return
                seen.append(received)
                data += received
            length = re.search(rb"(?i)content-length: (\d+)", request[1])
            data = data[
                request.end() + (int(length[1]) if length else 0) :
            ]  # bodies are small: they came with the head
            sock.sendall(reply_to(request[1].split(b" ")[1]))


def reply_to(target: bytes) -> bytes:
    name = target.decode("latin-1").removeprefix("/hostile/").partition("?")[0]
    if name in REPLIES:
        return REPLIES[name]
    body = b"".join(seen) if name == "seen" else target
    return OK + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def main() -> None:
    listener = socket.create_server(("", 7000))
    print("listening", flush=True)
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve, args=(sock,), daemon=True).start()


if __name__ == "__main__":
    main()
