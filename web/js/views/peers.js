// Who is registered in the tracker: a live table, and what one may do to each registration.

import { el, hiddenWord, reconcile } from "../dom.js";
import { onLanguage, setWord } from "../language.js";
import { emptyState, resultLine, showResult } from "../parts.js";
import { hasRole } from "../tracker.js";
import { makeRow, updateRow } from "./peer_row.js";
import { PeersToolbar } from "./peers_toolbar.js";
import { makeLeaseDialog } from "./register.js";

const TICK_MS = 1000;
const COLUMNS = ["id", "address", "roles", "channels", "load", "expires", "actions"];

export function mountPeers(root, context) {
  const { store, tracker } = context;
  const result = resultLine();
  const report = (key, params) => showResult(result, "ok", key, params);
  const openLease = makeLeaseDialog({ tracker, onDone: report });
  const toolbar = new PeersToolbar({ tracker, openLease, result });
  const table = new PeersTable({ store, tracker, openLease, report, toolbar });
  const card = el("div", { class: "card peers-card" }, table.nodes);
  root.append(el("div", { class: "page" }, makeHead(context), toolbar.node, card));

  for (const part of ["peers", "tracker"])
    store.watch(
      (state) => state[part],
      () => table.show(),
    );
  onLanguage(() => table.show());
  followTheClock(context, () => table.show());
}

/** While the view is on the screen: fresh figures from the tracker, and leases that count down. */
function followTheClock({ store, tracker }, show) {
  let timer = 0;
  store.watch(
    ({ route }) => route.view === "peers",
    (isShown) => {
      tracker.setWatched(isShown);
      clearInterval(timer);
      if (isShown) timer = setInterval(show, TICK_MS);
    },
  );
}

function makeHead({ store, openConnection }) {
  const where = el("p", { class: "small" });
  const look = { class: "button-link", type: "button", id: "change-tracker" };
  const change = el("button", { ...look, word: "peers.change_tracker", on: { click: openConnection } });
  store.watch(
    ({ address, peers, revision }) => `${address} ${peers.length} ${revision}`,
    () => {
      const { address, peers, revision } = store.get();
      where.hidden = revision === null;
      setWord(where, address === "" ? "peers.count_site" : "peers.count_other", { n: peers.length, address });
    },
  );
  const title = el("div", {}, el("h1", { word: "peers.title" }), el("p", { word: "peers.about" }));
  return el("header", { class: "page-head" }, title, el("div", { class: "peers-where" }, where, change));
}

/** The rows, which of them are selected, and what stands there when there are none. */
class PeersTable {
  #context;
  #toolbar;
  #selected = new Set();
  #all = el("input", { type: "checkbox", id: "select-all" });
  #body = el("tbody", { role: "rowgroup" });
  #table = makeTable(this.#all, this.#body);
  #nobody = emptyState("peers", "peers.nobody", "peers.nobody_about", "make run");
  #unreached = emptyState("peers", "peers.unreached", "peers.unreached_about");
  #empty = el("div", { class: "peers-empty" }, this.#nobody, this.#unreached);

  constructor({ toolbar, ...context }) {
    this.#context = context;
    this.#toolbar = toolbar;
    this.nodes = [this.#table, this.#empty];
    toolbar.onRole = () => this.show();
    toolbar.selected = this.#selected;
    this.#all.addEventListener("change", () => this.#select(this.#visible(), this.#all.checked));
  }

  show() {
    const { peers, peersAtMs, tracker } = this.#context.store.get();
    const visible = this.#visible();
    const ids = new Set(peers.map((peer) => peer.peer_id));
    for (const id of this.#selected) if (!ids.has(id)) this.#selected.delete(id);
    const nowMs = performance.now();
    const select = (id, isSelected) => this.#select([{ peer_id: id }], isSelected);
    reconcile(this.#body, visible, {
      key: (peer) => peer.peer_id,
      create: (peer) => makeRow(peer, { ...this.#context, select }),
      update: (node, peer) => updateRow(node, peer, { peersAtMs, nowMs, isSelected: this.#isSelected(peer) }),
    });
    this.#table.hidden = visible.length === 0;
    this.#empty.hidden = visible.length > 0;
    this.#nobody.hidden = tracker.status !== "live";
    this.#unreached.hidden = tracker.status !== "retrying";
    this.#all.checked = visible.length > 0 && visible.every((peer) => this.#isSelected(peer));
    this.#all.indeterminate = !this.#all.checked && visible.some((peer) => this.#isSelected(peer));
    this.#toolbar.show(peers);
  }

  #visible() {
    const { peers } = this.#context.store.get();
    const role = this.#toolbar.chosenRole;
    return role === "" ? peers : peers.filter((peer) => hasRole(peer, role));
  }

  #isSelected(peer) {
    return this.#selected.has(peer.peer_id);
  }

  #select(peers, isSelected) {
    for (const { peer_id: id } of peers) {
      if (isSelected) this.#selected.add(id);
      else this.#selected.delete(id);
    }
    this.show();
  }
}

function makeTable(all, body) {
  const head = (name, content) => el("th", { scope: "col", role: "columnheader", class: `col-${name}` }, content);
  const heads = COLUMNS.map((name) => head(name, el("span", { word: `peers.${name}` })));
  const selectAll = head("select", el("label", {}, all, hiddenWord("peers.select_all")));
  const row = el("tr", { role: "row" }, selectAll, heads);
  const attributes = { class: "peers", role: "table", wordLabel: "peers.title" };
  return el("table", attributes, el("thead", { role: "rowgroup" }, row), body);
}
