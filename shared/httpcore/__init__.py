"""HTTP/1.1 and WebSocket on raw sockets; knows nothing of the services that use it.

Pure rooms take and return values and never touch a socket or a clock: `grammar`, `headers`, `message`, `parsing`,
`framing`, `serializing`, `limits`, `errors`, `cookies`, `websocket/`. The rooms that wait on the network are in `net/`.
`routing` and `static` are what an application is written with. Read `parsing` first, then `net/connection`.
"""
