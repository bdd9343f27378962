// The connection that stays: events over a WebSocket, resumed where it broke, with pauses that double.

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 15_000;
const STABLE_AFTER_MS = 5_000;

/** How long to wait before attempt N (from 0): doubling, capped, jittered so that pages don't come back at once. */
export function retryDelayMs(attempt, random = Math.random) {
  const ceiling = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** attempt);
  return ceiling / 2 + (random() * ceiling) / 2;
}

/** Events of the proxy until the page is closed. */
export class Feed {
  #url;
  #onEvent;
  #onStatus;
  #socket = null;
  #attempt = 0;
  #lastSeq = 0;
  #retryTimer = 0;
  #stableTimer = 0;

  /** onEvent(event); onStatus({kind: "live" | "retrying", retryAt: milliseconds | null}). */
  constructor(url, onEvent, onStatus) {
    this.#url = url;
    this.#onEvent = onEvent;
    this.#onStatus = onStatus;
  }

  start() {
    const socket = new WebSocket(`${this.#url}?after=${this.#lastSeq}`);
    this.#socket = socket;
    socket.addEventListener("open", () => {
      this.#onStatus({ kind: "live", retryAt: null });
      this.#stableTimer = setTimeout(() => (this.#attempt = 0), STABLE_AFTER_MS);
    });
    socket.addEventListener("message", (message) => this.#receive(message.data));
    socket.addEventListener("close", () => this.#closed(socket));
  }

  /** Tries again now if it is waiting to. */
  nudge() {
    if (this.#socket) return;
    clearTimeout(this.#retryTimer);
    this.start();
  }

  /** The other side has gone silent: give up on this connection and begin anew. */
  restart() {
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) return;
    socket.close();
    this.#closed(socket);
  }

  #receive(data) {
    const event = JSON.parse(data);
    // Numbers begin anew with another process, which sends all it has.
    this.#lastSeq = event.seq;
    this.#onEvent(event);
  }

  #closed(socket) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    clearTimeout(this.#stableTimer);
    const delayMs = retryDelayMs(this.#attempt);
    this.#attempt += 1;
    this.#onStatus({ kind: "retrying", retryAt: Date.now() + delayMs });
    this.#retryTimer = setTimeout(() => this.start(), delayMs);
  }
}
