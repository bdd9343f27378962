// What somebody must see first: is all well, and if not, what is wrong. And the tiles below it.

import { KeyedList, byId, make, setData, setText } from "./dom.js";
import { count, duration, latency, rate, share, size, time } from "./format.js";
import { clearWord, t } from "./language.js";
import { told } from "./told.js";

const FEW_REPLIES = 20; // fewer than that in half a minute make no share worth an alarm
const BAD_SHARE = 0.05;
const MOST_PROBLEMS = 8;

/** {kind: "ok" | "warn" | "critical", headline, problems: [{key, severity, where, isName, text}]} from what the proxy says. */
function judge(status, histories) {
  const problems = status.problems.map((each) => ({
    key: `${each.severity} ${each.pool} ${each.upstream}`,
    severity: each.severity,
    where: [each.pool, each.upstream].filter(Boolean).join(" › "),
    isName: true,
    text: each.for_s === undefined ? told(each.message) : t("problem.for", { text: told(each.message), duration: duration(each.for_s) }),
  }));
  const total = histories.total;
  const isAlarming = total.replies >= FEW_REPLIES && total.failed >= total.replies / 2;
  const failing = histories.failing(status, BAD_SHARE, FEW_REPLIES);
  for (const each of failing) {
    const text = t("problem.errors", { share: share(each.failed / each.replies) });
    const where = `${each.pool} › ${each.upstream}`;
    problems.push({ key: `replies ${where}`, severity: isAlarming ? "critical" : "warning", where, isName: true, text });
  }
  if (status.draining) problems.unshift({ key: "drains", severity: "warning", where: t("problem.proxy"), text: t("problem.drains") });
  if (status.config.refused) {
    const text = t("problem.refused", { n: status.config.refused.length, file: status.config.file });
    problems.push({ key: "refused", severity: "warning", where: t("problem.configuration"), text });
  }
  const worst = problems.some((each) => each.severity === "critical") ? "critical" : problems.length > 0 ? "warn" : "ok";
  return { kind: worst, headline: headlineOf(status, problems, failing.length), problems };
}

function headlineOf(status, problems, failing) {
  const ofPools = status.problems.filter((each) => each.upstream === null);
  const empty = ofPools.filter((each) => each.severity === "critical").map((each) => each.pool);
  if (empty.length === 1) return t("verdict.unfit_pool", { pool: empty[0] });
  if (empty.length > 1) return t("verdict.unfit_pools", { n: empty.length });
  if (status.draining) return t("verdict.drains");
  const upstreams = status.pools.flatMap((pool) => pool.upstreams);
  const down = status.problems.filter((each) => each.upstream !== null).length;
  const parts = [];
  if (down > 0) parts.push(t("verdict.out", { n: down, all: t("count.upstreams", { n: upstreams.length }) }));
  if (failing > 0) parts.push(t(down > 0 ? "verdict.failing_too" : "verdict.failing", { n: failing }));
  if (parts.length > 0) return parts.join(", ");
  if (ofPools.length > 0) return t("verdict.waiting", { pool: ofPools[0].pool });
  if (problems.length > 0) return t("verdict.refused");
  return upstreams.length === 1 ? t("verdict.well_one") : t("verdict.well", { n: upstreams.length });
}

const problemList = new KeyedList(byId("problems"), () => {
  const where = make("strong");
  const text = make("span");
  const node = make("li", {}, where, text);
  return {
    node,
    update(problem) {
      setData(node, "severity", problem.severity);
      setText(where, problem.where);
      where.translate = !problem.isName;
      setText(text, problem.text);
    },
  };
});

export function showVerdict(status, histories) {
  const verdict = judge(status, histories);
  const panel = byId("headline").closest(".verdict");
  setData(panel, "kind", verdict.kind);
  setHeadline(verdict.headline);
  setText(byId("subline"), summarize(status));
  problemList.show(shorten(verdict.problems), (problem) => problem.key);
  document.title = t(`shell.title_${verdict.kind}`);
}

function setHeadline(text) {
  const node = byId("headline");
  if (node.dataset.word) clearWord(node); // "Asking the proxy…" is over
  setText(node, text);
}

