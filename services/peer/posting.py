"""`POST /p2p/msg` and `send` over a WebSocket: who may post what as whom, and what he is told of it.

Owns the rules about `from`, the ids of messages without one, and the reply. What becomes of the message is
`delivery`'s.
"""

import secrets
import time
from collections.abc import Mapping
from typing import Any

from services.peer.delivery import Delivery, Receipt
from services.peer.messages import Message, Post, parse_post
from services.peer.outbox import State
from services.peer.refusals import errors_as_replies
from shared.httpcore.errors import HttpError
from shared.runtime.key_check import Caller

STATUS_CODES = {"stored": 200, "delivered": 200, "queued": 202}


async def post(delivery: Delivery, fields: Mapping[str, Any], caller: Caller) -> dict[str, object]:
    """The message is kept; the reply says what became of it so far. HttpError when it is refused."""
    with errors_as_replies():
        asked = parse_post(fields)
        sender = require_sender(asked, caller, delivery.own_id)
        message_id = asked.id or secrets.token_hex(16)
        to = asked.to or (delivery.own_id if asked.channel is None else None)
        message = Message(message_id, sender, to, asked.channel, asked.content, time.time())
        receipt = await delivery.post(message)
    if receipt.status == State.REJECTED.value:
        raise HttpError(502, "rejected", _describe_rejection(receipt))
    if receipt.status == State.REMOVED.value:
        raise HttpError(410, "removed", f"message {message_id} was taken back before it was delivered")
    return _reply(receipt, delivery.own_id)


def require_sender(asked: Post, caller: Caller, own_id: str) -> str:
    """The `from` of the message. HttpError 403 when this caller can't post as that peer here."""
    sender = asked.sender or own_id
    if sender == own_id:
        return sender
    is_for_own_inbox = asked.to == own_id or (asked.to is None and asked.channel is None)
    # Deliberate: as the coursework had it, whoever holds the key may leave a message of any peer in its target's inbox.
    if not is_for_own_inbox:
        raise HttpError(403, "not_your_peer", f"from: got {sender!r}, but this peer sends only as {own_id!r}")
    if caller.kind == "user":
        raise HttpError(403, "not_your_peer", f"from: got {sender!r}, but {caller.name} posts here only as {own_id!r}")
    return sender


def _reply(receipt: Receipt, own_id: str) -> dict[str, object]:
    if receipt.is_stored:
        targets = [{"peer_id": own_id, "status": receipt.status}]
    else:
        targets = [{"peer_id": each.peer_id, "status": each.state.value} for each in receipt.targets or ()]
    return {"id": receipt.message_id, "status": receipt.status, "targets": targets}


def _describe_rejection(receipt: Receipt) -> str:
    rejected = (target for target in receipt.targets or () if target.state is State.REJECTED)
    return "; ".join(f"{target.peer_id}: {target.error}" for target in rejected)[:500]
