// The part of the address after '#': #/chat, #/chat/@p2, #/chat/#chat (encoded), #/peers, #/echo.

import { parseKey } from "./conversations.js";

const VIEWS = ["chat", "peers", "echo"];

/** {view, conversation} of a hash; anything unknown is the chat. */
export function parseRoute(hash) {
  const [view, conversation = ""] = hash.replace(/^#\/?/, "").split("/");
  if (!VIEWS.includes(view)) return { view: "chat", conversation: null };
  const key = decode(conversation);
  return { view, conversation: view === "chat" && parseKey(key) ? key : null };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

/** Keeps `route` in the store what the address says. */
export function followRoute(store) {
  const take = () => store.set({ route: parseRoute(location.hash) });
  addEventListener("hashchange", take);
  take();
}
