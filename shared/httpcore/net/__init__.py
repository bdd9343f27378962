"""The rooms that touch sockets and the clock: streams, the server, its connections, the client and its pool."""
