"""All links of this peer: the listener, links dialled when something is to be sent, and how many there may be.

Owns who is linked with whom. What goes over a link is `link`'s, who may be at the other end `handshake`'s.
Two peers may dial each other at the same moment: both links are kept, each serves both ways, and the one that
is not used ends by itself.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass

from services.peer.frames import Failure
from services.peer.greeting import greet, part
from services.peer.handshake import Handshake, Identity, Role
from services.peer.link import DEFAULT_LIMITS, Link, LinkLimits, Receive
from services.peer.wire import WireError
from shared.httpcore.errors import ConnectFailed, ConnectionClosed
from shared.httpcore.net.stream import Stream

CONNECT_TIMEOUT_S = 5.0
MAX_LINKS = 256
MAX_GREETING = 64
MAX_LINKS_PER_PEER = 4
SWEEP_S = 1.0
ACCEPT_PAUSE_S = 0.5
END_S = 0.1  # for tasks whose links are closed
_LOG = logging.getLogger("weaprous.peer.links")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a peer listens for links."""

    host: str
    port: int


class UnreachableError(Exception):
    """No link to the peer can be had now. `is_unknown`: nobody has told where it is, so trying again is no use."""

    def __init__(self, message: str, *, is_unknown: bool = False) -> None:
        super().__init__(message)
        self.is_unknown = is_unknown


@dataclass(frozen=True, slots=True)
class LinkEvents:
    """What links ask and tell the rest of the peer."""

    receive: Receive  # stores a message that arrived
    find: Callable[[str], Address | None]  # where a peer is
    on_linked: Callable[[str], None]  # a peer has dialled us, and can be reached that way


