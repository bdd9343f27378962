// The one place for connections that stay: a WebSocket that comes back by itself and resumes where it was, and a
// watch by long poll for services that answer `?since=&wait=`. Both tell their status as
// {status: "connecting" | "live" | "retrying", problem, retryInS}; the owner says what to do with what arrives.

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 15_000;
const PING_EVERY_MS = 25_000;
const HELLO_WITHIN_MS = 15_000;
const PONG_WITHIN_MS = 10_000;
const SHORTEST_POLL_MS = 120;
const EARLY_ANSWER_PAUSE_MS = 1_000;
const PAGE_SIZE = 500;

/** How long to wait before attempt N (from 0): doubling, capped, and jittered so that pages don't come back at once. */
export function retryDelayMs(attempt, random = Math.random) {
  const ceiling = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** attempt);
  return ceiling / 2 + (random() * ceiling) / 2;
}

/** Fetches what lies after `after`, page by page, until `until` or an empty page. Yields arrays of messages. */
export async function* pagesAfter(fetchPage, after, until) {
  let position = after;
  while (position < until) {
    const messages = await fetchPage(position, PAGE_SIZE);
    if (messages.length === 0) return;
    yield messages;
    position = messages[messages.length - 1].seq;
  }
}

/** A WebSocket of JSON objects that reconnects until stopped. */
export class LiveSocket {
  #options;
  #socket = null;
  #attempt = 0;
  #retryTimer = 0;
  #pingTimer = 0;
  #silenceTimer = 0;
  #isRunning = false;

  /** options: url, onMessage(object), onStatus(status), explain() → Promise of the ApiError that names the cause. */
  constructor(options) {
    this.#options = options;
  }

  start() {
    this.#isRunning = true;
    this.#options.onStatus({ status: "connecting", problem: null, retryInS: 0 });
    this.#connect();
  }

  stop() {
    this.#isRunning = false;
    clearTimeout(this.#retryTimer);
    this.#drop();
  }

  /** Gives this connection up as broken and comes back as after any break. */
  restart() {
    if (this.#socket) this.#closed(this.#socket);
  }

  /** Tries again now if it is waiting to. */
  nudge() {
    if (!this.#isRunning || this.#socket) return;
    clearTimeout(this.#retryTimer);
    this.#connect();
  }

  #connect() {
    const socket = new WebSocket(this.#options.url);
    this.#socket = socket;
    this.#silenceTimer = setTimeout(() => this.#closed(socket), HELLO_WITHIN_MS);
    socket.addEventListener("message", (event) => this.#receive(socket, event.data));
    socket.addEventListener("close", () => this.#closed(socket));
  }

  #receive(socket, data) {
    if (socket !== this.#socket) return;
    clearTimeout(this.#silenceTimer);
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    if (message.type === "hello") {
      this.#attempt = 0;
      this.#options.onStatus({ status: "live", problem: null, retryInS: 0 });
      this.#keepAwake(socket);
    }
    if (message.type !== "pong") this.#options.onMessage(message);
  }

  /** A laptop that slept keeps a dead socket open: ask, and start afresh when nothing comes back. */
  #keepAwake(socket) {
    clearInterval(this.#pingTimer);
    this.#pingTimer = setInterval(() => {
      if (socket.readyState !== WebSocket.OPEN) return;
      socket.send('{"type":"ping"}');
      clearTimeout(this.#silenceTimer);
      this.#silenceTimer = setTimeout(() => this.#closed(socket), PONG_WITHIN_MS);
    }, PING_EVERY_MS);
  }

  async #closed(socket) {
    if (socket !== this.#socket) return;
    this.#drop();
    const problem = await this.#options.explain();
    if (!this.#isRunning || this.#socket) return;
    const delayMs = retryDelayMs(this.#attempt);
    this.#attempt += 1;
    this.#options.onStatus({ status: "retrying", problem, retryInS: Math.ceil(delayMs / 1000) });
    this.#retryTimer = setTimeout(() => this.#connect(), delayMs);
  }

  #drop() {
    clearInterval(this.#pingTimer);
    clearTimeout(this.#silenceTimer);
    const socket = this.#socket;
    this.#socket = null;
    if (socket?.readyState === WebSocket.CONNECTING) socket.addEventListener("open", () => socket.close());
    else socket?.close();
  }
}

/** Follows something that has revisions, by long poll, until stopped. */
export class RevisionWatch {
  #options;
  #since = null;
  #waitS = 30;
  #attempt = 0;
  #controller = null;
  #run = 0;
  #wake = () => {};

  /** options: poll(since | null, waitS, signal) → Promise of {revision, …}, onSnapshot(snapshot), onStatus(status). */
  constructor(options) {
    this.#options = options;
  }

  start() {
    this.stop();
    this.#since = null;
    this.#attempt = 0;
    this.#loop(this.#run);
  }

  stop() {
    this.#run += 1;
    this.#controller?.abort();
    this.#wake();
  }

  /** How long the other side may hold a poll; a short one brings fresher figures. */
  setWait(seconds) {
    if (seconds === this.#waitS) return;
    this.#waitS = seconds;
    this.refresh();
  }

  /** Asks again now, whatever it was doing. */
  refresh() {
    this.#since = null;
    this.#controller?.abort();
    this.#wake();
  }

  async #loop(run) {
    while (run === this.#run) {
      const startedMs = performance.now();
      const since = this.#since;
      this.#controller = new AbortController();
      const { signal } = this.#controller;
      try {
        const snapshot = await this.#options.poll(since, this.#waitS, signal);
        if (run !== this.#run) return;
        if (signal.aborted) continue;
        this.#attempt = 0;
        this.#since = snapshot.revision;
        this.#options.onStatus({ status: "live", problem: null, retryInS: 0 });
        this.#options.onSnapshot(snapshot);
        await this.#sleep(this.#pauseMs(since, snapshot.revision, performance.now() - startedMs));
      } catch (error) {
        if (run !== this.#run) return;
        if (signal.aborted) continue;
        await this.#retryLater(error);
      }
    }
  }

  /** A service that drains answers at once with nothing new; a busy one has news all the time. Neither is hurried. */
  #pauseMs(since, revision, tookMs) {
    if (revision === since && tookMs < this.#waitS * 500) return EARLY_ANSWER_PAUSE_MS;
    return Math.max(0, SHORTEST_POLL_MS - tookMs);
  }

  async #retryLater(problem) {
    const delayMs = retryDelayMs(this.#attempt);
    this.#attempt += 1;
    this.#since = null;
    this.#options.onStatus({ status: "retrying", problem, retryInS: Math.ceil(delayMs / 1000) });
    await this.#sleep(delayMs);
  }

  #sleep(delayMs) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, delayMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
