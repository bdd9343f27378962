// A card for each pool, and in it a row for each upstream; those in trouble come first.

import { KeyedList, byId, make, setData, setText } from "./dom.js";
import { count, duration, latency, plural, rate } from "./format.js";

const COLUMNS = ["Upstream", "State", "Requests/s", "Under way", "2xx · 3xx", "4xx", "5xx", "No reply", "p50", "p90", "p99"];
const CLASSES = { ok: ["1xx", "2xx", "3xx"], client: ["4xx"], server: ["5xx"] };
const MARKS = {
  up: "●", "slow start": "◔", full: "◉", backup: "◌", draining: "◐",
  joining: "○", trial: "?", ejected: "✖", down: "✖", gone: "–",
};
const TROUBLES = new Set(["down", "ejected", "trial"]);
const SPARK = { width: 72, height: 20 };

export function showPools(status, histories) {
  const referenced = new Set(status.hosts.flatMap((host) => host.locations.map((location) => location.pool)));
  const own = status.pools.filter((pool) => referenced.has(pool.name));
  const others = status.pools.filter((pool) => !referenced.has(pool.name));
  const rows = (pools) => pools.map((pool) => ({ pool, histories }));
  own.sort((one, other) => hasTrouble(other) - hasTrouble(one));
  ownPools.show(rows(own), ({ pool }) => pool.name);
  otherPools.show(rows(others), ({ pool }) => pool.name);
  byId("other-pools").hidden = others.length === 0;
  if (others.some(hasTrouble)) byId("other-pools").open = true;
  setText(byId("other-count"), plural(others.length, "pool"));
}

function makePool({ pool }) {
  const title = make("h3", { text: pool.name });
  const about = make("p", { class: "muted small" });
  const usable = make("p", { class: "chip" });
  const body = make("tbody", { role: "rowgroup" });
  const head = make("tr", { role: "row" }, ...COLUMNS.map((name) => make("th", { scope: "col", role: "columnheader", text: name })));
  const table = make(
    "table",
    { role: "table", "aria-label": `Upstreams of ${pool.name}` },
    make("thead", { role: "rowgroup" }, head),
    body,
  );
  const list = new KeyedList(body, makeUpstream);
  const node = make(
    "section",
    { class: "card pool", "aria-label": `Pool ${pool.name}` },
    make("div", { class: "card-head" }, make("div", {}, title, about), usable),
    table,
  );
  return {
    node,
    update({ pool, histories }) {
      const usableCount = pool.upstreams.filter((upstream) => upstream.in_use).length;
      const backups = pool.upstreams.filter((upstream) => upstream.standing === "backup").length;
      const wanted = pool.upstreams.length - backups;
      setText(about, aboutOf(pool));
      setText(usable, `${count(usableCount)} of ${count(wanted)} in use${backups > 0 ? `, ${plural(backups, "backup")}` : ""}`);
      setData(usable, "kind", usableCount + backups === 0 ? "critical" : usableCount < wanted ? "warn" : "ok");
      const troubledFirst = [...pool.upstreams].sort((one, other) => isTroubled(other) - isTroubled(one));
      list.show(troubledFirst.map((upstream) => ({ upstream, history: histories.of(pool, upstream) })), ({ upstream }) => upstream.upstream);
    },
  };
}

const ownPools = new KeyedList(byId("pools"), makePool);
const otherPools = new KeyedList(byId("other-list"), makePool);

const isTroubled = (upstream) => TROUBLES.has(upstream.standing);
const hasTrouble = (pool) => pool.upstreams.some(isTroubled) || !pool.upstreams.some((upstream) => upstream.in_use);

function aboutOf(pool) {
  const parts = [pool.policy, checkOf(pool.health_check), plural(pool.retries, "retry", "retries")];
  if (pool.max_waiting > 0) parts.push(`${count(pool.waiting)} of ${count(pool.max_waiting)} waiting`);
  return parts.join(" · ");
}

