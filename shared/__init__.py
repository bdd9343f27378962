"""What every service stands on: `httpcore` (HTTP and WebSocket on raw sockets) and `runtime` (what a process needs)."""
