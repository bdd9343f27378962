// A card for each pool, and in it a row for each upstream; those in trouble come first.

import { KeyedList, byId, make, setData, setText } from "./dom.js";
import { count, duration, latency, number, rate } from "./format.js";
import { hasWord, t } from "./language.js";
import { told } from "./told.js";

const COLUMNS = ["upstream", "state", "rate", "under_way", "ok", "client", "server", "none", "p50", "p90", "p99"];
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
  setText(byId("other-count"), t("count.pools", { n: others.length }));
  byId("no-pools").hidden = own.length > 0;
}

function makePool({ pool }) {
  const title = make("h3", { text: pool.name, translate: "no" });
  const about = make("p", { class: "muted small" });
  const usable = make("p", { class: "chip" });
  const body = make("tbody", { role: "rowgroup" });
  const head = make("tr", { role: "row" }, ...COLUMNS.map((name) => make("th", { scope: "col", role: "columnheader", word: `column.${name}` })));
  const table = make(
    "table",
    { role: "table", wordLabel: ["pools.table", { pool: pool.name }] },
    make("thead", { role: "rowgroup" }, head),
    body,
  );
  const nobody = make("p", { class: "muted small", word: "pools.no_upstreams" });
  const list = new KeyedList(body, makeUpstream);
  const node = make(
    "section",
    { class: "card pool", wordLabel: ["pools.pool", { pool: pool.name }] },
    make("div", { class: "card-head" }, make("div", {}, title, about), usable),
    table,
    nobody,
  );
  return {
    node,
    update({ pool, histories }) {
      const usableCount = pool.upstreams.filter((upstream) => upstream.in_use).length;
      const backups = pool.upstreams.filter((upstream) => upstream.standing === "backup").length;
      const wanted = pool.upstreams.length - backups;
      setText(about, aboutOf(pool));
      setText(usable, usableOf(usableCount, wanted, backups));
      table.hidden = pool.upstreams.length === 0;
      nobody.hidden = !table.hidden;
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
  const retries = t("count.retries", { n: pool.retries });
  const parts = [t("pools.about", { policy: pool.policy, check: checkOf(pool.health_check), retries })];
  if (pool.max_waiting > 0) parts.push(t("pools.waiting", { part: count(pool.waiting), all: count(pool.max_waiting) }));
  return parts.join(" · ");
}

function usableOf(usable, wanted, backups) {
  const params = { part: count(usable), all: count(wanted), backups: t("count.backups", { n: backups }) };
  return t(backups > 0 ? "pools.in_use_backups" : "pools.in_use", params);
}

function checkOf(check) {
  if (check.kind === "on-failure") return t("pools.check_failures");
  return t(check.kind === "http" ? "pools.check_http" : "pools.check_tcp", { path: check.path, s: number(check.interval_s) });
}

function makeUpstream({ upstream }) {
  const name = make("span", { class: "mono", text: upstream.upstream });
  const note = make("span", { class: "note small" });
  const state = make("span", { class: "state" });
  const since = make("span", { class: "muted small" });
  const perSecond = make("span");
  const spark = makeSpark();
  const values = COLUMNS.slice(3).map((column) => [column, makeValue(column)]);
  const cells = Object.fromEntries(values);
  const node = make(
    "tr",
    { role: "row" },
    make("th", { scope: "row", role: "rowheader" }, name, note),
    make("td", { role: "cell", class: "state-cell" }, state, since),
    make("td", { role: "cell", class: "rate" }, makeLabel("rate"), spark.node, perSecond),
    ...values.map(([, { node }]) => node),
  );
  return {
    node,
    update({ upstream, history }) {
      setData(node, "standing", upstream.standing);
      setText(note, notesOf(upstream));
      setData(state, "standing", upstream.standing);
      setText(state, `${MARKS[upstream.standing] ?? "●"} ${word("standing", upstream.standing)}`);
      setText(since, t("upstream.state_for", { duration: duration(upstream.state_for_s) }));
      setText(perSecond, rate(history.perSecond));
      spark.update(history.series);
      const replies = (names) => names.reduce((sum, each) => sum + (upstream.replies[each] ?? 0), 0);
      const all = { part: count(upstream.in_flight), all: count(upstream.max_conns ?? 0) };
      setText(cells.under_way.value, upstream.max_conns ? t("count.part", all) : all.part);
      setText(cells.ok.value, count(replies(CLASSES.ok)));
      setText(cells.client.value, count(replies(CLASSES.client)));
      setText(cells.server.value, count(replies(CLASSES.server)));
      setData(cells.server.node, "kind", history.recent.failed > 0 ? "bad" : "");
      setText(cells.none.value, count(Object.values(upstream.failed_attempts).reduce((sum, each) => sum + each, 0)));
      for (const name of ["p50", "p90", "p99"]) setText(cells[name].value, latency(upstream.latency_s[name]));
    },
  };
}

/** A cell that says its column's name where the table has no head: on a phone. */
function makeValue(column) {
  const value = make("span");
  return { value, node: make("td", { role: "cell" }, makeLabel(column), value) };
}

const makeLabel = (column) => make("span", { class: "label", "aria-hidden": "true", word: `column.${column}` });

/** The page's word for one of the proxy's: a standing, a cause. */
function word(family, name) {
  const key = `${family}.${name.replaceAll(" ", "_")}`;
  return hasWord(key) ? t(key) : name.replaceAll("_", " ");
}

/** What a row says besides its figures: why it is out of use, and what is not as usual. */
function notesOf(upstream) {
  const notes = [];
  if (upstream.why_not_in_use) notes.push(told(upstream.why_not_in_use));
  else if (upstream.last_problem) notes.push(t("upstream.last_problem", { problem: told(upstream.last_problem) }));
  if (upstream.weight !== 1) notes.push(t("upstream.weight", { weight: number(upstream.weight) }));
  if (upstream.standing === "slow start") notes.push(t("upstream.share", { share: number(upstream.share_now) }));
  if (upstream.load !== null) notes.push(t("upstream.load", { load: number(upstream.load) }));
  const ejections = Object.entries(upstream.ejections).map(([cause, times]) => `${word("cause", cause)} ×${count(times)}`);
  if (ejections.length > 0) notes.push(t("upstream.taken_out", { causes: ejections.join(", ") }));
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
