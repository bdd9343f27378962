// "Where would a request go?": the form, and the answer as steps.

import { fetchExplanation } from "./api.js";
import { byId, make } from "./dom.js";
import { onLanguage, t } from "./language.js";
import { told } from "./told.js";

const form = byId("explain");
const answer = byId("explanation");
let show = () => [];

export function startExplain() {
  form.elements.host.value = location.host;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    explain();
  });
  onLanguage(() => answer.replaceChildren(...show()));
}

/** The names that the rules know, to choose from. */
export function offerHosts(hosts) {
  const names = hosts.flatMap((host) => host.names).filter((name) => !name.includes("*"));
  const options = byId("host-names");
  const known = [...options.children].map((option) => option.value);
  if (names.join() !== known.join()) options.replaceChildren(...names.map((value) => make("option", { value })));
}

async function explain() {
  const { method, host, path, client, headers } = form.elements;
  const query = new URLSearchParams({ method: method.value, host: host.value.trim(), path: path.value.trim() });
  if (client.value.trim()) query.set("client", client.value.trim());
  for (const line of headers.value.split("\n").filter((each) => each.trim())) query.append("header", line.trim());
  try {
    const found = await fetchExplanation(query);
    show = () => describe(found);
  } catch (error) {
    show = () => [make("p", { class: "bad", text: error.text })];
  }
  answer.replaceChildren(...show());
}

function describe(found) {
  const rule = found.rule ? [step("explain.rule", describeRule(found.rule))] : [];
  if (found.answer) {
    const { status, location: target, why } = found.answer;
    const answered = step("explain.answer", t(target ? "explain.redirects" : "explain.answers", { status, target, why: told(why) }));
    return [...rule, answered, ...(found.reply_fields ? describeFields(found.reply_fields) : [])];
  }
  return [
    ...rule,
    ...beforehand(found),
    step("explain.sent", `${found.method} ${found.upstream_target}`, "mono"),
    step("explain.pool", t("explain.pool_policy", found)),
    make("div", { class: "step" }, make("h3", { word: "explain.upstream" }), choice(found)),
    step("explain.if_fails", told(found.retries.why)),
    ...describeFields(found.reply_fields),
  ];
}

/** What comes before an upstream is asked, where the rule says anything about it. */
function beforehand({ limits, cache }) {
  const isLimited = limits.rates.length + limits.at_once.length > 0 || limits.max_body_bytes !== null;
  const steps = isLimited ? [step("explain.limits", told(limits.why))] : [];
  if (cache) steps.push(step("explain.cache", told(cache.why)));
  if (cache && cache.key !== null) steps.push(step("explain.cache_key", cache.key, "mono"));
  return steps;
}

/** What the rule does to the fields of the reply, if anything. An empty one is not sent. */
function describeFields({ added, hidden }) {
  const lines = [
    ...added.filter(({ value }) => value !== "").map(({ name, value, always }) => t(always ? "explain.adds_always" : "explain.adds", { field: `${name}: ${value}` })),
    ...hidden.map((name) => t("explain.hides", { name })),
  ];
  return lines.length > 0 ? [step("explain.fields", lines.join("; "))] : [];
}

function describeRule(rule) {
  const host = t("explain.in_host", { host: rule.host, line: rule.host_line });
  if (rule.location === "/" && rule.location_line === rule.host_line) return host;
  return t("explain.in_location", { host, location: (rule.is_exact ? "= " : "") + rule.location, line: rule.location_line });
}

const step = (word, text, kind = "") => make("div", { class: "step" }, make("h3", { word }), make("p", { text, class: kind }));

function choice(found) {
  const rows = found.candidates.map((name) => {
    const isChosen = name === found.chosen;
    return make(
      "li",
      { class: isChosen ? "chosen" : "" },
      make("span", { class: "mono", text: name }),
      make("span", { class: "small", text: isChosen ? t("explain.chosen", { why: told(found.why) }) : t("explain.not_now") }),
    );
  });
  const others = found.left_out.map((each) =>
    make("li", { class: "left-out" }, make("span", { class: "mono", text: each.upstream }), make("span", { class: "small", text: t("explain.left_out", { why: told(each.why) }) })),
  );
  const nobody = found.chosen === null ? make("p", { class: "bad", text: told(found.why) }) : null;
  return make("div", {}, nobody, make("ul", { class: "choices" }, ...rows, ...others));
}
