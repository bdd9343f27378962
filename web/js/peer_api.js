// One peer's HTTP API, at whatever address it has (address.js). Nothing is remembered here.

import { peerUrl, socketUrl } from "./address.js";
import { requestJson } from "./api.js";

export class PeerApi {
  #address;
  #peer;

  /** `address` is the tracker's, which decides the way; `peer` the tracker's object, or {peer_id} for this site. */
  constructor(address, peer) {
    this.#address = address;
    this.#peer = peer;
  }

  get socketUrl() {
    return socketUrl(this.#url("/p2p/ws"));
  }

  /** `message`: {to | channel, content, id}. */
  send(message) {
    return requestJson(this.#url("/p2p/msg"), { method: "POST", json: message });
  }

  /** Messages with a seq above `after`, oldest first. */
  async inboxAfter(after, limit) {
    const { messages = [] } = await requestJson(this.#url(`/p2p/inbox?after=${after}&limit=${limit}`));
    return messages;
  }

  clearInbox() {
    return requestJson(this.#url("/p2p/inbox/clear"), { method: "POST" });
  }

  whoami() {
    return requestJson(this.#url("/p2p/whoami"));
  }

  outbox() {
    return requestJson(this.#url("/p2p/outbox"));
  }

  /** Takes a message that waits back from those who haven't got it. */
  takeBack(id) {
    return requestJson(this.#url("/p2p/outbox/remove"), { method: "POST", json: { id } });
  }

  #url(path) {
    return peerUrl(this.#address, this.#peer, path);
  }
}

/** A message id that no other page makes; randomUUID is missing where the page came over plain http from a LAN. */
export function makeMessageId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
