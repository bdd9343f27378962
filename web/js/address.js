// Where requests go. By default everything is this site's: the proxy leads to the tracker and to the peers. With
// another tracker's address the browser asks that tracker directly, and its peers at the address they registered.
// Pure, but for the two functions that remember.

const REMEMBERED = "weaprous:tracker";
const HOST = /^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])$/i; // browsers would take "not an address" for a host

/** The typed address is not one; `word` is the key that says why. */
export class AddressError extends Error {
  constructor(word, params) {
    super(word);
    this.word = word;
    this.params = params;
  }
}

/**
 * An origin from what a person types: "127.0.0.1:9000", "http://host:9000/", "http://host:9000/tracker".
 * Empty text is this site's tracker, "". Raises AddressError.
 */
export function parseTrackerAddress(text) {
  const typed = text.trim();
  if (typed === "") return "";
  const withScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(typed) ? typed : `http://${typed}`;
  let url;
  try {
    url = new URL(withScheme);
  } catch {
    throw new AddressError("address.unreadable", { text: typed });
  }
  if (!HOST.test(url.hostname)) throw new AddressError("address.unreadable", { text: typed });
  if (url.protocol !== "http:" && url.protocol !== "https:") throw new AddressError("address.scheme", { text: typed });
  if (url.username || url.password) throw new AddressError("address.credentials");
  const path = url.pathname.replace(/\/+$/, "");
  if ((path !== "" && path !== "/tracker") || url.search || url.hash)
    throw new AddressError("address.path", { text: typed });
  return url.origin;
}

/** `path` begins with a slash: "/peers" → "/tracker/peers" here, "http://…/tracker/peers" elsewhere. */
export function trackerUrl(address, path) {
  return `${address}/tracker${path}`;
}

/** Where a peer's API is: through this site, or at its own address (`meta.api_port`, else `port`). */
export function peerUrl(address, peer, path) {
  if (address === "") return `/peers/${encodeURIComponent(peer.peer_id)}${path}`;
  const host = String(peer.ip).includes(":") ? `[${peer.ip}]` : peer.ip;
  return `http://${host}:${peer.meta?.api_port ?? peer.port}${path}`;
}

/** The same place for a WebSocket. */
export function socketUrl(url) {
  const absolute = new URL(url, location.href);
  absolute.protocol = absolute.protocol === "https:" ? "wss:" : "ws:";
  return absolute.href;
}

/** Does the request stay on this site (so that the session goes with it)? */
export function isThisSite(url) {
  return new URL(url, location.href).origin === location.origin;
}

export function rememberedAddress() {
  try {
    return parseTrackerAddress(localStorage.getItem(REMEMBERED) ?? "");
  } catch {
    return "";
  }
}

export function rememberAddress(address) {
  try {
    if (address === "") localStorage.removeItem(REMEMBERED);
    else localStorage.setItem(REMEMBERED, address);
  } catch {
    // Storage may be switched off; the page then forgets.
  }
}
