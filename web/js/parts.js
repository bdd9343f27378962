// Small pieces that several views use: an avatar, a result next to a control, a dialog, an empty state.

import { describeError } from "./api.js";
import { el, icon } from "./dom.js";
import { clearWord, setWord } from "./language.js";

const HUES = 8;

/** A round picture of a peer: two characters of its id, a colour that stays the same. */
export function avatar(peerId, extraClass = "") {
  const initials = peerId.match(/^[a-z]\d{1,2}$/i)?.[0] ?? peerId.slice(0, 2);
  return el("span", { class: `avatar ${extraClass}`, "aria-hidden": "true", data: { hue: hueOf(peerId) } }, initials);
}

export function channelAvatar(extraClass = "") {
  return el("span", { class: `avatar avatar-channel ${extraClass}`, "aria-hidden": "true" }, "#");
}

function hueOf(text) {
  let sum = 0;
  for (const character of text) sum = (sum * 31 + character.codePointAt(0)) % 9973;
  return sum % HUES;
}

/** A button with words; `look` adds classes, `iconName` a picture before the words, the rest are attributes. */
export function button(word, { look = "", iconName, type = "button", ...attributes } = {}) {
  const picture = iconName && icon(iconName);
  return el("button", { class: `button ${look}`.trim(), type, ...attributes }, picture, el("span", { word }));
}

/** A button that is only a picture; its name is for screen readers. */
export function iconButton(word, iconName, attributes = {}) {
  return el("button", { class: "button-icon", type: "button", wordLabel: word, ...attributes }, icon(iconName));
}

/** A label above a control, and what belongs below it. The control needs an id. */
export function field(word, control, { look = "", below = [] } = {}) {
  return el("div", { class: `field ${look}`.trim() }, el("label", { for: control.id, word }), control, below);
}

/** A line for what a control did; screen readers hear it when it changes. */
export function resultLine() {
  return el("p", { class: "result", role: "status" });
}

export function showResult(line, kind, key, params) {
  line.dataset.kind = kind;
  setWord(line, key, params);
}

export function showError(line, error) {
  showResult(line, "error", ...describeError(error));
}

export function clearResult(line) {
  delete line.dataset.kind;
  clearWord(line);
}

/**
 * Runs the action of a button: the button waits meanwhile, the line tells the failure. Returns what the action
 * returned, or undefined when it failed.
 */
export async function runAction(button, line, action) {
  clearResult(line);
  button.disabled = true;
  try {
    return await action();
  } catch (error) {
    showError(line, error);
    return undefined;
  } finally {
    button.disabled = false;
  }
}

let dialogCount = 0;

/** A modal dialog with a title and a way to close it. `body` and `foot` are nodes; `form` wraps them in a form. */
export function makeDialog({ title, body, foot, onSubmit }) {
  dialogCount += 1;
  const titleId = `dialog-title-${dialogCount}`;
  const heading = el("h2", { id: titleId, word: title });
  const close = iconButton("dialog.close", "close");
  const head = el("div", { class: "dialog-head" }, heading, close);
  const content = [head, el("div", { class: "dialog-body" }, body), el("div", { class: "dialog-foot" }, foot)];
  const inner = onSubmit ? [el("form", { novalidate: true, on: { submit: onSubmit } }, content)] : content;
  const dialog = el("dialog", { class: "dialog", "aria-labelledby": titleId }, inner);
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.heading = heading;
  document.body.append(dialog);
  return dialog;
}

/** Words where there is nothing yet; the last may be a command to type. */
export function emptyState(iconName, titleKey, textKey, command) {
  return el(
    "div",
    { class: "empty" },
    icon(iconName),
    el("strong", { word: titleKey }),
    el("p", { word: textKey }),
    command && el("code", {}, command),
  );
}
