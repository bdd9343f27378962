"""How busy this replica is: what the tracker is told as `load`, for the policy least-load."""


class InFlight:
    """`with in_flight:` around whatever takes time. A handler that ends in one step is never in flight when asked."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, *_: object) -> None:
        self.count -= 1
