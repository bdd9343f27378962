// What this browser remembers of a local peer's chat: the messages it sent, and how far each conversation was read.
// A peer keeps what it receives; what was sent lives here only, per user, tracker and peer, until logout or clear.

const PREFIX = "weaprous:chat:";
const MOST_SENT = 300;

export class History {
  #key;

  constructor({ user, address, me }) {
    this.#key = `${PREFIX}${user}|${address || "site"}|${me}`;
  }

  /** {sent, read}. A message that was on its way when the page closed is "failed": it may be sent again safely. */
  load() {
    const { sent, read } = parse(readItem(this.#key));
    return {
      sent: sent.map((message) => (message.state === "sending" ? { ...message, state: "failed" } : message)),
      read,
    };
  }

  /** Keeps the newest; when the browser has no room, fewer. */
  save({ sent, read }) {
    let kept = sent.slice(-MOST_SENT);
    for (;;) {
      if (writeItem(this.#key, JSON.stringify({ sent: kept, read })) || kept.length === 0) return;
      kept = kept.slice(Math.ceil(kept.length / 2));
    }
  }

  /** Calls the listener when another tab of this browser wrote. Returns the way out. */
  onChange(listener) {
    const heard = (event) => event.key === this.#key && listener(parse(event.newValue));
    addEventListener("storage", heard);
    return () => removeEventListener("storage", heard);
  }
}

/** Leaves nothing of anyone's chat behind. */
export function forgetAll() {
  try {
    for (const key of Object.keys(localStorage)) if (key.startsWith(PREFIX)) localStorage.removeItem(key);
  } catch {
    // No storage, nothing kept.
  }
}

function readItem(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function writeItem(key, text) {
  try {
    localStorage.setItem(key, text);
    return true;
  } catch {
    return false;
  }
}

function parse(text) {
  try {
    const { sent = [], read = {} } = JSON.parse(text ?? "{}") ?? {};
    return { sent, read };
  } catch {
    return { sent: [], read: {} };
  }
}
