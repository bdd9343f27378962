"""Which neighbours are proxies of ours, and who stands behind them. Values in, values out.

nginx's `set_real_ip_from`, `real_ip_header` and `real_ip_recursive`. What is then sent to the upstream is
`forwarding_fields`'.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Network, IPv6Network, ip_address

from shared.httpcore.forwarded import Node, canonical_address, parse_node

Network = IPv4Network | IPv6Network

# Who is behind more hops than that is not looked for: each costs a few µs.
MAX_WALK = 32


class RealIpField(Enum):
    """The field in which trusted hops write whom they serve."""

    X_FORWARDED_FOR = "X-Forwarded-For"
    X_REAL_IP = "X-Real-IP"
    FORWARDED = "Forwarded"


@dataclass(frozen=True, slots=True)
class TrustedHops:
    """Whose word counts, and where it is written. Without networks nobody's.

    `is_recursive`: several trusted hops may stand in a row; the client is the first from the right that is not one
    of them. Otherwise it is the last address of the field, whoever that is.
    """

    networks: tuple[Network, ...] = ()
    field: RealIpField = RealIpField.X_FORWARDED_FOR
    is_recursive: bool = True

    def trusts(self, address: str) -> bool:
        """Whether the address, in its shortest form, lies in one of the networks."""
        if not self.networks:
            return False
        try:
            ip = ip_address(address)
        except ValueError:
            return False
        return any(ip in network for network in self.networks)

    def walk(self, hops: Sequence[Node | None]) -> int:
        """The index of the client in `hops`, what a trusted neighbour said, nearest last; -1 when it said nothing.

        As in nginx the walk ends before what is no address (None): then the last good hop is as far as we can see,
        and when every hop is trusted the farthest is the client.
        """
        found = -1
        for index in range(len(hops) - 1, -1, -1):
            node = hops[index]
            if node is None:
                break
            found = index
            if not self.is_recursive or not self.trusts(node.address):
                break
        return found


def parse_hops(lines: Sequence[str]) -> list[Node | None]:
    """The last `MAX_WALK` addresses of an X-Forwarded-For, all its lines taken together; None for what is none.

    Some proxies add the client's port: `192.0.2.1:80`, `[2001:db8::1]:80`.
    """
    entries = ",".join(lines).rsplit(",", MAX_WALK)[-MAX_WALK:] if lines else []
    return [parse_hop(entry.strip(" \t")) for entry in entries]


def parse_hop(text: str) -> Node | None:
    """One address, with or without a port; IPv6 with or without brackets."""
    if (node := parse_node(text)) is not None:
        return node
    address = canonical_address(text)
    return None if address is None else Node(address)
