// The one store: what the page knows. Views subscribe to the part they show; services (tracker, chat) write to it.
// It owns no network and no DOM. Read next: tracker.js and chat.js, which fill it.

/** Makes a store. Listeners run once per microtask, however many writes came before it. */
export function createStore(initial) {
  let state = initial;
  let isScheduled = false;
  const subscriptions = new Set();

  function notify() {
    isScheduled = false;
    for (const subscription of [...subscriptions]) {
      const value = subscription.select(state);
      if (Object.is(value, subscription.last)) continue;
      subscription.last = value;
      subscription.listener(value);
    }
  }

  return {
    get: () => state,

    /** Replaces the named parts; parts are values and are never changed in place. */
    set(parts) {
      state = { ...state, ...parts };
      if (isScheduled) return;
      isScheduled = true;
      queueMicrotask(notify);
    },

    /** Calls `listener` now, then whenever the selected part is another value. Returns the way out. */
    watch(select, listener) {
      const subscription = { select, listener, last: select(state) };
      subscriptions.add(subscription);
      listener(subscription.last);
      return () => subscriptions.delete(subscription);
    },
  };
}

export const EMPTY_INBOX = Object.freeze({ messages: [], firstSeq: 0, lastSeq: 0, count: 0, isLoaded: false });

export const store = createStore({
  user: null, // {user, peers, default_password}, null until /user has answered
  session: "open", // "open" | "ended" | "unreachable"
  address: "", // the tracker's address; "" is this site's
  tracker: { status: "connecting", problem: null, retryInS: 0 }, // "connecting" | "live" | "retrying"
  peers: [], // the tracker's peer objects, sorted by id
  peersAtMs: 0, // performance.now() when they came; `expires_in` counts from there
  revision: null,
  me: null, // the local peer's id
  link: { status: "idle", problem: null, retryInS: 0 }, // the WebSocket to the local peer
  inbox: EMPTY_INBOX,
  sent: [], // what this browser sent as `me`, oldest first (history.js)
  read: {}, // conversation key → the last seq seen
  outboxPending: 0,
  route: { view: "chat", conversation: null },
});
