"""What a location answers by itself: `allow` and `deny`, then `return`. Pure: a request in, a reply out.

Which location takes the request is `routing`'s to say; pages for errors are made where HttpError is caught.
"""

import ipaddress
from collections.abc import Sequence

from services.proxy.config_values import AddressRule, Answer, LocationConfig
from services.proxy.templates import RequestFacts
from shared.httpcore.errors import HttpError
from shared.httpcore.message import Request, Response
from shared.httpcore.serializing import BODILESS, REASONS


def own_answer(request: Request, location: LocationConfig) -> Response | None:
    """The reply that needs no upstream; None when the request is to be forwarded. HttpError 403 for an address
    that is denied.

    Deliberate: `deny` comes before `return`, unlike in nginx, where a `return` answers everybody.
    """
    rules = location.settings.address_rules
    if rules and not is_allowed(rules, request.remote_ip):
        raise HttpError(403, "address_denied", "this address may not come here")
    return _answer(request, location.answer) if location.answer is not None else None


def is_allowed(rules: Sequence[AddressRule], remote_ip: str) -> bool:
    """Whether the first rule that fits says so; where none fits, yes."""
    try:
        address = ipaddress.ip_address(remote_ip)
    except ValueError:
        return all(rule.is_allowed for rule in rules)  # nobody knows who it is: only where nobody is denied
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    for rule in rules:
        if rule.network is None or address in rule.network:
            return rule.is_allowed
    return True


def _answer(request: Request, answer: Answer) -> Response:
    status = answer.status
    text = answer.text.render(RequestFacts(request, "")) if answer.text is not None else None
    if answer.is_redirect:
        return Response.redirect(text or "/", status)
    if status in BODILESS:
        return Response(status)
    if text is None and status >= 400:
        raise HttpError(status, "returned", REASONS[status])
    return Response.text(text or "", status)
