// Which language the page speaks, and how words get into elements. The words themselves are in words.js.
// A node remembers the key of its word in `data-word`, so that switching rewrites the text in place and keeps
// focus, scroll and what was typed. Static HTML uses the same attributes.
// The proxy's page has this file too, to the letter (a test holds it): a choice made here holds there, and the other way.

import { WORDS } from "./words.js";

export const LANGUAGES = ["en", "vi"];
const REMEMBERED = "weaprous:language";
const ATTRIBUTES = ["aria-label", "placeholder", "title"];
const listeners = new Set();
let current = LANGUAGES[0];

export function language() {
  return current;
}

/**
 * The word in the current language; `{name}` is filled in from params. `n` is how many: it chooses between one and other,
 * and is written as the language writes numbers.
 */
export function t(key, params = {}) {
  const entry = WORDS[key];
  if (!entry) return key;
  let text = entry[LANGUAGES.indexOf(current)];
  if (typeof text === "object") text = text[new Intl.PluralRules(current).select(params.n)] ?? text.other;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in params ? written(name, params[name]) : whole));
}

const written = (name, value) => (name === "n" ? new Intl.NumberFormat(current).format(value) : String(value));

/** Is there such a word? */
export function hasWord(key) {
  return key in WORDS;
}

/** Makes the word the text of the node, now and after a change of language. */
export function setWord(node, key, params) {
  node.dataset.word = key;
  if (params) node.dataset.wordParams = JSON.stringify(params);
  else delete node.dataset.wordParams;
  const text = t(key, params);
  if (node.textContent !== text) node.textContent = text;
}

/** Makes the word the value of an attribute: aria-label, placeholder or title. */
export function setAttributeWord(node, attribute, key, params) {
  node.setAttribute(`data-word-${attribute}`, key);
  if (params) node.setAttribute(`data-word-${attribute}-params`, JSON.stringify(params));
  node.setAttribute(attribute, t(key, params));
}

/** Leaves the node empty and without a word. */
export function clearWord(node) {
  delete node.dataset.word;
  delete node.dataset.wordParams;
  node.textContent = "";
}

/** Rewrites every word under the root in the current language. */
export function translateTree(root) {
  for (const node of root.querySelectorAll("[data-word]")) {
    setWord(node, node.dataset.word, parseParams(node.dataset.wordParams));
  }
  for (const attribute of ATTRIBUTES) {
    for (const node of root.querySelectorAll(`[data-word-${attribute}]`)) {
      const params = parseParams(node.getAttribute(`data-word-${attribute}-params`));
      setAttributeWord(node, attribute, node.getAttribute(`data-word-${attribute}`), params);
    }
  }
}

function parseParams(text) {
  return text ? JSON.parse(text) : undefined;
}

/** Calls the listener after each change of language. Returns the way out. */
export function onLanguage(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Speaks the language from now on, and next time too. */
export function setLanguage(code) {
  const chosen = LANGUAGES.includes(code) ? code : LANGUAGES[0];
  try {
    localStorage.setItem(REMEMBERED, chosen);
  } catch {
    // Storage may be switched off; the page then forgets.
  }
  speak(chosen);
}

/** Takes the remembered language, else the browser's if we speak it, else English; follows what other tabs choose. */
export function startLanguage() {
  let remembered = null;
  try {
    remembered = localStorage.getItem(REMEMBERED);
  } catch {
    // As above.
  }
  const wanted = [remembered, ...(navigator.languages ?? [])].filter(Boolean).map((code) => code.slice(0, 2));
  current = wanted.find((code) => LANGUAGES.includes(code)) ?? LANGUAGES[0];
  applyLanguage();
  window.addEventListener("storage", ({ key, newValue }) => {
    if (key === REMEMBERED && LANGUAGES.includes(newValue)) speak(newValue);
  });
}

function speak(code) {
  current = code;
  applyLanguage();
  for (const listener of listeners) listener(current);
}

function applyLanguage() {
  document.documentElement.lang = current;
  translateTree(document);
  for (const button of document.querySelectorAll("[data-language]")) {
    button.setAttribute("aria-pressed", String(button.dataset.language === current));
  }
}

/** Makes every `[data-language]` button switch to its language. */
export function bindLanguageButtons() {
  for (const button of document.querySelectorAll("[data-language]")) {
    button.addEventListener("click", () => setLanguage(button.dataset.language));
  }
}
