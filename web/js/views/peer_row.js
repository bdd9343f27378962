// One registration in the table: its facts, and its actions with their result beside them.

import { el, setText } from "../dom.js";
import { duration, number } from "../format.js";
import { setAttributeWord, setWord } from "../language.js";
import { avatar, button, clearResult, resultLine, runAction, showResult } from "../parts.js";
import { secondsLeft } from "../tracker.js";

const NEARLY_GONE = 0.2; // of the lease
const KNOWN_NAMES = new Set(["p2p", "chat"]); // the role and the channel that the chat uses

/**
 * `select(id, isSelected)` hears the checkbox, `openLease(id)` opens the form, and `report(key, params)` tells what
 * can't be told here because the row goes.
 */
export function makeRow(peer, { tracker, openLease, select, report }) {
  const id = peer.peer_id;
  const box = el("input", { type: "checkbox", class: "row-select", wordLabel: ["peers.select", { peer: id }] });
  box.addEventListener("change", () => select(id, box.checked));
  const bar = el("span", { class: "lease-bar" }, el("span", { class: "lease-left" }));
  return el(
    "tr",
    { role: "row", data: { peer: id } },
    el("td", { role: "cell", class: "col-select" }, box),
    el("td", { role: "cell", class: "col-id" }, makeName(id)),
    cell("address", el("span", { class: "address mono" }), el("span", { class: "extra-port small muted" })),
    cell("roles", el("span", { class: "tags" })),
    cell("channels", el("span", { class: "tags" })),
    cell("load", el("span", { class: "number value" })),
    cell("expires", el("span", { class: "number value" }), bar),
    cell("actions", new RowActions(id, { tracker, openLease, report }).nodes),
  );
}

function makeName(id) {
  const registeredBy = el("span", { class: "registered-by small muted" });
  const names = el("span", { class: "peer-names" }, el("strong", {}, id), registeredBy);
  return el("span", { class: "peer-who" }, avatar(id, "avatar-small"), names);
}

/** A cell with its own label, which shows where the table's head doesn't. */
function cell(name, ...children) {
  const label = el("span", { class: "cell-label", "aria-hidden": "true", word: `peers.${name}` });
  return el("td", { role: "cell", class: `col-${name}` }, label, ...children);
}

/** The buttons of a row, and the question before a removal. */
class RowActions {
  #id;
  #tracker;
  #report;
  #line = resultLine();
  #heartbeat = this.#makeButton("heartbeat", "heart", "", () => this.#renew());
  #remove = this.#makeButton("remove", "trash", "button-danger", () => this.#ask(true));
  #confirm = this.#makeButton("confirm", null, "button-danger", () => this.#removeNow());
  #keep = this.#makeButton("keep", null, "", () => this.#ask(false));
  #usual = el("span", { class: "actions" });
  #asking = el("span", { class: "actions", hidden: true }, this.#confirm, this.#keep);

  constructor(id, { tracker, openLease, report }) {
    this.#id = id;
    this.#tracker = tracker;
    this.#report = report;
    const update = this.#makeButton("update", "edit", "", () => openLease(id));
    this.#usual.append(this.#heartbeat, update, this.#remove);
    for (const each of [this.#heartbeat, update, this.#remove, this.#confirm, this.#keep]) {
      setAttributeWord(each, "aria-label", `peers.${each.dataset.action}_of`, { peer: id });
    }
    this.nodes = [this.#usual, this.#asking, this.#line];
  }

  #makeButton(action, iconName, look, onClick) {
    const attributes = { data: { action }, on: { click: onClick } };
    return button(`peers.${action}`, { look: `button-small ${look}`, iconName, ...attributes });
  }

  #ask(isAsking) {
    clearResult(this.#line);
    this.#asking.hidden = !isAsking;
    this.#usual.hidden = isAsking;
    (isAsking ? this.#keep : this.#remove).focus();
  }

  async #renew() {
    const answer = await runAction(this.#heartbeat, this.#line, () => this.#tracker.heartbeat(this.#id));
    if (answer) showResult(this.#line, "ok", "peers.heartbeat_done", { time: duration(answer.expires_in) });
  }

  async #removeNow() {
    const answer = await runAction(this.#confirm, this.#line, () => this.#tracker.remove(this.#id));
    if (answer) this.#report("peers.removed", { peer: this.#id });
    this.#asking.hidden = true;
    this.#usual.hidden = false;
  }
}

export function updateRow(node, peer, { peersAtMs, nowMs, isSelected }) {
  const find = (selector) => node.querySelector(selector);
  find(".row-select").checked = isSelected;
  setWord(find(".registered-by"), ...(peer.meta?.draining ? ["peers.draining"] : registeredBy(peer.registered_by)));
  setText(find(".address"), `${String(peer.ip).includes(":") ? `[${peer.ip}]` : peer.ip}:${peer.port}`);
  setText(find(".extra-port"), peer.meta?.p2p_port ? `TCP ${peer.meta.p2p_port}` : "");
  showTags(find(".col-roles .tags"), peer.roles);
  showTags(find(".col-channels .tags"), peer.channels);
  setText(find(".col-load .value"), number(peer.load ?? 0, 2));
  const left = secondsLeft(peer, peersAtMs, nowMs);
  setText(find(".col-expires .value"), duration(left));
  const share = Math.min(1, left / (peer.ttl || 1));
  find(".lease-left").style.width = `${Math.round(share * 100)}%`;
  find(".lease-bar").classList.toggle("is-low", share < NEARLY_GONE);
}

function registeredBy(who = "") {
  if (who === "key") return ["peers.by_key"];
  if (who.startsWith("user:")) return ["peers.by_user", { user: who.slice(5) }];
  return ["peers.by_anyone"];
}

function showTags(node, names = []) {
  if (node.dataset.names === names.join()) return;
  node.dataset.names = names.join();
  const tags = names.map((name) => el("span", { class: KNOWN_NAMES.has(name) ? "tag tag-accent" : "tag" }, name));
  node.replaceChildren(...(tags.length > 0 ? tags : [el("span", { class: "muted" }, "—")]));
}