class Links:
    """Accepts and dials. Every link runs in a task of its own, kept here until it ends."""

    def __init__(self, identity: Identity, events: LinkEvents, limits: LinkLimits = DEFAULT_LIMITS) -> None:
        self._identity = identity
        self._events = events
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._listener: socket.socket | None = None
        self._greeting: dict[asyncio.Task[None], Stream] = {}  # accepted, oldest first, until they are links
        self._running: dict[Link, asyncio.Task[None]] = {}  # oldest first
        self._dialled: set[Link] = set()
        self._sweep_timer: asyncio.TimerHandle | None = None
        self.accepted_count = self.refused_count = self.dialled_count = 0

    @property
    def count(self) -> int:
        """Links that are open."""
        return len(self._running)

    @property
    def linked_peers(self) -> tuple[str, ...]:
        """The ids at the other ends, in order, each once."""
        return tuple(sorted({link.peer_id for link in self._running}))

    # --- accepting ---------------------------------------------------------------------------------------------

    def start(self, listener: socket.socket) -> None:
        """Links are accepted from now on; `finish` closes the listener."""
        self._listener = listener
        self._loop.add_reader(listener.fileno(), self._on_acceptable, listener)
        self._sweep_timer = self._loop.call_later(SWEEP_S, self._sweep)

    def _on_acceptable(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:  # out of descriptors or memory: wait a little instead of spinning
            _LOG.error("links can't be accepted", extra={"reason": error.strerror, "links": self.count})
            self._loop.remove_reader(listener.fileno())
            self._loop.call_later(ACCEPT_PAUSE_S, self._resume_accepting, listener)
            return
        if len(self._greeting) >= MAX_GREETING:  # whoever is slow to say who he is makes room
            next(iter(self._greeting)).cancel()
        stream = Stream(sock)
        task = self._loop.create_task(self._welcome(stream))
        self._greeting[task] = stream
        task.add_done_callback(self._end_greeting)

    def _resume_accepting(self, listener: socket.socket) -> None:
        if listener is self._listener:
            self._loop.add_reader(listener.fileno(), self._on_acceptable, listener)

    async def _welcome(self, stream: Stream) -> None:
        try:
            link = await self._greet(stream, Handshake(self._identity, Role.SERVER))
        except UnreachableError as error:
            self.refused_count += 1
            _LOG.info("a link was refused", extra={"reason": str(error)})
            return
        if self._make_room(link.peer_id):
            self.accepted_count += 1
            self._adopt(link)
            self._events.on_linked(link.peer_id)
        else:
            self.refused_count += 1
            await part(stream, Failure("too_many_links", f"{MAX_LINKS} links are open and in use"))

    def _end_greeting(self, task: "asyncio.Task[None]") -> None:
        stream = self._greeting.pop(task)
        if task.cancelled():
            stream.close()
        elif (error := task.exception()) is not None:
            stream.close()
            _LOG.error("a link failed", exc_info=error)

    async def _greet(self, stream: Stream, handshake: Handshake) -> Link:
        """A link whose other end has said who it is. UnreachableError; the stream is closed then."""
        try:
            async with asyncio.timeout(self._limits.handshake_s):
                decoder = await greet(stream, handshake)
            return Link(stream, handshake, decoder, self._events.receive, self._limits)
        except WireError as error:
            raise UnreachableError(f"{error.code}: {error.message}") from None
        except ConnectionClosed as error:
            stream.close()
            raise UnreachableError(str(error)) from None
        except TimeoutError:
            stream.close()
            raise UnreachableError(f"no handshake within {self._limits.handshake_s:g} s") from None
        except BaseException:
            stream.close()
            raise

    # --- dialling ----------------------------------------------------------------------------------------------

    async def open(self, peer_id: str) -> Link:
        """A link to the peer: one that is there, else a new one. UnreachableError when none can be had."""
        address = self._events.find(peer_id)
        link = self._find_link(peer_id, may_be_accepted=self._identity.key is not None or address is None)
        if link is not None:
            return link
        if address is None:
            raise UnreachableError("nobody has told where this peer is", is_unknown=True)
        if not self._make_room(peer_id):
            raise UnreachableError(f"{MAX_LINKS} links are open and in use")
        try:
            stream = await Stream.connect(address.host, address.port, CONNECT_TIMEOUT_S)
        except ConnectFailed as error:
            raise UnreachableError(str(error)) from None
        link = await self._greet(stream, Handshake(self._identity, Role.CLIENT, expected_id=peer_id))
        self.dialled_count += 1
        self._dialled.add(link)
        self._adopt(link)
        return link

    def _find_link(self, peer_id: str, *, may_be_accepted: bool) -> Link | None:
        """The newest usable link. Without a key anyone may call himself anything: only links that we dialled count."""
        for link in reversed(self._running):
            if link.peer_id == peer_id and link.is_usable and (may_be_accepted or link in self._dialled):
                return link
        return None

    # --- keeping -----------------------------------------------------------------------------------------------

    def _adopt(self, link: Link) -> None:
        task = self._loop.create_task(link.run())
        self._running[link] = task
        task.add_done_callback(lambda _: self._forget(link))
        _LOG.info("linked", extra={"peer": link.peer_id, "dialled": link in self._dialled})

    def _forget(self, link: Link) -> None:
        task = self._running.pop(link)
        self._dialled.discard(link)
        _LOG.info("a link ended", extra={"peer": link.peer_id, "reason": link.end_reason})
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.error("a link failed", exc_info=error)

    def _make_room(self, peer_id: str) -> bool:
        """Whether one more link may be; the oldest of a peer with too many, or a quiet one, ends for it."""
        of_peer = [link for link in self._running if link.peer_id == peer_id and not link.end_reason]
        if len(of_peer) >= MAX_LINKS_PER_PEER:
            of_peer[0].close("replaced by a newer link")
        open_links = [link for link in self._running if not link.end_reason]
        if len(open_links) < MAX_LINKS:
            return True
        quiet = [link for link in open_links if link.is_quiet]
        if not quiet:
            return False
        min(quiet, key=lambda link: link.last_message_at).close("made room for another link")
        return True

    def _sweep(self) -> None:
        now = self._loop.time()
        for link in list(self._running):
            link.check(now)
        self._sweep_timer = self._loop.call_later(SWEEP_S, self._sweep)

    async def finish(self, timeout_s: float) -> None:
        """No link is accepted, and every one has ended: after its outstanding acks where time allows."""
        if self._listener is not None:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        for task in list(self._greeting):
            task.cancel()
        links = dict(self._running)
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*(link.finish() for link in links))
        except TimeoutError:
            pass
        for link in links:
            link.close("this peer is about to stop")
        if links:
            await asyncio.wait(links.values(), timeout=END_S)
