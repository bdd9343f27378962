// What happened, the newest first.

import { byId, make, setText } from "./dom.js";
import { time } from "./format.js";
import { hasWord, onLanguage, t } from "./language.js";
import { setTold, told } from "./told.js";

const KEPT = 300;
const KINDS = {
  up: "ok", joined: "ok", undrained: "ok", reloaded: "ok",
  draining: "warn", trial: "warn", left: "quiet", missed: "warn",
  down: "bad", ejected: "bad", reload_refused: "bad",
};

const list = byId("events");
const onlyTrouble = byId("only-trouble");
let kept = []; // the newest first, as shown
let lastSeen = Infinity;

export function startEvents() {
  onlyTrouble.addEventListener("change", () => {
    list.classList.toggle("only-trouble", onlyTrouble.checked);
    showEmptiness();
  });
  onLanguage(() => list.replaceChildren(...kept.map(makeItem)));
}

/** What happens after the event of this number is news, of which trouble is read out. */
export function announceAfter(seq) {
  lastSeen = seq;
}

export function addEvent(event) {
  kept = [event, ...kept].slice(0, KEPT);
  list.prepend(makeItem(event));
  while (list.children.length > KEPT) list.lastElementChild.remove();
  showEmptiness();
  if (event.seq > lastSeen && event.upstream && kindOf(event) === "bad") announce(event);
}

const kindOf = (event) => KINDS[event.type] ?? "quiet";
const nameOf = (type) => (hasWord(`event.${type}`) ? t(`event.${type}`) : type.replaceAll("_", " "));

/** The list itself is no live region: there, a busy proxy would never stop talking. */
function announce({ type, pool, upstream, reason }) {
  setText(byId("announcer"), t("events.announced", { type: nameOf(type), pool, upstream, reason: told(reason) }));
}

function showEmptiness() {
  const trouble = kept.filter((event) => ["bad", "warn"].includes(kindOf(event)));
  byId("no-events").hidden = kept.length > 0;
  byId("no-trouble").hidden = kept.length === 0 || !onlyTrouble.checked || trouble.length > 0;
}

function makeItem(event) {
  return make(
    "li",
    { data: { kind: kindOf(event) } },
    make("time", { datetime: new Date(event.at * 1000).toISOString(), text: time(event.at) }),
    make("span", { class: "event-type", text: nameOf(event.type) }),
    make("div", { class: "event-text" }, ...describe(event)),
  );
}

function describe(event) {
  if (event.upstream) {
    const reason = make("p", { class: "small" });
    setTold(reason, event.reason);
    return [make("span", { class: "mono", text: event.upstream }), make("span", { class: "muted", translate: "no", text: ` ${event.pool}` }), reason];
  }
  if (event.type === "missed") return [make("p", { text: t("events.missed", { n: event.count }) })];
  if (event.type === "reload_refused") return [make("p", { text: t("events.refused", { n: event.mistakes.length, first: event.mistakes[0] }) })];
  if (event.type === "reloaded") return [make("p", { text: summarize(event.changes, event.version) })];
  if (event.type === "draining") return [make("p", { text: t("events.proxy_ends") })];
  return [make("p", { class: "mono small", text: JSON.stringify({ ...event, seq: undefined, at: undefined, type: undefined }) })];
}

/** What a reload has changed, in a line. */
export function summarize(changes, version) {
  if (changes.is_same) return t("change.same", { version });
  const parts = [];
  const add = (word, names) => names.length > 0 && parts.push(t(word, { names: names.join(", ") }));
  add("change.file", changes.file ?? []);
  for (const [what, { added, removed, changed }] of [["host", changes.hosts], ["pool", changes.pools]]) {
    add(`change.${what}_new`, added);
    add(`change.${what}_gone`, removed);
    add(`change.${what}_changed`, Object.keys(changed));
  }
  return t("change.version", { version, changes: parts.join("; ") });
}
