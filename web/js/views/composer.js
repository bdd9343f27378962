// Where one writes. A draft stays with its conversation; Enter sends on a keyboard and breaks the line on a phone.

import { parseKey } from "../conversations.js";
import { el, icon } from "../dom.js";
import { byteLength, number } from "../format.js";
import { setAttributeWord, setWord } from "../language.js";

const MOST_BYTES = 32 * 1024;
const TELL_FROM_BYTES = 30 * 1024;
const TALLEST_PX = 180;

export function mountComposer(root, { store, chat }) {
  const composer = new Composer({ store, chat });
  root.append(composer.form);
  store.watch(
    ({ route, me }) => JSON.stringify([me, route.conversation]),
    () => composer.open(store.get().route.conversation),
  );
}

class Composer {
  #store;
  #chat;
  #drafts = new Map(); // conversation → what was begun there
  #conversation = null;
  #input = makeInput();
  #button = makeSendButton();
  #hint = el("p", { class: "composer-hint small muted", id: "composer-hint" });

  constructor({ store, chat }) {
    this.#store = store;
    this.#chat = chat;
    const box = el("div", { class: "composer-box" }, this.#input, this.#button);
    this.form = el("form", { class: "composer-form", on: { submit: (event) => this.#send(event) } }, box, this.#hint);
    this.#input.addEventListener("input", () => this.#refresh());
    this.#input.addEventListener("keydown", (event) => isSendKey(event) && this.#send(event));
    new ResizeObserver(() => fitHeight(this.#input)).observe(this.form);
  }

  /** Writes to that conversation from now on; null is none. */
  open(key) {
    if (this.#conversation) this.#drafts.set(this.#conversation, this.#input.value);
    this.#conversation = key;
    const conversation = parseKey(key);
    if (!conversation) return;
    this.#input.value = this.#drafts.get(key) ?? "";
    const name = conversation.kind === "channel" ? `#${conversation.name}` : conversation.name;
    setAttributeWord(this.#input, "placeholder", "chat.write_to", { name });
    setAttributeWord(this.#input, "aria-label", "chat.write_to", { name });
    this.#refresh();
  }

  #refresh() {
    const text = this.#input.value;
    const bytes = byteLength(text);
    this.#button.disabled = text.trim() === "" || bytes > MOST_BYTES || !this.#store.get().me;
    this.#hint.dataset.kind = bytes > MOST_BYTES ? "error" : "";
    setWord(this.#hint, hintWord(bytes), { bytes: number(bytes), most: number(MOST_BYTES) });
    fitHeight(this.#input);
  }

  #send(event) {
    event.preventDefault();
    if (this.#button.disabled) return;
    this.#chat.sent.send(this.#conversation, this.#input.value.replace(/^\s*\n|\s+$/g, ""));
    this.#input.value = "";
    this.#drafts.delete(this.#conversation);
    this.#refresh();
    this.#input.focus();
  }
}

function makeInput() {
  const attributes = { rows: "1", enterkeyhint: "send", "aria-describedby": "composer-hint" };
  return el("textarea", { class: "composer-input", id: "composer", ...attributes });
}

function makeSendButton() {
  const attributes = { type: "submit", wordLabel: "chat.send", wordTitle: "chat.send" };
  return el("button", { class: "composer-send", ...attributes }, icon("send"));
}

function hintWord(bytes) {
  if (bytes > MOST_BYTES) return "chat.too_long";
  return bytes > TELL_FROM_BYTES ? "chat.nearly_too_long" : "chat.composer_hint";
}

function isSendKey(event) {
  const isComposing = event.isComposing || event.keyCode === 229; // an input method is writing, as for Vietnamese
  return event.key === "Enter" && !event.shiftKey && !isComposing && !matchMedia("(pointer: coarse)").matches;
}

/** As tall as its text. Out of sight nothing can be measured, and the style sheet's height stands. */
function fitHeight(input) {
  input.style.height = "";
  if (input.scrollHeight > input.clientHeight) input.style.height = `${Math.min(input.scrollHeight, TALLEST_PX)}px`;
}