/** The first ones, and how many more there are. */
function shorten(problems) {
  if (problems.length <= MOST_PROBLEMS) return problems;
  const left = problems.length - MOST_PROBLEMS + 1;
  const more = { key: "more", severity: "warning", where: t("problem.more", { n: left }), text: t("problem.see_pools") };
  return [...problems.slice(0, MOST_PROBLEMS - 1), more];
}

function summarize(status) {
  const since = t("verdict.rules", { version: status.config.version, time: time(status.config.loaded_at) });
  return [t("count.hosts", { n: status.hosts.length }), t("count.pools", { n: status.pools.length }), since].join(" · ");
}

/** Nothing came for so long: what is shown below is old. */
export function showSilence(message, sinceS) {
  const panel = byId("headline").closest(".verdict");
  setData(panel, "kind", "critical");
  setHeadline(message);
  setText(byId("subline"), sinceS === null ? "" : t("verdict.old", { duration: duration(sinceS) }));
  document.title = t("shell.title_critical");
}

const tiles = new KeyedList(byId("tiles"), (tile) => {
  const value = make("dd");
  const note = make("dd", { class: "muted small" });
  const node = make("div", { class: "tile" }, make("dt", { word: tile.name }), value, note);
  return {
    node,
    update({ text, detail, kind = "" }) {
      setText(value, text);
      setText(note, detail);
      setData(node, "kind", kind);
    },
  };
});

/** What the cache saves; nothing where it was never asked. A stale reply that is fetched anew meanwhile is its, too. */
function cacheTile({ verdicts, bytes, max_bytes, replies, refreshing }) {
  const asked = Object.values(verdicts).reduce((sum, each) => sum + each, 0);
  if (asked === 0) return [];
  const kept = `${t("count.replies", { n: replies })}, ${t("count.part", { part: size(bytes), all: size(max_bytes) })}`;
  const detail = refreshing > 0 ? `${kept}, ${t("tile.refreshing", { n: refreshing })}` : kept;
  return [{ name: "tile.cache", text: share((verdicts.hit + verdicts.updating) / asked), detail }];
}

/** Whom limits held up, by rate or by what is under way at once; nothing where they never did. */
function limitTile({ delayed, refused, at_once: zones }) {
  const crowded = zones.reduce((sum, zone) => sum + zone.refused, 0);
  if (delayed + refused + crowded === 0) return [];
  const params = { delayed: count(delayed), often: count(refused), crowded: count(crowded) };
  return [{ name: "tile.over_limit", text: count(refused + crowded), detail: t(zones.length > 0 ? "tile.limited_both" : "tile.limited", params) }];
}

export function showTiles(status, histories) {
  const total = histories.total;
  const failed = total.replies > 0 ? total.failed / total.replies : null;
  const slowest = status.pools
    .flatMap((pool) => pool.upstreams.map((upstream) => ({ name: upstream.upstream, p99: upstream.latency_s.p99 })))
    .filter((each) => each.p99 !== null)
    .sort((one, other) => other.p99 - one.p99)[0];
  const retries = status.pools.reduce((sum, pool) => sum + pool.retries, 0);
  tiles.show(
    [
      { name: "tile.requests", text: rate(total.perSecond), detail: t("tile.to_all") },
      { name: "tile.errors", text: share(failed), detail: t("tile.half_minute"), kind: failed >= BAD_SHARE ? "bad" : "" },
      { name: "tile.under_way", text: count(status.in_flight), detail: t("tile.on", { connections: t("count.connections", { n: status.connections }) }) },
      { name: "tile.slowest", text: latency(slowest?.p99 ?? null), detail: slowest?.name ?? t("tile.no_replies") },
      { name: "tile.retries", text: count(retries), detail: t("tile.since_start") },
      ...cacheTile(status.cache),
      ...limitTile(status.limits),
      { name: "tile.up_for", text: duration(status.uptime_s), detail: t("tile.since", { time: time(status.started_at) }) },
    ],
    (tile) => tile.name,
  );
}
