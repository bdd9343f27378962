// Who answered: a bar for each replica, the answers in turn, and the last one whole.

import { el, reconcile, setText } from "../dom.js";
import { number } from "../format.js";
import { onLanguage, setWord } from "../language.js";
import { button, emptyState } from "../parts.js";

const LISTED = 50;

/** `node` is the card; `add(answer)` shows one more {status, servedBy, tookMs, shown}. */
export class EchoBoard {
  #answers = [];
  #tally = el("ul", { class: "tally", wordLabel: "echo.tally" });
  #summary = el("p", { class: "small muted", role: "status", id: "echo-summary" });
  #list = el("ol", { class: "answers", wordLabel: "echo.answers" });
  #last = el("pre", { class: "echo-last", tabindex: "0", wordLabel: "echo.last" });
  #reset = button("echo.reset", { look: "button-small", id: "echo-reset", on: { click: () => this.#show([]) } });
  #empty = emptyState("echo", "echo.nothing", "echo.nothing_about");
  #filled = el("div", { class: "board" });

  constructor() {
    this.#filled.append(
      this.#summary,
      this.#tally,
      el("div", {}, el("h3", { word: "echo.answers" }), this.#list),
      el("div", {}, el("h3", { word: "echo.last" }), this.#last),
    );
    const head = el("div", { class: "card-head" }, el("h2", { word: "echo.who" }), this.#reset);
    const attributes = { class: "card echo-board", wordLabel: "echo.who" };
    this.node = el("section", attributes, head, this.#empty, this.#filled);
    onLanguage(() => this.#show(this.#answers));
    this.#show([]);
  }

  add(answer) {
    this.#show([...this.#answers, { ...answer, index: this.#answers.length + 1 }]);
  }

  #show(answers) {
    this.#answers = answers;
    const counts = countBy(answers);
    this.#filled.hidden = answers.length === 0;
    this.#empty.hidden = answers.length > 0;
    this.#reset.disabled = answers.length === 0;
    setWord(this.#summary, "echo.summary", { answers: answers.length, replicas: counts.length });
    reconcile(this.#tally, counts, {
      key: ({ name }) => name,
      create: makeTally,
      update: (item, { count }) => updateTally(item, count, count / answers.length),
    });
    reconcile(this.#list, answers.slice(-LISTED).reverse(), { key: ({ index }) => index, create: makeAnswer });
    setText(this.#last, answers.at(-1)?.shown ?? "");
  }
}

function countBy(answers) {
  const counts = new Map();
  for (const { servedBy } of answers) counts.set(servedBy, (counts.get(servedBy) ?? 0) + 1);
  return [...counts]
    .map(([name, count]) => ({ name, count }))
    .sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
}

function makeTally({ name }) {
  const bar = el("span", { class: "tally-bar" }, el("span", { class: "tally-fill" }));
  return el("li", {}, el("span", { class: "tally-name mono" }, name), el("span", { class: "tally-count number" }), bar);
}

function updateTally(item, count, share) {
  setText(item.querySelector(".tally-count"), `${number(count)} · ${number(share * 100)} %`);
  item.querySelector(".tally-fill").style.width = `${Math.round(share * 100)}%`;
}

function makeAnswer({ index, status, servedBy, tookMs }) {
  return el(
    "li",
    {},
    el("span", { class: "number muted" }, `${index}`),
    el("span", { class: "mono answer-replica" }, servedBy),
    el("span", { class: `tag ${status < 400 ? "tag-accent" : ""}` }, String(status)),
    el("span", { class: "number muted" }, `${number(tookMs, 1)} ms`),
  );
}
