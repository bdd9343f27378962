// The proxy's sentences (sentences.js), told in the page's language.

import { setText } from "./dom.js";
import { language, LANGUAGES, t } from "./language.js";
import { number } from "./format.js";
import { SENTENCES } from "./sentences.js";

const NUMBERS = new Set(["n", "s", "errors", "replies", "status", "waiting", "busy", "old"]);
const RATE = "([^ ]+r/[sm])"; // else "3 at once" would be one, too
const MOST_KEPT = 1000;
const kept = new Map();
let keptLanguage = "";

/** What says most without a gap is tried first: `it is ejected: …` before `…; for … s`. */
const PATTERNS = Object.entries(SENTENCES)
  .flatMap(([key, [english]]) => Object.values(typeof english === "object" ? english : { english }).map((text) => [key, text]))
  .map(([key, text]) => ({ key, ...toPattern(text), said: text.replace(/\{\w+\}/g, "").length }))
  .sort((one, other) => other.said - one.said);

function toPattern(text) {
  const names = [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
  const gapOf = (name) => (NUMBERS.has(name) ? "(\\d+(?:\\.\\d+)?)" : name === "rate" ? RATE : "(.+?)");
  const parts = text.split(/\{(\w+)\}/).map((part, i) => (i % 2 ? gapOf(part) : part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")));
  return { names, pattern: new RegExp(`^${parts.join("")}$`, "s") };
}

/** The sentence in the page's language, and those within it; what the page doesn't know stays as it came. */
export function told(sentence) {
  if (keptLanguage !== language() || kept.size > MOST_KEPT) kept.clear();
  keptLanguage = language();
  if (!kept.has(sentence)) kept.set(sentence, translate(sentence));
  return kept.get(sentence);
}

function translate(sentence) {
  for (const { key, names, pattern } of PATTERNS) {
    const found = pattern.exec(sentence);
    if (found) return t(key, Object.fromEntries(names.map((name, i) => [name, fill(name, found[i + 1])])));
  }
  return sentence;
}

function fill(name, text) {
  if (name === "n") return Number(text);
  if (name === "status") return text;
  return NUMBERS.has(name) ? number(Number(text)) : translate(text);
}

/** Makes the sentence the node's text; one that stays English says so to a screen reader. */
export function setTold(node, sentence) {
  const text = told(sentence);
  setText(node, text);
  markLanguage(node, text === sentence);
}

/** Says of a node whether its text is the proxy's own English, as the mistakes of a file are. */
export function markLanguage(node, isEnglish) {
  if (isEnglish && language() !== LANGUAGES[0]) node.lang = LANGUAGES[0];
  else node.removeAttribute("lang");
}
