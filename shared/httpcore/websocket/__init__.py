"""WebSocket (RFC 6455, RFC 7692) as values: no socket, no clock, no task.

Read in this order: `frames` (bytes of one frame), `messages` (frames to messages), `protocol` (what is legal
when), `handshake` (how HTTP turns into this), `deflate` (compression). `shared.httpcore.net.websocket` puts
it on a socket.
"""
