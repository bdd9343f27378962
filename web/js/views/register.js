// The form of a lease: to register a peer, or to update one that is there. Checks what it can before it asks.

import { el } from "../dom.js";
import { duration } from "../format.js";
import { clearWord, setWord } from "../language.js";
import { clearResult, field, makeDialog, resultLine, runAction } from "../parts.js";
import { store } from "../state.js";

const PEER_ID = /^[A-Za-z0-9_-]{1,63}$/;
const FIELDS = [
  { name: "peer_id", attributes: { placeholder: "p9", maxlength: 63 } },
  { name: "ip", attributes: { placeholder: "127.0.0.1" } },
  { name: "port", attributes: { inputmode: "numeric", placeholder: "7519" }, width: "is-narrow" },
  { name: "ttl", attributes: { inputmode: "decimal", placeholder: "60" }, width: "is-narrow" },
  { name: "load", attributes: { inputmode: "decimal", placeholder: "0" }, width: "is-narrow" },
  { name: "roles", attributes: { placeholder: "p2p" } },
  { name: "channels", attributes: { placeholder: "chat" } },
  { name: "meta", attributes: { placeholder: '{"api_port": 7519, "p2p_port": 7019}' }, width: "is-wide" },
];

/** Returns open(peerId | null). `onDone(key, params)` hears the words of a success. */
export function makeLeaseDialog({ tracker, onDone }) {
  const dialog = new LeaseDialog({ tracker, onDone });
  return (peerId) => dialog.open(peerId);
}

class LeaseDialog {
  #tracker;
  #onDone;
  #inputs = {};
  #faults = {};
  #line = resultLine();
  #submit = el("button", { class: "button button-primary", type: "submit", id: "lease-submit" });
  #dialog;
  #editing = null; // the peer as it was when the form opened; null registers a new one

  constructor({ tracker, onDone }) {
    this.#tracker = tracker;
    this.#onDone = onDone;
    const fields = FIELDS.map((one) => makeField(one, this.#inputs, this.#faults));
    this.#dialog = makeDialog({
      title: "lease.register",
      body: [el("div", { class: "lease-fields" }, fields)],
      foot: [this.#line, this.#submit],
      onSubmit: (event) => this.#save(event),
    });
  }

  open(peerId) {
    const peer = store.get().peers.find((one) => one.peer_id === peerId) ?? null;
    this.#editing = peer;
    clearResult(this.#line);
    showFaults(this.#inputs, this.#faults, {});
    fill(this.#inputs, peer);
    setWord(this.#dialog.heading, peer ? "lease.update" : "lease.register", { peer: peerId });
    setWord(this.#submit, peer ? "lease.save" : "lease.submit");
    this.#dialog.showModal();
    (peer ? this.#inputs.ip : this.#inputs.peer_id).focus();
  }

  async #save(event) {
    event.preventDefault();
    const { lease, problems } = readLease(this.#inputs);
    showFaults(this.#inputs, this.#faults, problems);
    if (Object.keys(problems).length > 0) return;
    const before = this.#editing;
    const write = () => (before ? this.#tracker.update(changesOf(lease, before)) : this.#tracker.register(lease));
    const peer = await runAction(this.#submit, this.#line, write);
    if (!peer) return;
    this.#dialog.close();
    const params = { peer: peer.peer_id, time: duration(peer.expires_in) };
    this.#onDone(before ? "lease.updated" : "lease.registered", params);
  }
}

function makeField({ name, attributes, width }, inputs, faults) {
  const id = `lease-${name}`;
  const isCode = ["peer_id", "ip", "port", "meta"].includes(name);
  const look = { class: `input ${isCode ? "mono" : ""}`, autocomplete: "off", spellcheck: "false" };
  const described = { "aria-describedby": `${id}-fault ${id}-hint` };
  inputs[name] = el(name === "meta" ? "textarea" : "input", { id, name, ...look, ...described, ...attributes });
  faults[name] = el("p", { class: "field-error", id: `${id}-fault`, role: "alert" });
  const hint = el("p", { class: "field-hint", id: `${id}-hint`, word: `lease.${name}_hint` });
  return field(`lease.${name}`, inputs[name], { look: width, below: [faults[name], hint] });
}

function fill(inputs, peer) {
  const values = peer
    ? {
        ...peer,
        roles: (peer.roles ?? []).join(", "),
        channels: (peer.channels ?? []).join(", "),
        meta: JSON.stringify(peer.meta ?? {}),
      }
    : { peer_id: "", ip: "", port: "", ttl: "60", roles: "p2p", channels: "chat", load: "0", meta: "" };
  for (const [name, input] of Object.entries(inputs)) input.value = String(values[name] ?? "");
  inputs.peer_id.readOnly = peer !== null;
}

/** {lease, problems}: what the form says, and the key of the words for each field that can't be meant. */
export function readLease(inputs) {
  const text = (name) => inputs[name].value.trim();
  const problems = {};
  const lease = { peer_id: text("peer_id"), roles: names(text("roles")), channels: names(text("channels")) };
  if (!PEER_ID.test(lease.peer_id)) problems.peer_id = "lease.bad_peer_id";
  if (text("ip")) lease.ip = text("ip");
  lease.port = Number(text("port"));
  if (!/^\d+$/.test(text("port")) || lease.port < 1 || lease.port > 65535) problems.port = "lease.bad_port";
  if (text("ttl")) lease.ttl = Number(text("ttl"));
  if (text("ttl") && !(lease.ttl >= 1 && lease.ttl <= 86400)) problems.ttl = "lease.bad_ttl";
  if (text("load")) lease.load = Number(text("load"));
  if (text("load") && !(lease.load >= 0 && Number.isFinite(lease.load))) problems.load = "lease.bad_load";
  try {
    if (text("meta")) lease.meta = parseObject(text("meta"));
  } catch {
    problems.meta = "lease.bad_meta";
  }
  return { lease, problems };
}

function names(text) {
  return text.split(/[\s,]+/).filter(Boolean);
}

function parseObject(text) {
  const value = JSON.parse(text);
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new TypeError("not an object");
  return value;
}

/** Only what differs from the peer as it was, so that others' changes stay. */
function changesOf(lease, peer) {
  const differs = ([name, value]) => name === "peer_id" || JSON.stringify(value) !== JSON.stringify(peer[name]);
  return Object.fromEntries(Object.entries(lease).filter(differs));
}

function showFaults(inputs, faults, problems) {
  for (const name of Object.keys(inputs)) {
    if (problems[name]) {
      inputs[name].setAttribute("aria-invalid", "true");
      setWord(faults[name], problems[name]);
    } else {
      inputs[name].removeAttribute("aria-invalid");
      clearWord(faults[name]);
    }
  }
  Object.entries(inputs)
    .find(([name]) => problems[name])?.[1]
    .focus();
}
