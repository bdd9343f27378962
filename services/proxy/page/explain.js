// "Where would a request go?": the form, and the answer as steps.

import { fetchExplanation } from "./api.js";
import { byId, make } from "./dom.js";

const form = byId("explain");
const answer = byId("explanation");

export function startExplain() {
  form.elements.host.value = location.host;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    explain();
  });
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
    answer.replaceChildren(...describe(await fetchExplanation(query)));
  } catch (error) {
    answer.replaceChildren(make("p", { class: "bad", text: error.message }));
  }
}

function describe(told) {
  const rule = told.rule ? [step("Rule", describeRule(told.rule))] : [];
  if (told.answer) {
    const { status, location: target, why } = told.answer;
    return [...rule, step("Answer", `The proxy itself answers ${status}${target ? ` to ${target}` : ""}: ${why}.`)];
  }
  return [
    ...rule,
    ...beforehand(told),
    step("Sent as", `${told.method} ${told.upstream_target}`, "mono"),
    step("Pool", `${told.pool}, ${told.policy}`),
    make("div", { class: "step" }, make("h3", { text: "Upstream" }), choice(told)),
    step("If it fails", told.retries.why),
  ];
}

/** What comes before an upstream is asked, where the rule says anything about it. */
function beforehand({ limits, cache }) {
  const isLimited = limits.rates.length > 0 || limits.max_body_bytes !== null;
  return [...(isLimited ? [step("Limits", limits.why)] : []), ...(cache ? [step("Cache", cache.why)] : [])];
}

function describeRule(rule) {
  const host = `host ${rule.host} (line ${rule.host_line})`;
  if (rule.location === "/" && rule.location_line === rule.host_line) return host;
  return `${host}, location ${rule.is_exact ? "= " : ""}${rule.location} (line ${rule.location_line})`;
}

const step = (name, text, kind = "") => make("div", { class: "step" }, make("h3", { text: name }), make("p", { text, class: kind }));

function choice(told) {
  const rows = told.candidates.map((name) => {
    const isChosen = name === told.chosen;
    return make(
      "li",
      { class: isChosen ? "chosen" : "" },
      make("span", { class: "mono", text: name }),
      make("span", { class: "small", text: isChosen ? `chosen: ${told.why}` : "may be chosen, not this time" }),
    );
  });
  const others = told.left_out.map((each) =>
    make("li", { class: "left-out" }, make("span", { class: "mono", text: each.upstream }), make("span", { class: "small", text: `not: ${each.why}` })),
  );
  const nobody = told.chosen === null ? make("p", { class: "bad", text: told.why }) : null;
  return make("div", {}, nobody, make("ul", { class: "choices" }, ...rows, ...others));
}
