// One message: its text, when, and for one's own what became of it.

import { describeError } from "../api.js";
import { el, hiddenWord, icon, setText } from "../dom.js";
import { clockTime, dayName, fullTime } from "../format.js";
import { setAttributeWord, setWord, t } from "../language.js";
import { avatar } from "../parts.js";

const URL_IN_TEXT = /https?:\/\/[^\s<>"']+[^\s<>"'.,;:!?)\]}]/g;
const STATE_ICONS = { sending: "clock", delivered: "checks", queued: "clock", failed: "alert" };

export function makeMessage(item, { isChannel, chat }) {
  const bubble = el(
    "div",
    { class: "bubble" },
    isChannel && !item.isMine && el("span", { class: "message-from" }, item.from),
    el("p", { class: "message-text" }, withLinks(item.text)),
    el(
      "span",
      { class: "message-meta" },
      el("time", { class: "number", datetime: new Date(item.at).toISOString() }),
      item.sent && el("span", { class: "message-state" }),
    ),
  );
  return el(
    "li",
    { class: `message ${item.isMine ? "is-mine" : ""}` },
    el("div", { class: "day", hidden: true }),
    el("div", { class: "unread-line", hidden: true }, el("span", { word: "chat.new_messages" })),
    el(
      "div",
      { class: "message-row" },
      isChannel && !item.isMine && avatar(item.from, "avatar-small"),
      el(
        "div",
        { class: "message-body" },
        hiddenWord(...author(item)),
        bubble,
        item.sent && outcome(item.sent.id, chat),
      ),
    ),
  );
}

function author(item) {
  return item.isMine ? ["message.you_wrote"] : ["message.they_wrote", { peer: item.from }];
}

/** Below the bubble: what a person should know or can do about a message that has not arrived. */
function outcome(id, chat) {
  return el(
    "div",
    { class: "message-outcome", role: "status", hidden: true },
    el("span", { class: "message-outcome-text" }),
    el("button", {
      class: "button-link message-retry",
      type: "button",
      word: "message.retry",
      on: { click: () => chat.sent.retry(id) },
    }),
    el("button", {
      class: "button-link message-discard",
      type: "button",
      word: "message.discard",
      on: { click: () => chat.sent.discard(id) },
    }),
  );
}

export function updateMessage(node, item, { isFirstUnread }) {
  node.classList.toggle("starts-group", item.startsGroup);
  const day = node.querySelector(".day");
  day.hidden = !item.startsDay;
  if (item.startsDay) setText(day, dayName(item.at));
  node.querySelector(".unread-line").hidden = !isFirstUnread;
  const time = node.querySelector("time");
  setText(time, clockTime(item.at));
  time.title = fullTime(item.at);
  if (item.sent) updateState(node, item.sent);
}

function updateState(node, sent) {
  const mark = node.querySelector(".message-state");
  node.dataset.state = sent.state;
  if (mark.dataset.state !== sent.state) {
    mark.dataset.state = sent.state;
    mark.replaceChildren(icon(STATE_ICONS[sent.state]), hiddenWord(`message.${sent.state}`));
    setAttributeWord(mark, "title", `message.${sent.state}`);
  }
  const line = node.querySelector(".message-outcome");
  const words = outcomeWords(sent);
  line.hidden = words === null;
  if (words) setWord(line.querySelector(".message-outcome-text"), ...words);
  line.querySelector(".message-retry").hidden = sent.state !== "failed";
  const discard = line.querySelector(".message-discard");
  discard.hidden = sent.state !== "failed" && sent.state !== "queued";
  setWord(discard, sent.state === "queued" ? "message.take_back" : "message.discard");
}

function outcomeWords({ state, targets, problem, conversation }) {
  const waiting = targets.filter(({ status }) => status === "queued").map(({ peer_id: id }) => id);
  if (state === "queued" && conversation[0] === "#" && targets.length === 0) return ["message.queued_unknown"];
  if (state === "queued" && conversation[0] === "#")
    return [
      "message.queued_some",
      { n: targets.length - waiting.length, all: targets.length, peers: waiting.join(", ") },
    ];
  if (state === "queued") return ["message.queued_one", { peer: conversation.slice(1) }];
  if (state === "delivered" && conversation[0] === "#" && targets.length === 0) return ["message.nobody_there"];
  if (state !== "failed") return null;
  if (!problem) return ["message.failed_unknown"];
  const [key, params] = describeError(problem);
  return ["message.failed_because", { reason: t(key, params) }];
}

/** The text as nodes; addresses of the web become links, everything else stays text. */
function withLinks(text) {
  const nodes = [];
  let position = 0;
  for (const match of text.matchAll(URL_IN_TEXT)) {
    nodes.push(
      text.slice(position, match.index),
      el("a", { href: match[0], target: "_blank", rel: "noopener noreferrer" }, match[0]),
    );
    position = match.index + match[0].length;
  }
  nodes.push(text.slice(position));
  return nodes.filter((node) => node !== "");
}