function checkOf(check) {
  if (check.kind === "on-failure") return "checked after failures only";
  const what = check.kind === "http" ? `HTTP check of ${check.path}` : "TCP check";
  return `${what} each ${Number(check.interval_s.toPrecision(2))} s`;
}

function makeUpstream({ upstream }) {
  const name = make("span", { class: "mono", text: upstream.upstream });
  const note = make("span", { class: "note small" });
  const state = make("span", { class: "state" });
  const since = make("span", { class: "muted small" });
  const perSecond = make("span");
  const spark = makeSpark();
  const cells = Object.fromEntries(COLUMNS.slice(3).map((column) => [column, make("td", { role: "cell", data: { label: column } })]));
  const node = make(
    "tr",
    { role: "row" },
    make("th", { scope: "row", role: "rowheader" }, name, note),
    make("td", { role: "cell", class: "state-cell" }, state, since),
    make("td", { role: "cell", data: { label: COLUMNS[2] }, class: "rate" }, spark.node, perSecond),
    ...Object.values(cells),
  );
  return {
    node,
    update({ upstream, history }) {
      setData(node, "standing", upstream.standing);
      setText(note, notesOf(upstream));
      setData(state, "standing", upstream.standing);
      setText(state, `${MARKS[upstream.standing] ?? "●"} ${upstream.standing}`);
      setText(since, `for ${duration(upstream.state_for_s)}`);
      setText(perSecond, rate(history.perSecond));
      spark.update(history.series);
      const replies = (names) => names.reduce((sum, each) => sum + (upstream.replies[each] ?? 0), 0);
      setText(cells["Under way"], count(upstream.in_flight) + (upstream.max_conns ? ` of ${count(upstream.max_conns)}` : ""));
      setText(cells["2xx · 3xx"], count(replies(CLASSES.ok)));
      setText(cells["4xx"], count(replies(CLASSES.client)));
      setText(cells["5xx"], count(replies(CLASSES.server)));
      setData(cells["5xx"], "kind", history.recent.failed > 0 ? "bad" : "");
      setText(cells["No reply"], count(Object.values(upstream.failed_attempts).reduce((sum, each) => sum + each, 0)));
      for (const name of ["p50", "p90", "p99"]) setText(cells[name], latency(upstream.latency_s[name]));
    },
  };
}

/** What a row says besides its figures: why it is out of use, and what is not as usual. */
function notesOf(upstream) {
  const notes = [];
  if (upstream.why_not_in_use) notes.push(upstream.why_not_in_use);
  else if (upstream.last_problem) notes.push(`last problem: ${upstream.last_problem}`);
  if (upstream.weight !== 1) notes.push(`weight ${upstream.weight}`);
  if (upstream.standing === "slow start") notes.push(`counts as weight ${upstream.share_now} for now`);
  if (upstream.load !== null) notes.push(`load ${upstream.load}`);
  const ejections = Object.entries(upstream.ejections).map(([cause, times]) => `${cause.replaceAll("_", " ")} ×${times}`);
  if (ejections.length > 0) notes.push(`taken out: ${ejections.join(", ")}`);
  return notes.join(" · ");
}

/** Requests a second as a small line; for the eye only, the figure stands beside it. */
function makeSpark() {
  const space = "http://www.w3.org/2000/svg";
  const node = document.createElementNS(space, "svg");
  const line = document.createElementNS(space, "polyline");
  node.setAttribute("viewBox", `0 0 ${SPARK.width} ${SPARK.height}`);
  node.setAttribute("class", "spark");
  node.setAttribute("aria-hidden", "true");
  node.append(line);
  return {
    node,
    update(series) {
      const top = Math.max(1, ...series);
      const step = SPARK.width / Math.max(30, series.length - 1);
      const left = SPARK.width - step * (series.length - 1);
      const points = series.map((each, i) => {
        const y = SPARK.height - 1.5 - (each / top) * (SPARK.height - 3);
        return `${(left + i * step).toFixed(1)},${y.toFixed(1)}`;
      });
      line.setAttribute("points", points.join(" "));
    },
  };
}
