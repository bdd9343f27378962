"""The metrics of every HTTP server: how many requests, how long they took. Fed by the server's `on_response`."""

from shared.runtime.metrics import CounterChild, MetricsRegistry

# Any token is a method (RFC 9110 §9.1), so a client could make a new time series with each request.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"})


class HttpMetrics:
    """`weaprous_http_requests_total{method, status}` and `weaprous_http_request_duration_seconds`."""

    def __init__(self, registry: MetricsRegistry) -> None:
        self._requests = registry.counter(
            "weaprous_http_requests_total", "Replies sent, by method and class of status.", ("method", "status")
        )
        self._durations = registry.histogram(
            "weaprous_http_request_duration_seconds",
            "From the request's head to the end of the reply; upgraded connections are left out.",
        ).labels()
        self._bytes = registry.counter("weaprous_http_response_body_bytes_total", "Bytes of bodies sent.").labels()
        self._children: dict[str, dict[int, CounterChild]] = {method: {} for method in _METHODS}

    def record(self, method: str, status: int, body_bytes: int, duration_s: float) -> None:
        """Count one reply."""
        try:
            child = self._children[method][status]
        except KeyError:
            child = self._find_child(method, status)
        child.value += 1
        self._bytes.value += body_bytes
        if status != 101:
            self._durations.observe(duration_s)

    def _find_child(self, method: str, status: int) -> CounterChild:
        known = method in _METHODS
        child = self._requests.labels(method if known else "other", f"{status // 100}xx")
        if known:
            self._children[method][status] = child
        return child
