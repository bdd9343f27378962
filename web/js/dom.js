// Builds elements. Text goes in through text nodes only, so nothing a person writes can become markup.
// Words are given by key (language.js), so that a change of language rewrites them in place.

import { setAttributeWord, setWord } from "./language.js";

const SVG = "http://www.w3.org/2000/svg";
const ATTRIBUTE_WORDS = { wordLabel: "aria-label", wordPlaceholder: "placeholder", wordTitle: "title" };

/**
 * An element with attributes and children. Special attributes: `word` (a key, or [key, params]) is its text,
 * `wordLabel`, `wordPlaceholder` and `wordTitle` likewise for attributes; `on` holds event listeners, `data` the
 * dataset. False, null and undefined leave an attribute out; true writes it empty.
 */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) setAttribute(node, name, value);
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

function setAttribute(node, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name === "word") setWord(node, ...[value].flat());
  else if (name in ATTRIBUTE_WORDS) setAttributeWord(node, ATTRIBUTE_WORDS[name], ...[value].flat());
  else if (name === "on") for (const [type, listener] of Object.entries(value)) node.addEventListener(type, listener);
  else if (name === "data") Object.assign(node.dataset, value);
  else if (name === "value") node.value = value;
  else node.setAttribute(name, value === true ? "" : value);
}

/** A picture from images/icons.svg; decoration only, the name for a screen reader is the control's. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `/images/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

/** Words that only a screen reader says. */
export function hiddenWord(key, params) {
  return el("span", { class: "visually-hidden", word: [key, params] });
}

/** Makes the children of `parent` those of `items`, in order, keeping the nodes whose key is still there. */
export function reconcile(parent, items, { key, create, update }) {
  const existing = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  let previous = null;
  for (const item of items) {
    const itemKey = String(key(item));
    let node = existing.get(itemKey);
    if (node) existing.delete(itemKey);
    else {
      node = create(item);
      node.dataset.key = itemKey;
    }
    update?.(node, item);
    const wanted = previous ? previous.nextSibling : parent.firstChild;
    if (node !== wanted) parent.insertBefore(node, wanted);
    previous = node;
  }
  for (const node of existing.values()) node.remove();
}

/** Writes text only when it differs, so that a screen reader and the layout are left in peace. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
