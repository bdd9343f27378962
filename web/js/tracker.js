// The tracker as the page sees it: who is registered (followed live) and what one may do to a registration.
// Writes `tracker`, `peers`, `peersAtMs` and `revision` into the store; shows nothing itself (views/peers.js does).

import { rememberAddress, trackerUrl } from "./address.js";
import { requestJson } from "./api.js";
import { RevisionWatch } from "./live.js";

const WAIT_S = 30;
const WAIT_WHILE_WATCHED_S = 4; // heartbeats change no revision; the peers view wants their leases fresh
const POLL_GRACE_MS = 10_000;

export class Tracker {
  #store;
  #watch;

  constructor(store) {
    this.#store = store;
    this.#watch = new RevisionWatch({
      poll: (since, waitS, signal) => this.#poll(since, waitS, signal),
      onSnapshot: (snapshot) => this.#take(snapshot),
      onStatus: (status) => store.set({ tracker: status }),
    });
  }

  start() {
    this.#watch.start();
  }

  /** Lets go of the connection while nobody looks: browsers allow only six per site. */
  pause() {
    this.#watch.stop();
  }

  /** Asks again now. */
  refresh() {
    this.#watch.refresh();
  }

  /** While the table is on the screen its figures are to be fresh. */
  setWatched(isWatched) {
    this.#watch.setWait(isWatched ? WAIT_WHILE_WATCHED_S : WAIT_S);
  }

  /** Asks another tracker from now on; "" is this site's. */
  use(address) {
    rememberAddress(address);
    this.#store.set({
      address,
      peers: [],
      revision: null,
      me: null,
      tracker: { status: "connecting", problem: null, retryInS: 0 },
    });
    this.#watch.start();
  }

  register(lease) {
    return this.#write("/register", lease);
  }

  update(changes) {
    return this.#write("/update", changes);
  }

  heartbeat(peerId, ttl) {
    return this.#write("/heartbeat", { peer_id: peerId, ...(ttl ? { ttl } : {}) });
  }

  heartbeatBatch(peerIds, ttl) {
    return this.#write("/heartbeat_batch", { peers: peerIds, ...(ttl ? { ttl } : {}) });
  }

  remove(peerId) {
    return this.#write("/peer/remove", { peer_id: peerId });
  }

  async #write(path, json) {
    const answer = await requestJson(trackerUrl(this.#store.get().address, path), { method: "POST", json });
    this.refresh();
    return answer;
  }

  #poll(since, waitS, signal) {
    const query = new URLSearchParams(since === null ? { wait: 0 } : { since, wait: waitS });
    const url = trackerUrl(this.#store.get().address, `/watch?${query}`);
    return requestJson(url, { signal, timeoutMs: waitS * 1000 + POLL_GRACE_MS });
  }

  #take(snapshot) {
    const peers = [...(snapshot.peers ?? [])].sort((a, b) => compareIds(a.peer_id, b.peer_id));
    this.#store.set({ peers, peersAtMs: performance.now(), revision: snapshot.revision });
  }
}

/** p2 before p10. */
export function compareIds(a, b) {
  return a.localeCompare(b, "en", { numeric: true });
}

/** Seconds until the lease ends, as far as the page knows. */
export function secondsLeft(peer, peersAtMs, nowMs) {
  return Math.max(0, peer.expires_in - (nowMs - peersAtMs) / 1000);
}

/** People: those who chat. */
export function isChatPeer(peer) {
  return hasRole(peer, "p2p") && (peer.channels ?? []).includes("chat");
}

/** Will peers dial it? They trust only what a peer said of itself, and need its TCP port. */
export function isDialled(peer) {
  return !isRegisteredByUser(peer) && Number.isInteger(peer.meta?.p2p_port);
}

function isRegisteredByUser(peer) {
  return String(peer.registered_by ?? "").startsWith("user:");
}

export function hasRole(peer, role) {
  return (peer.roles ?? []).includes(role);
}

/**
 * The ids that this user may chat as. Here: those the users file gives him ("*": every peer that registered itself,
 * since the proxy leads to no others). At another tracker, whose peers are asked directly: every one.
 */
export function localPeerIds({ user, peers, address }) {
  const p2p = peers.filter((peer) => hasRole(peer, "p2p"));
  const reachable = p2p.filter((peer) => address !== "" || !isRegisteredByUser(peer));
  const ids = reachable.map((peer) => peer.peer_id);
  const mine = user?.peers ?? [];
  if (address !== "" || mine.includes("*")) return ids;
  return [...mine].sort(compareIds);
}
