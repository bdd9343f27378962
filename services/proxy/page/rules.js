// The rules in force: which host and path goes to which pool.

import { byId, make, setText } from "./dom.js";
import { time } from "./format.js";

let shown = "";

export function showRules(status) {
  const { config, hosts } = status;
  setText(byId("config"), `${config.file}, version ${config.version}, read ${time(config.loaded_at)}`);
  byId("warnings").hidden = config.warnings.length === 0;
  const version = `${status.pid} ${config.version}`;
  if (version === shown) return;
  shown = version;
  byId("warning-list").replaceChildren(...config.warnings.map(({ line, message }) => make("li", { text: `Line ${line}: ${message}` })));
  byId("rules").replaceChildren(...hosts.map(makeHost));
}

function makeHost(host) {
  const rows = host.locations.map((location) =>
    make(
      "tr",
      {},
      make("td", { class: "mono", text: (location.is_exact ? "= " : "") + location.path }),
      make(
        "td",
        {},
        make("span", { class: location.pool ? "mono" : "", text: location.pool ?? `answers ${location.answer}` }),
        location.proxy_pass_path === null ? null : make("span", { class: "muted small", text: ` as ${location.proxy_pass_path}…` }),
      ),
      make("td", { class: "muted number", text: `line ${location.line}` }),
    ),
  );
  const names = host.names.join(" ");
  return make(
    "div",
    { class: "rule" },
    make("h3", { class: "mono", text: names === "*" ? "* (every other host)" : names }),
    make(
      "table",
      { "aria-label": `Locations of ${names}` },
      make(
        "thead",
        { class: "visually-hidden" },
        make("tr", {}, ...["Path", "Pool", "Line"].map((text) => make("th", { scope: "col", text }))),
      ),
      make("tbody", {}, ...rows),
    ),
  );
}
