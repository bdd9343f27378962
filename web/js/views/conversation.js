// The right side of the chat: one conversation. Its head, the messages, and the place to write (composer.js).

import { membersOf, parseKey, timelineOf } from "../conversations.js";
import { el, icon, reconcile } from "../dom.js";
import { onLanguage, setWord } from "../language.js";
import { avatar, channelAvatar, emptyState, resultLine, runAction } from "../parts.js";
import { isChatPeer, isDialled } from "../tracker.js";
import { mountComposer } from "./composer.js";
import { makeMessage, updateMessage } from "./message.js";

const SHOWN_AT_FIRST = 200;
const NEAR_END_PX = 60;

export function mountConversation(root, { store, chat }) {
  const view = {
    store,
    chat,
    ...buildParts(root),
    shown: SHOWN_AT_FIRST,
    isPinned: true,
    openedKey: null,
    firstUnread: null,
  };
  mountComposer(view.composer, { store, chat });
  view.log.addEventListener("scroll", () => scrolled(view), { passive: true });
  new ResizeObserver(() => view.isPinned && scrollToEnd(view)).observe(view.log);
  view.jump.addEventListener("click", () => scrollToEnd(view));
  view.earlier.addEventListener("click", () => showEarlier(view));
  for (const part of ["route", "inbox", "sent", "me"])
    store.watch(
      (state) => state[part],
      () => showMessages(view),
    );
  for (const part of ["route", "peers", "me"])
    store.watch(
      (state) => state[part],
      () => showHead(view),
    );
  onLanguage(() => {
    showHead(view);
    showMessages(view);
  });
  document.addEventListener("visibilitychange", () => readWhatIsSeen(view));
}

function buildParts(root) {
  const head = el("header", { class: "conversation-head" });
  const back = el(
    "a",
    { class: "button-icon conversation-back", href: "#/chat", wordLabel: "chat.back" },
    icon("back"),
  );
  const title = el("h1", { class: "conversation-title", id: "conversation-title", tabindex: "-1" });
  const about = el("p", { class: "conversation-about small muted" });
  const picture = el("span", { class: "conversation-picture" });
  head.append(back, picture, el("div", { class: "conversation-names" }, title, about));
  const earlier = el("button", { class: "button button-small", type: "button", word: "chat.earlier" });
  const earlierLine = el("div", { class: "earlier", hidden: true }, earlier, resultLine());
  const list = el("ol", { class: "messages" });
  const empty = el("div", { class: "messages-empty" });
  const log = el(
    "div",
    { class: "log", id: "log", tabindex: "0", role: "region", "aria-labelledby": "conversation-title" },
    earlierLine,
    empty,
    list,
  );
  const jump = el(
    "button",
    { class: "jump", type: "button", hidden: true, wordLabel: "chat.jump" },
    icon("down"),
    el("span", { word: "chat.new_messages" }),
  );
  const composer = el("div", { class: "composer" });
  const none = el("div", { class: "conversation-none" }, emptyState("chat", "chat.choose", "chat.choose_about"));
  const open = el(
    "div",
    { class: "conversation-open", hidden: true },
    head,
    el("div", { class: "log-frame" }, log, jump),
    composer,
  );
  root.append(none, open);
  return { none, open, title, about, picture, earlier, earlierLine, list, empty, log, jump, composer };
}

function showHead(view) {
  const { route, peers, me } = view.store.get();
  const conversation = parseKey(route.conversation);
  view.none.hidden = conversation !== null;
  view.open.hidden = conversation === null;
  if (!conversation) return;
  const { kind, name } = conversation;
  const picture = { key: (key) => key, create: () => (kind === "channel" ? channelAvatar() : avatar(name)) };
  reconcile(view.picture, [route.conversation], picture);
  view.title.textContent = kind === "channel" ? `#${name}` : name;
  if (kind === "channel") {
    const members = membersOf(name, peers, me).map((peer) => peer.peer_id);
    setWord(view.about, members.length ? "chat.members" : "chat.no_members", {
      n: members.length,
      members: members.join(", "),
    });
    return;
  }
  const peer = peers.find((one) => one.peer_id === name && isChatPeer(one));
  view.picture.firstChild.dataset.alive = String(Boolean(peer));
  if (peer) setWord(view.about, isDialled(peer) ? "chat.alive" : "chat.not_dialled");
  else setWord(view.about, "chat.away_about");
}

function showMessages(view) {
  const state = view.store.get();
  const key = state.route.conversation;
  if (!parseKey(key)) {
    view.openedKey = null;
    return;
  }
  const timeline = timelineOf(key, { me: state.me, messages: state.inbox.messages, sent: state.sent });
  if (`${state.me} ${key}` !== view.openedKey) startConversation(view, state, timeline);
  const items = timeline.slice(-view.shown);
  const hadOwn = view.list.querySelectorAll(".message.is-mine").length;
  const isChannel = key[0] === "#";
  reconcile(view.list, items, {
    key: (item) => item.key,
    create: (item) => makeMessage(item, { isChannel, chat: view.chat }),
    update: (node, item) => updateMessage(node, item, { isFirstUnread: item.key === view.firstUnread }),
  });
  view.earlierLine.hidden = timeline.length <= view.shown && state.inbox.firstSeq === 0;
  showEmptiness(view, state, items.length === 0, key);
  settleScroll(view, view.list.querySelectorAll(".message.is-mine").length > hadOwn);
  readWhatIsSeen(view);
}

/** Another conversation: from the end, with a line above what had not been read when it was opened. */
function startConversation(view, { me, route: { conversation: key }, read }, timeline) {
  view.openedKey = `${me} ${key}`;
  view.shown = SHOWN_AT_FIRST;
  view.isPinned = true;
  view.firstUnread = key in read ? (timeline.find((item) => !item.isMine && item.seq > read[key])?.key ?? null) : null;
  view.list.replaceChildren();
}

function showEmptiness(view, state, isEmpty, key) {
  const isWaiting = state.me && !state.inbox.isLoaded && state.link.status === "connecting";
  view.empty.hidden = !isEmpty || isWaiting;
  const kind = state.me ? (key[0] === "#" ? "channel" : "person") : "nobody";
  if (view.empty.dataset.kind === kind) return;
  view.empty.dataset.kind = kind;
  view.empty.replaceChildren(emptyState("chat", `chat.empty_${kind}`, `chat.empty_${kind}_about`));
}

// Scrolling: at the end it stays at the end; further up nothing moves under the reader's eyes

function scrolled(view) {
  const { scrollHeight, scrollTop, clientHeight } = view.log;
  view.isPinned = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
  if (view.isPinned) view.jump.hidden = true;
}

function settleScroll(view, hasNewOwn) {
  if (view.isPinned || hasNewOwn) scrollToEnd(view);
  else view.jump.hidden = view.list.childElementCount === 0;
}

function scrollToEnd(view) {
  view.isPinned = true;
  view.jump.hidden = true;
  view.log.scrollTop = view.log.scrollHeight;
}

async function showEarlier(view) {
  const { log, earlier, earlierLine, store, chat } = view;
  const fromEnd = log.scrollHeight - log.scrollTop;
  view.isPinned = false;
  view.shown += SHOWN_AT_FIRST;
  if (store.get().inbox.firstSeq > 0) await runAction(earlier, earlierLine.lastChild, () => chat.loadEarlier());
  showMessages(view);
  view.jump.hidden = true;
  log.scrollTop = log.scrollHeight - fromEnd;
}

function readWhatIsSeen(view) {
  const { route } = view.store.get();
  if (document.hidden || route.view !== "chat" || !route.conversation) return;
  view.chat.markRead(route.conversation);
}
