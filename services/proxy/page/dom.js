// Making elements, and keeping lists of them up to date without losing what a person has focused or selected.

import { setAttributeWord, setWord } from "./language.js";

/**
 * An element with attributes (or `on…` listeners, `text`, `data`) and children; text goes in as text, never as markup.
 * `word`, a key or [key, params], is its text in the page's language, `wordLabel` its name for a screen reader likewise.
 */
export function make(tag, options = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name === "word") setWord(node, ...[value].flat());
    else if (name === "wordLabel") setAttributeWord(node, "aria-label", ...[value].flat());
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** The element with that id. */
export const byId = (id) => document.getElementById(id);

/** Changes a text only when it is another one: a selection in it stays, and a live region is not read again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** As setText, for a data attribute that styles hang on. */
export function setData(node, name, value) {
  if (node.dataset[name] !== value) node.dataset[name] = value;
}

/** A list of elements by key: those that stay are updated in place, others come and go. */
export class KeyedList {
  #parent;
  #create;
  #entries = new Map();

  /** create(item) → {node, update(item)}. */
  constructor(parent, create) {
    this.#parent = parent;
    this.#create = create;
  }

  show(items, keyOf) {
    const before = this.#entries;
    this.#entries = new Map();
    let place = this.#parent.firstElementChild;
    for (const item of items) {
      const key = keyOf(item);
      const entry = before.get(key) ?? this.#create(item);
      before.delete(key);
      this.#entries.set(key, entry);
      entry.update(item);
      if (entry.node === place) place = place.nextElementSibling;
      else this.#parent.insertBefore(entry.node, place);
    }
    for (const entry of before.values()) entry.node.remove();
  }
}
