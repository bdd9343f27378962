// Above the table of peers: register one, heartbeat for the selected, choose a role; and what came of it.

import { el } from "../dom.js";
import { setWord } from "../language.js";
import { button, runAction, showResult } from "../parts.js";

export class PeersToolbar {
  #tracker;
  #result;
  #batch = button("peers.batch", { iconName: "heart", id: "heartbeat-batch", on: { click: () => this.#renewAll() } });
  #role = el("select", { class: "input", id: "role-filter" }, el("option", { value: "", word: "peers.every_role" }));

  /** `selected`, a set of ids, and `onRole()` are the table's, which shares them by setting them. */
  constructor({ tracker, openLease, result }) {
    this.#tracker = tracker;
    this.#result = result;
    this.selected = new Set();
    this.onRole = () => {};
    this.#role.addEventListener("change", () => this.onRole());
    const open = { click: () => openLease(null) };
    const register = button("peers.register", { look: "button-primary", iconName: "plus", id: "register", on: open });
    const label = el("label", { class: "small muted", for: "role-filter", word: "peers.role" });
    const filter = el("div", { class: "toolbar-filter" }, label, this.#role);
    this.node = el("div", { class: "toolbar" }, register, this.#batch, result, filter);
  }

  /** The role to show; "" is all. */
  get chosenRole() {
    return this.#role.value;
  }

  show(peers) {
    setWord(this.#batch.lastChild, "peers.batch", { n: this.selected.size });
    this.#batch.disabled = this.selected.size === 0;
    this.#showRoles(peers);
  }

  #showRoles(peers) {
    const chosen = this.#role.value;
    const roles = [...new Set([...peers.flatMap((peer) => peer.roles ?? []), chosen].filter(Boolean))].sort();
    const [every, ...known] = this.#role.options;
    if (roles.join() === known.map((option) => option.value).join()) return;
    this.#role.replaceChildren(every, ...roles.map((name) => el("option", { value: name }, name)));
    this.#role.value = chosen;
  }

  async #renewAll() {
    const ids = [...this.selected];
    const answer = await runAction(this.#batch, this.#result, () => this.#tracker.heartbeatBatch(ids));
    this.#batch.disabled = this.selected.size === 0;
    if (!answer) return;
    const { updated, not_found: missing } = answer;
    const counts = { n: updated.length, missing: missing.join(", ") };
    if (missing.length > 0) showResult(this.#result, "error", "peers.batch_partly", counts);
    else showResult(this.#result, "ok", "peers.batch_done", counts);
  }
}
