// The chat of one local peer: which peer that is, the connection to it, and its inbox, live and caught up after a
// break. Writes `me`, `link`, `inbox`, `read` and `arrivals` into the store. What is sent is sent.js, the order and
// grouping of messages conversations.js, what survives a reload history.js.

import { EMPTY_INBOX } from "./state.js";
import { conversationOf } from "./conversations.js";
import { History } from "./history.js";
import { LiveSocket, pagesAfter } from "./live.js";
import { PeerApi } from "./peer_api.js";
import { SentMessages } from "./sent.js";
import { localPeerIds } from "./tracker.js";

const REMEMBERED = "weaprous:me";
const WINDOW = 500; // how far back the first look into the inbox goes

export class Chat {
  #store;
  #link = null; // {socket, api, history, waiting, close}: everything of one connection to one local peer
  #peer = null; // the last the tracker said of the local peer

  constructor(store) {
    this.#store = store;
    this.sent = new SentMessages(store, () => this.#link);
  }

  /** Follows the store from now on: chooses a local peer when there is one, connects to wherever it is. */
  start() {
    this.#store.watch(
      ({ user, peers, address, me }) => pickLocalPeer({ user, peers, address, me }),
      (me) => this.choose(me),
    );
    this.#store.watch(
      (state) => this.#socketUrl(state),
      (url) => this.#connect(url),
    );
    this.#store.watch(
      ({ peers, me }) => peers.some((peer) => peer.peer_id === me),
      (isAlive) => isAlive && this.nudge(),
    );
  }

  /** Chats as this peer from now on; null is nobody. */
  choose(me) {
    if (me === this.#store.get().me) return;
    this.#peer = null;
    if (me) remember(me);
    this.#store.set({ me });
  }

  /** Lets go of the connection, and remembers nothing more. */
  stop() {
    this.#link?.close();
    this.#link = null;
  }

  /** Tries to connect now if it waits to. */
  nudge() {
    this.#link?.socket.nudge();
  }

  /** Empties the peer's inbox and this browser's record of what was sent. Raises ApiError. */
  async clear() {
    const link = this.#link;
    await link.api.clearInbox();
    if (link !== this.#link) return;
    const { inbox } = this.#store.get();
    this.#store.set({ inbox: { ...inbox, messages: [], count: 0 }, sent: [], read: {} });
    link.history.save({ sent: [], read: {} });
  }

  /** Everything that has come in the conversation so far counts as read. */
  markRead(conversation) {
    const { inbox, me, read, sent } = this.#store.get();
    const last = inbox.messages.findLast((message) => conversationOf(message, me) === conversation);
    if (!last || last.seq <= (read[conversation] ?? 0)) return;
    const changed = { ...read, [conversation]: last.seq };
    this.#store.set({ read: changed });
    this.#link?.history.save({ sent, read: changed });
  }

  /** Looks further back into the inbox. Raises ApiError. */
  async loadEarlier() {
    const { inbox } = this.#store.get();
    const firstSeq = Math.max(0, inbox.firstSeq - WINDOW);
    await this.#fetch(this.#link, firstSeq, inbox.firstSeq);
    this.#store.set({ inbox: { ...this.#store.get().inbox, firstSeq } });
  }

  whoami() {
    return this.#link.api.whoami();
  }

  // The connection

  #socketUrl({ me, peers, address, user }) {
    if (!me || !user) return null;
    this.#peer = peers.find((peer) => peer.peer_id === me) ?? this.#peer ?? (address === "" ? { peer_id: me } : null);
    return this.#peer && new PeerApi(address, this.#peer).socketUrl;
  }

  #connect(url) {
    this.#link?.close();
    this.#link = null;
    this.sent.forgetOrder();
    this.#store.set({
      inbox: EMPTY_INBOX,
      sent: [],
      read: {},
      outboxPending: 0,
      link: { status: "idle", problem: null, retryInS: 0 },
    });
    if (!url) return;
    const { address, me, user } = this.#store.get();
    const link = {
      api: new PeerApi(address, this.#peer),
      history: new History({ user: user.user, address, me }),
      waiting: null,
    };
    link.socket = new LiveSocket({
      url,
      onStatus: (status) => this.#store.set({ link: status }),
      onMessage: (message) => this.#receive(link, message),
      explain: () =>
        link.api.whoami().then(
          () => null,
          (error) => error,
        ),
    });
    const unsubscribe = link.history.onChange(({ sent, read }) => this.#store.set({ sent, read }));
    link.close = () => {
      unsubscribe();
      link.socket.stop();
    };
    this.#link = link;
    this.#store.set(link.history.load());
    link.socket.start();
  }

  #receive(link, message) {
    if (link !== this.#link) return;
    if (message.type === "hello") this.#catchUp(link, message);
    else if (link.waiting) link.waiting.push(message);
    else this.#apply(message);
  }

  #apply(message) {
    const { inbox } = this.#store.get();
    if (message.type === "message") this.#take([message.message], true);
    else if (message.type === "cleared")
      this.#store.set({ inbox: { ...inbox, messages: [], count: message.count ?? 0 } });
    else if (message.type === "outbox") {
      this.#store.set({ outboxPending: message.pending });
      this.sent.reconcileSoon();
    }
  }

  /** After a (re)connection: fetch what came meanwhile, and only then what the socket brought since. */
  async #catchUp(link, hello) {
    link.waiting = [];
    const known = this.#store.get().inbox;
    const isFresh = !known.isLoaded || hello.last_seq < known.lastSeq;
    try {
      if (isFresh) await this.#loadAfresh(link, hello);
      else await this.#fetch(link, known.lastSeq, hello.last_seq, true);
      if (this.#store.get().inbox.messages.length > hello.count) await this.#loadAfresh(link, hello);
    } catch {
      link.socket.restart();
      return;
    }
    if (link !== this.#link) return;
    this.#store.set({ inbox: { ...this.#store.get().inbox, isLoaded: true, count: hello.count } });
    const { waiting } = link;
    link.waiting = null;
    for (const message of waiting) this.#apply(message);
    this.sent.reconcileSoon();
  }

  async #loadAfresh(link, hello) {
    const firstSeq = Math.max(0, hello.last_seq - WINDOW);
    this.#store.set({
      inbox: { ...EMPTY_INBOX, firstSeq, lastSeq: hello.last_seq, isLoaded: this.#store.get().inbox.isLoaded },
    });
    await this.#fetch(link, firstSeq, hello.last_seq);
  }

  async #fetch(link, after, until, isNews = false) {
    const fetchPage = (position, limit) => link.api.inboxAfter(position, limit);
    for await (const messages of pagesAfter(fetchPage, after, until)) {
      if (link !== this.#link) return;
      this.#take(messages, isNews);
    }
  }

  /** Merges messages into the inbox; one that is there already changes nothing. */
  #take(messages, isNews) {
    const { inbox } = this.#store.get();
    const known = new Set(inbox.messages.map((message) => message.seq));
    const fresh = messages.filter((message) => !known.has(message.seq));
    if (fresh.length === 0) return;
    const merged = [...inbox.messages, ...fresh].sort((a, b) => a.seq - b.seq);
    const lastSeq = Math.max(inbox.lastSeq, merged.at(-1).seq);
    const count = isNews ? inbox.count + fresh.length : inbox.count;
    this.#store.set({ inbox: { ...inbox, messages: merged, lastSeq, count } });
    if (isNews) this.#store.set({ arrivals: fresh });
  }
}

/** The local peer to chat as: the one chosen, else the remembered one, else the first. */
function pickLocalPeer({ user, peers, address, me }) {
  if (me) return me;
  const ids = localPeerIds({ user, peers, address });
  const remembered = recall();
  return (ids.includes(remembered) ? remembered : ids[0]) ?? null;
}

function remember(me) {
  try {
    sessionStorage.setItem(REMEMBERED, me); // two tabs may be two peers
    localStorage.setItem(REMEMBERED, me);
  } catch {
    // The page then starts with the first peer.
  }
}

function recall() {
  try {
    return sessionStorage.getItem(REMEMBERED) ?? localStorage.getItem(REMEMBERED);
  } catch {
    return null;
  }
}
