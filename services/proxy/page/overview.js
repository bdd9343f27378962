// What somebody must see first: is all well, and if not, what is wrong. And the tiles below it.

import { KeyedList, byId, make, setData, setText } from "./dom.js";
import { count, duration, latency, plural, rate, share, size, time } from "./format.js";

const FEW_REPLIES = 20; // fewer than that in half a minute make no share worth an alarm
const BAD_SHARE = 0.05;
const MOST_PROBLEMS = 8;

/** {kind: "ok" | "warn" | "critical", headline, problems: [{key, severity, where, text}]} from what the proxy says. */
function judge(status, histories) {
  const problems = status.problems.map((each) => ({
    key: `${each.severity} ${each.pool} ${each.upstream}`,
    severity: each.severity,
    where: [each.pool, each.upstream].filter(Boolean).join(" › "),
    text: each.message + (each.for_s === undefined ? "" : ` (for ${duration(each.for_s)})`),
  }));
  const total = histories.total;
  const isAlarming = total.replies >= FEW_REPLIES && total.failed >= total.replies / 2;
  const failing = histories.failing(status, BAD_SHARE, FEW_REPLIES);
  for (const each of failing) {
    const text = `${share(each.failed / each.replies)} of its replies of the last half minute were 5xx`;
    problems.push({ key: `replies ${each.pool} ${each.upstream}`, severity: isAlarming ? "critical" : "warning", where: `${each.pool} › ${each.upstream}`, text });
  }
  if (status.draining) problems.unshift({ key: "drains", severity: "warning", where: "This proxy", text: "it drains and is about to end" });
  if (status.config.refused) {
    const text = `the last reload was refused: ${plural(status.config.refused.length, "mistake")} in ${status.config.file}; the rules before it are in force`;
    problems.push({ key: "refused", severity: "warning", where: "Configuration", text });
  }
  const worst = problems.some((each) => each.severity === "critical") ? "critical" : problems.length > 0 ? "warn" : "ok";
  return { kind: worst, headline: headlineOf(status, problems, failing.length), problems };
}

function headlineOf(status, problems, failing) {
  const ofPools = status.problems.filter((each) => each.upstream === null);
  const empty = ofPools.filter((each) => each.severity === "critical").map((each) => each.pool);
  if (empty.length === 1) return `Pool ${empty[0]} has no upstream that is fit`;
  if (empty.length > 1) return `${count(empty.length)} pools have no upstream that is fit`;
  if (status.draining) return "This proxy drains";
  const upstreams = status.pools.flatMap((pool) => pool.upstreams);
  const down = status.problems.filter((each) => each.upstream !== null).length;
  const told = [];
  if (down > 0) told.push(`${count(down)} of ${plural(upstreams.length, "upstream")} ${down === 1 ? "is" : "are"} out of use`);
  if (failing > 0) told.push(`${plural(failing, down > 0 ? "other" : "upstream")} ${failing === 1 ? "answers" : "answer"} with errors`);
  if (told.length > 0) return told.join(", ");
  if (ofPools.length > 0) return `Requests wait for a place in pool ${ofPools[0].pool}`;
  if (problems.length > 0) return "The last reload was refused";
  return upstreams.length === 1 ? "All is well: 1 upstream, in use" : `All is well: ${count(upstreams.length)} upstreams`;
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
      setText(text, problem.text);
    },
  };
});

export function showVerdict(status, histories) {
  const verdict = judge(status, histories);
  const panel = byId("headline").closest(".verdict");
  setData(panel, "kind", verdict.kind);
  setText(byId("headline"), verdict.headline);
  setText(byId("subline"), summarize(status));
  problemList.show(shorten(verdict.problems), (problem) => problem.key);
  document.title = { ok: "Proxy · well", warn: "⚠ Proxy", critical: "✖ Proxy" }[verdict.kind];
}

/** The first ones, and how many more there are. */
function shorten(problems) {
  if (problems.length <= MOST_PROBLEMS) return problems;
  const left = problems.length - MOST_PROBLEMS + 1;
  const more = { key: "more", severity: "warning", where: `and ${count(left)} more`, text: "see the pools below" };
  return [...problems.slice(0, MOST_PROBLEMS - 1), more];
}

function summarize(status) {
  const since = `rules version ${status.config.version}, since ${time(status.config.loaded_at)}`;
  return [plural(status.hosts.length, "host"), plural(status.pools.length, "pool"), since].join(" · ");
}

/** Nothing came for so long: what is shown below is old. */
export function showSilence(message, sinceS) {
  const panel = byId("headline").closest(".verdict");
  setData(panel, "kind", "critical");
  setText(byId("headline"), message);
  setText(byId("subline"), sinceS === null ? "" : `What is shown below is ${duration(sinceS)} old.`);
  document.title = "✖ Proxy";
}

const tiles = new KeyedList(byId("tiles"), (tile) => {
  const value = make("dd");
  const note = make("dd", { class: "muted small" });
  const node = make("div", { class: "tile" }, make("dt", { text: tile.name }), value, note);
  return {
    node,
    update({ text, detail, kind = "" }) {
      setText(value, text);
      setText(note, detail);
      setData(node, "kind", kind);
    },
  };
});

/** What the cache saves; nothing where it was never asked. */
function cacheTile({ verdicts, bytes, replies }) {
  const asked = Object.values(verdicts).reduce((sum, each) => sum + each, 0);
  if (asked === 0) return [];
  const stored = `${plural(replies, "reply", "replies")}, ${size(bytes)}`;
  return [{ name: "From the cache", text: share(verdicts.hit / asked), detail: stored }];
}

/** Whom the rate limits held up; nothing where they never did. */
function limitTile({ delayed, refused }) {
  if (delayed + refused === 0) return [];
  return [{ name: "Over the limit", text: count(refused), detail: `refused, ${count(delayed)} delayed` }];
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
      { name: "Requests a second", text: rate(total.perSecond), detail: "to all upstreams" },
      { name: "5xx replies", text: share(failed), detail: "of the last half minute", kind: failed >= BAD_SHARE ? "bad" : "" },
      { name: "Under way", text: count(status.in_flight), detail: `on ${plural(status.connections, "connection")}` },
      { name: "Slowest p99", text: latency(slowest?.p99 ?? null), detail: slowest?.name ?? "no replies lately" },
      { name: "Retries", text: count(retries), detail: "since the start" },
      ...cacheTile(status.cache),
      ...limitTile(status.limits),
      { name: "Up for", text: duration(status.uptime_s), detail: `since ${time(status.started_at)}` },
    ],
    (tile) => tile.name,
  );
}
