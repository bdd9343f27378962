// What happened, the newest first.

import { byId, make } from "./dom.js";
import { plural, time } from "./format.js";

const KEPT = 300;
const KINDS = {
  up: "ok", joined: "ok", undrained: "ok", reloaded: "ok",
  draining: "warn", trial: "warn", left: "quiet", missed: "warn",
  down: "bad", ejected: "bad", reload_refused: "bad",
};
const NAMES = { reload_refused: "refused", undrained: "back" };

const list = byId("events");

export function startEvents() {
  byId("only-trouble").addEventListener("change", (event) => {
    list.classList.toggle("only-trouble", event.target.checked);
  });
}

export function addEvent(event) {
  byId("no-events").hidden = true;
  const kind = KINDS[event.type] ?? "quiet";
  const item = make(
    "li",
    { data: { kind } },
    make("time", { datetime: new Date(event.at * 1000).toISOString(), text: time(event.at) }),
    make("span", { class: "event-type", text: NAMES[event.type] ?? event.type.replaceAll("_", " ") }),
    make("div", { class: "event-text" }, ...describe(event)),
  );
  list.prepend(item);
  while (list.children.length > KEPT) list.lastElementChild.remove();
}

function describe(event) {
  if (event.upstream) {
    return [make("span", { class: "mono", text: event.upstream }), make("span", { class: "muted", text: ` ${event.pool}` }), make("p", { class: "small", text: event.reason })];
  }
  if (event.type === "missed") return [make("p", { text: `${plural(event.count, "earlier event")} no longer remembered` })];
  if (event.type === "reload_refused") return [make("p", { text: `${plural(event.mistakes.length, "mistake")} in the file: ${event.mistakes[0]}` })];
  if (event.type === "reloaded") return [make("p", { text: summarize(event.changes, event.version) })];
  if (event.type === "draining") return [make("p", { text: "this proxy ends" })];
  return [make("p", { class: "mono small", text: JSON.stringify({ ...event, seq: undefined, at: undefined, type: undefined }) })];
}

/** What a reload has changed, in a line. */
export function summarize(changes, version) {
  if (changes.is_same) return `Version ${version}: the rules mean the same as before.`;
  const parts = [];
  if (changes.file?.length) parts.push(`file: ${changes.file.join(", ")}`);
  for (const [what, { added, removed, changed }] of [["host", changes.hosts], ["pool", changes.pools]]) {
    if (added.length > 0) parts.push(`new ${what} ${added.join(", ")}`);
    if (removed.length > 0) parts.push(`${what} ${removed.join(", ")} gone`);
    const names = Object.keys(changed);
    if (names.length > 0) parts.push(`${what} ${names.join(", ")} changed`);
  }
  return `Version ${version}: ${parts.join("; ")}.`;
}
