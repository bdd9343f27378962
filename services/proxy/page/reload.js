// The button that has the configuration read again, and what came of it.

import { postReload } from "./api.js";
import { byId, make, setData } from "./dom.js";
import { summarize } from "./events.js";
import { onLanguage, t } from "./language.js";
import { markLanguage, told } from "./told.js";

const button = byId("reload");
const panel = byId("reload-result");
let isReloading = false;
let render = () => {};

/** `onDone()` is called after each reload, whatever came of it. */
export function startReload(onDone) {
  button.addEventListener("click", async () => {
    isReloading = button.disabled = true;
    await reload();
    isReloading = button.disabled = false;
    onDone();
  });
  byId("reload-close").addEventListener("click", () => {
    panel.hidden = true;
    button.focus();
  });
  onLanguage(() => render());
}

/** Whoever may not reload sees no button. */
export function allowReload(status) {
  button.hidden = !status.may_reload;
  button.disabled = isReloading;
}

async function reload() {
  try {
    const outcome = await postReload();
    render = () => show("ok", t("reload.done"), bodyOf(outcome));
  } catch (error) {
    const { mistakes } = error;
    if (mistakes) render = () => show("bad", t("reload.refused", { n: mistakes.length }), mistakesOf(mistakes));
    else render = () => show("bad", t("reload.failed"), [make("p", { text: error.text })]);
  }
  render();
  panel.hidden = false;
  panel.focus();
}

function bodyOf({ changes, version, warnings, certificate_problem: problem }) {
  const body = [make("p", { text: summarize(changes, version) }), ...detailsOf(changes)];
  if (warnings.length > 0) body.push(make("p", { text: t("reload.odd") }), listPlaces(warnings));
  if (problem) body.push(make("p", { class: "bad", text: t("reload.certificates", { problem: told(problem) }) }));
  return body;
}

/** What is different about a host or a pool, in the words of the file. */
function detailsOf(changes) {
  const lines = [changes.hosts, changes.pools].flatMap(({ changed }) =>
    Object.entries(changed).map(([name, what]) => make("li", {}, make("strong", { class: "mono", text: name }), english(` ${what.join(", ")}`))),
  );
  return lines.length > 0 ? [make("ul", { class: "small" }, ...lines)] : [];
}

function listPlaces(mistakes) {
  const rows = mistakes.map(({ line, column, message }) =>
    make("li", {}, make("span", { class: "mono place", text: t("reload.place", { line, column }) }), english(message)),
  );
  return make("ol", { class: "mistakes" }, ...rows);
}

/** What the reader of the file says is English, as on the command line. */
function english(text) {
  const node = make("span", { text });
  markLanguage(node, true);
  return node;
}

function mistakesOf(mistakes) {
  const file = mistakes[0]?.file ?? "proxy.conf";
  return [make("p", { text: t("reload.unchanged", { file }) }), listPlaces(mistakes)];
}

function show(kind, title, body) {
  setData(panel, "kind", kind);
  byId("reload-title").textContent = title;
  byId("reload-body").replaceChildren(...body);
}
