"""An asyncio event loop whose `add_reader` and `add_writer` cost a dictionary look-up an event.

asyncio wraps every readiness callback in a handle, queues it and runs it in a context of its own, about a microsecond
each time; a connection's callbacks need none of that. Here they are called as `epoll` reports them, before what
`call_soon` has queued. Everything else (tasks, timers, signals, asyncio's own sockets) goes its ordinary way.

A turn is what one `epoll` call reports. Sends can wait for its end (`call_at_turn_end`): one behind the other they find
the other sides awake, where a send now and then wakes each of them anew, which costs as much as the whole handler.
"""

import asyncio
import math
import select
import selectors
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")
Callback = Callable[[], object]

MAX_EVENTS = 512  # a turn
MAX_PUT_OFF = 64  # calls put off to the end of the turn, then they are made, so that nobody waits long for a reply


class ReadinessSelector(selectors.BaseSelector):
    """`epoll` for two kinds of files: asyncio's, reported by `select`, and those whose callbacks `select` calls."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._keys: dict[int, selectors.SelectorKey] = {}  # asyncio's
        self._readers: dict[int, Callback] = {}
        self._writers: dict[int, Callback] = {}
        self._new: set[int] = set()  # registered in this turn, whose events must be another file's of the same number
        self._put_off: list[Callback] = []
        self._is_in_turn = False
        self.on_error: Callable[[BaseException, Callback], None] | None = None

    # --- files with callbacks ----------------------------------------------------------------------------------

    def set_reader(self, fd: int, callback: Callback) -> None:
        """`callback` is called whenever the file is readable, has ended or has failed. ValueError for asyncio's."""
        self._set(self._readers, fd, callback)

    def set_writer(self, fd: int, callback: Callback) -> None:
        """`callback` is called whenever the file is writable or has failed. ValueError for asyncio's."""
        self._set(self._writers, fd, callback)

    def drop_reader(self, fd: int) -> bool:
        """No more calls; whether there was a callback. Not later than the file is closed."""
        return self._drop(self._readers, fd)

    def drop_writer(self, fd: int) -> bool:
        """As `drop_reader`."""
        return self._drop(self._writers, fd)

    def put_off(self, callback: Callback) -> None:
        """`callback` is called at the end of the turn; at once when there is none."""
        if not self._is_in_turn:
            callback()
            return
        self._put_off.append(callback)
        if len(self._put_off) >= MAX_PUT_OFF:
            self._call_put_off()

    def _call_put_off(self) -> None:
        callbacks, self._put_off = self._put_off, []
        for callback in callbacks:
            try:
                callback()
            except BaseException as error:
                self._report(error, callback)

    def _set(self, callbacks: dict[int, Callback], fd: int, callback: Callback) -> None:
        if fd in callbacks:
            callbacks[fd] = callback
            return
        if fd in self._keys:
            raise ValueError(f"file descriptor {fd} is used by asyncio itself")
        is_new = fd not in self._readers and fd not in self._writers
        callbacks[fd] = callback
        try:
            if is_new:
                self._epoll.register(fd, self._mask(fd))
                self._new.add(fd)
            else:
                self._epoll.modify(fd, self._mask(fd))
        except BaseException:
            del callbacks[fd]
            raise

    def _drop(self, callbacks: dict[int, Callback], fd: int) -> bool:
        if callbacks.pop(fd, None) is None:
            return False
        mask = self._mask(fd)
        try:
            if mask:
                self._epoll.modify(fd, mask)
            else:
                self._epoll.unregister(fd)
        except OSError:
            pass  # closed already, which took it out
        return True

    def _mask(self, fd: int) -> int:
        return (select.EPOLLIN if fd in self._readers else 0) | (select.EPOLLOUT if fd in self._writers else 0)

    # --- what asyncio asks -------------------------------------------------------------------------------------

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        if fd in self._keys or fd in self._readers or fd in self._writers:
            raise KeyError(f"file descriptor {fd} is registered already")
        self._epoll.register(fd, _epoll_mask(events))
        self._new.add(fd)
        key = self._keys[fd] = selectors.SelectorKey(fileobj, fd, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        key = self._keys.pop(fileobj if isinstance(fileobj, int) else fileobj.fileno())
        try:
            self._epoll.unregister(key.fd)
        except OSError:
            pass  # closed already
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = self.get_key(fileobj)
        if events != key.events:
            self._epoll.modify(key.fd, _epoll_mask(events))
        key = self._keys[key.fd] = selectors.SelectorKey(fileobj, key.fd, events, data)
        return key

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys[fileobj if isinstance(fileobj, int) else fileobj.fileno()]

    def close(self) -> None:
        self._epoll.close()
        self._keys.clear()
        self._readers.clear()
        self._writers.clear()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Calls the callbacks that are due; the events of asyncio's own files."""
        self._new.clear()
        try:
            # Rounded up to a millisecond, epoll's unit: a timer must not fire early and spin.
            events = self._epoll.poll(-1 if timeout is None else math.ceil(max(timeout, 0) * 1e3) * 1e-3, MAX_EVENTS)
        except InterruptedError:
            return []
        readers, new = self._readers, self._new
        ready: list[tuple[selectors.SelectorKey, int]] = []
        self._is_in_turn = True
        try:
            for fd, event in events:
                if event == 1 and not new and (callback := readers.get(fd)) is not None:  # EPOLLIN, the most common
                    try:
                        callback()
                    except BaseException as error:
                        self._report(error, callback)
                elif fd not in new:
                    self._dispatch(fd, event, ready)
        finally:
            self._is_in_turn = False
            while self._put_off:
                self._call_put_off()
        # A callback may have closed a file of asyncio's whose event came before its own.
        return [each for each in ready if self._keys.get(each[0].fd) is each[0]] if ready else ready

    def _dispatch(self, fd: int, event: int, ready: list[tuple[selectors.SelectorKey, int]]) -> None:
        """Any event of any file. As asyncio has it, a failure is told to the reader and to the writer."""
        key = self._keys.get(fd)
        if key is not None:
            found = (selectors.EVENT_READ if event & ~select.EPOLLOUT else 0) | (
                selectors.EVENT_WRITE if event & ~select.EPOLLIN else 0
            )
            if found & key.events:
                ready.append((key, found & key.events))
            return
        for callbacks, other in ((self._readers, select.EPOLLOUT), (self._writers, select.EPOLLIN)):
            callback = callbacks.get(fd) if event & ~other else None
            if callback is not None and fd not in self._new:
                try:
                    callback()
                except BaseException as error:
                    self._report(error, callback)

    def _report(self, error: BaseException, callback: Callback) -> None:
        """As asyncio has it, what ends the process passes; a stray CancelledError is a mistake like any other."""
        if self.on_error is None or isinstance(error, SystemExit | KeyboardInterrupt):
            raise error
        self.on_error(error, callback)


def _epoll_mask(events: int) -> int:
    return (select.EPOLLIN if events & selectors.EVENT_READ else 0) | (
        select.EPOLLOUT if events & selectors.EVENT_WRITE else 0
    )


class EventLoop(asyncio.SelectorEventLoop):
    """The loop; for Linux, where `epoll` is."""

    def __init__(self) -> None:
        self._readiness = ReadinessSelector()
        super().__init__(self._readiness)
        self._readiness.on_error = self._on_callback_error

    def add_reader(self, fd: Any, callback: Callable[..., object], *args: object) -> None:
        """`callback(*args)` is called whenever the file is readable; it takes the place of an earlier one."""
        self._readiness.set_reader(_fileno(fd), partial(callback, *args) if args else callback)

    def remove_reader(self, fd: Any) -> bool:
        """Whether there was one; asyncio calls this for its own, too."""
        return self._readiness.drop_reader(_fileno(fd)) or super().remove_reader(fd)

    def add_writer(self, fd: Any, callback: Callable[..., object], *args: object) -> None:
        """`callback(*args)` is called whenever the file is writable; it takes the place of an earlier one."""
        self._readiness.set_writer(_fileno(fd), partial(callback, *args) if args else callback)

    def remove_writer(self, fd: Any) -> bool:
        """As `remove_reader`."""
        return self._readiness.drop_writer(_fileno(fd)) or super().remove_writer(fd)

    def call_at_turn_end(self, callback: Callback) -> None:
        """`callback` is called when all files that are ready now have had their turn; at once outside of a turn."""
        self._readiness.put_off(callback)

    def _on_callback_error(self, error: BaseException, callback: Callback) -> None:
        self.call_exception_handler({"message": f"Exception in callback {callback!r}", "exception": error})


def _fileno(file: Any) -> int:
    return file if isinstance(file, int) else int(file.fileno())


def turn_end_of(loop: asyncio.AbstractEventLoop) -> Callable[[Callback], None]:
    """What puts a call off to the end of the turn; in other loops than ours it is made at once."""
    return loop._readiness.put_off if isinstance(loop, EventLoop) else _call_now  # without the call through the loop


def _call_now(callback: Callback) -> None:
    callback()


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A loop for a service: the quick one where the system has `epoll`, else asyncio's own."""
    return EventLoop() if hasattr(select, "epoll") else asyncio.new_event_loop()


def run(main: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, in the loop of the services."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)
