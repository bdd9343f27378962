// The button that has the configuration read again, and what came of it.

import { postReload } from "./api.js";
import { byId, make, setData } from "./dom.js";
import { summarize } from "./events.js";
import { plural } from "./format.js";

const button = byId("reload");
const panel = byId("reload-result");
let isReloading = false;

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
}

/** Whoever may not reload sees no button. */
export function allowReload(status) {
  button.hidden = !status.may_reload;
  button.disabled = isReloading;
}

async function reload() {
  try {
    const told = await postReload();
    const problem = told.certificate_problem;
    const body = [make("p", { text: summarize(told.changes, told.version) }), ...detailsOf(told.changes)];
    if (told.warnings.length > 0) body.push(make("p", { text: "Odd, but in use:" }), listPlaces(told.warnings));
    if (problem) body.push(make("p", { class: "bad", text: `The certificates stay as they were: ${problem}` }));
    show("ok", "The configuration is in force", body);
  } catch (error) {
    if (error.mistakes) show("bad", `Refused: ${plural(error.mistakes.length, "mistake")} in the file`, mistakesOf(error));
    else show("bad", "Not reloaded", [make("p", { text: error.message })]);
  }
}

function detailsOf(changes) {
  const lines = [changes.hosts, changes.pools].flatMap(({ changed }) =>
    Object.entries(changed).map(([name, what]) => make("li", {}, make("strong", { class: "mono", text: name }), ` ${what.join(", ")}`)),
  );
  return lines.length > 0 ? [make("ul", { class: "small" }, ...lines)] : [];
}

function listPlaces(mistakes) {
  const rows = mistakes.map((mistake) =>
    make(
      "li",
      {},
      make("span", { class: "mono place", text: `line ${mistake.line}, column ${mistake.column}` }),
      make("span", { text: mistake.message }),
    ),
  );
  return make("ol", { class: "mistakes" }, ...rows);
}

function mistakesOf(error) {
  const file = error.mistakes[0]?.file ?? "the file";
  return [
    make("p", {}, "Nothing has changed: the rules before are in force, with all states and connections. Mend ", make("span", { class: "mono", text: file }), " and reload again."),
    listPlaces(error.mistakes),
  ];
}

function show(kind, title, body) {
  setData(panel, "kind", kind);
  byId("reload-title").textContent = title;
  byId("reload-body").replaceChildren(...body);
  panel.hidden = false;
  panel.focus();
}
