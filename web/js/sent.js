// What this browser sent as the local peer, and what became of each message: sending, delivered, queued, failed.
// Writes `sent` and `outboxPending` into the store and keeps `sent` across reloads (history.js). The connection, and
// with it what arrives, is chat.js.

import { parseKey } from "./conversations.js";
import { makeMessageId } from "./peer_api.js";

const RECONCILE_AFTER_MS = 150;

export class SentMessages {
  #store;
  #linkNow;
  #last = new Map(); // conversation → the promise of its last message, so that they leave in order
  #reconcileTimer = 0;

  /** `linkNow()` is the present connection, {api, history}, or null. */
  constructor(store, linkNow) {
    this.#store = store;
    this.#linkNow = linkNow;
  }

  /** Puts the message into the conversation at once and sends it when those before it have gone. */
  send(conversation, content) {
    const { inbox, sent } = this.#store.get();
    const message = {
      id: makeMessageId(),
      conversation,
      content,
      at: Date.now(),
      afterSeq: inbox.lastSeq,
      state: "sending",
      targets: [],
      problem: null,
    };
    this.#keep([...sent, message]);
    this.#enqueue(message);
  }

  /** Sends a failed message again under its id: if it had arrived after all, the receiver keeps one. */
  retry(id) {
    const message = this.#find(id);
    if (!message || message.state === "sending") return;
    this.#change(id, { state: "sending", problem: null });
    this.#enqueue(message);
  }

  /** Drops a message that has not arrived; one that waits in the outbox is taken back from there. */
  async discard(id) {
    if (this.#find(id)?.state === "queued") {
      try {
        await this.#linkNow().api.takeBack(id);
      } catch {
        this.reconcileSoon(); // It arrived just now, or the peer can't be asked: the outbox will tell.
        return;
      }
    }
    this.#keep(this.#store.get().sent.filter((message) => message.id !== id));
  }

  /** Another connection: what waits for the old one stays there. */
  forgetOrder() {
    this.#last.clear();
  }

  /** Looks into the peer's outbox in a moment; several calls make one look. */
  reconcileSoon() {
    clearTimeout(this.#reconcileTimer);
    this.#reconcileTimer = setTimeout(() => this.#reconcile(this.#linkNow()), RECONCILE_AFTER_MS);
  }

  #find(id) {
    return this.#store.get().sent.find((message) => message.id === id);
  }

  #enqueue(message) {
    const link = this.#linkNow();
    const before = this.#last.get(message.conversation) ?? Promise.resolve();
    this.#last.set(
      message.conversation,
      before.then(() => this.#deliver(link, message)),
    );
  }

  async #deliver(link, message) {
    if (!link || link !== this.#linkNow()) return;
    const { kind, name } = parseKey(message.conversation);
    const address = kind === "person" ? { to: name } : { channel: name };
    try {
      const { status, targets = [] } = await link.api.send({ ...address, content: message.content, id: message.id });
      this.#change(message.id, { state: status === "queued" ? "queued" : "delivered", targets, problem: null });
      if (status === "queued") this.reconcileSoon();
    } catch ({ code, message: text, status }) {
      this.#change(message.id, { state: "failed", problem: { code, message: text, status } });
    }
  }

  #change(id, parts) {
    this.#keep(this.#store.get().sent.map((message) => (message.id === id ? { ...message, ...parts } : message)));
  }

  #keep(sent) {
    this.#store.set({ sent });
    this.#linkNow()?.history.save({ sent, read: this.#store.get().read });
  }

  async #reconcile(link) {
    if (!link) return;
    const isQueued = (message) => message.state === "queued";
    const queued = new Set(
      this.#store
        .get()
        .sent.filter(isQueued)
        .map((message) => message.id),
    );
    let outbox;
    try {
      outbox = await link.api.outbox();
    } catch {
      return; // The next event, or the next connection, asks again.
    }
    if (link !== this.#linkNow()) return;
    this.#store.set({ outboxPending: outbox.count });
    if (queued.size === 0) return;
    this.#keep(this.#store.get().sent.map((message) => (queued.has(message.id) ? settled(message, outbox) : message)));
  }
}

/** The message as it is when the outbox is so: what it doesn't name any more has been delivered. */
function settled(message, { messages: waiting = [], rejected = [] }) {
  const own = [...waiting, ...rejected].filter((entry) => entry.id === message.id);
  const isAddressed = own.every((entry) => entry.to !== null); // else nobody knows yet who is in the channel
  const left = new Map(own.filter((entry) => entry.to !== null).map((entry) => [entry.to, entry]));
  const ids = new Set([...message.targets.map((target) => target.peer_id), ...left.keys()]);
  const targets = [...ids].map((id) => ({ peer_id: id, status: left.get(id)?.status ?? "delivered" }));
  const has = (status) => targets.some((target) => target.status === status);
  if (!isAddressed || has("queued")) return { ...message, targets, state: "queued" };
  if (!has("rejected") || has("delivered")) return { ...message, targets, state: "delivered" };
  const reasons = [...left.values()].map(({ to, error }) => `${to}: ${error}`).join("; ");
  return { ...message, targets, state: "failed", problem: { code: "rejected", message: reasons, status: 502 } };
}
