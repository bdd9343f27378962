// The rules in force: which host and path goes to which pool.

import { byId, make, setText } from "./dom.js";
import { time } from "./format.js";
import { language, t } from "./language.js";
import { markLanguage } from "./told.js";

let shown = "";

export function showRules(status) {
  const { config, hosts } = status;
  setText(byId("config"), t("rules.config", { file: config.file, version: config.version, time: time(config.loaded_at) }));
  byId("warnings").hidden = config.warnings.length === 0;
  const version = `${status.pid} ${config.version} ${language()}`;
  if (version === shown) return;
  shown = version;
  byId("warning-list").replaceChildren(...config.warnings.map(makeWarning));
  byId("rules").replaceChildren(...hosts.map(makeHost));
  byId("no-rules").hidden = hosts.length > 0;
}

/** What the reader of the file says is English, as on the command line. */
function makeWarning({ line, message }) {
  const item = make("li", { text: t("rules.warning", { line, message }) });
  markLanguage(item, true);
  return item;
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
        make("span", { class: location.pool ? "mono" : "", text: location.pool ?? t("rules.answers", { status: location.answer }) }),
        location.proxy_pass_path === null ? null : make("span", { class: "muted small", text: ` ${t("rules.as", { path: location.proxy_pass_path })}` }),
      ),
      make("td", { class: "muted number", text: t("rules.line", { line: location.line }) }),
    ),
  );
  const names = host.names.join(" ");
  return make(
    "div",
    { class: "rule" },
    make("h3", { class: "mono", text: names === "*" ? t("rules.rest") : names }),
    make(
      "table",
      { "aria-label": t("rules.locations", { names }) },
      make(
        "thead",
        { class: "visually-hidden" },
        make("tr", {}, ...["rules.path", "rules.pool", "rules.line_head"].map((word) => make("th", { scope: "col", word }))),
      ),
      make("tbody", {}, ...rows),
    ),
  );
}
