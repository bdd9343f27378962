// The left side of the chat: which local peer I am, how its connection does, and the list of conversations.

import { describeError } from "../api.js";
import { listConversations } from "../conversations.js";
import { el, reconcile, setText } from "../dom.js";
import { shortTime } from "../format.js";
import { onLanguage, setWord, t } from "../language.js";
import { avatar, button, channelAvatar, emptyState, makeDialog, resultLine, runAction } from "../parts.js";
import { localPeerIds } from "../tracker.js";

export function mountPeople(root, { store, chat }) {
  root.append(localPeerCard({ store, chat }), conversationLists({ store }));
}

// Who I am here

function localPeerCard({ store, chat }) {
  const select = el("select", { class: "input", id: "local-peer", on: { change: () => chat.choose(select.value) } });
  store.watch(
    (state) => JSON.stringify(choices(state)),
    () => showChoices(select, choices(store.get())),
  );
  const label = el("label", { for: "local-peer", word: "chat.local_peer" });
  const head = el("div", { class: "local-peer-head" }, label, linkStatus({ store }));
  return el("div", { class: "local-peer" }, head, select, boxes({ store, chat }));
}

function linkStatus({ store }) {
  const dot = el("span", { class: "dot" });
  const status = el("span", { id: "link-status", role: "status" });
  store.watch(
    (state) => state.link,
    (link) => showLink({ dot, status, link }),
  );
  return el("p", { class: "local-peer-status small" }, dot, status);
}

/** How much is in the inbox and the outbox, and the button that empties the first. */
function boxes({ store, chat }) {
  const open = clearDialog({ store, chat });
  const clear = button("chat.clear", {
    look: "button-small",
    iconName: "trash",
    id: "clear-inbox",
    on: { click: open },
  });
  const facts = el("span", { class: "number" });
  store.watch(
    ({ inbox, outboxPending, me }) => `${me} ${inbox.count} ${outboxPending}`,
    () => {
      const { inbox, outboxPending, me } = store.get();
      setWord(facts, "chat.box_counts", { inbox: inbox.count, outbox: outboxPending });
      clear.disabled = !me;
    },
  );
  return el("div", { class: "local-peer-boxes small muted" }, facts, clear);
}

/** The peers to choose from; the chosen one is in the list even when the tracker has lost it. */
function choices({ user, peers, address, me, tracker }) {
  const alive = new Set(peers.map((peer) => peer.peer_id));
  const ids = localPeerIds({ user, peers, address });
  if (me && !ids.includes(me)) ids.unshift(me);
  return { me, ids: ids.map((id) => ({ id, isAway: tracker.status === "live" && !alive.has(id) })) };
}

function showChoices(select, { me, ids }) {
  const options = ids.map(({ id, isAway }) => {
    return isAway
      ? el("option", { value: id, word: ["chat.peer_away", { peer: id }] })
      : el("option", { value: id }, id);
  });
  if (ids.length === 0) options.push(el("option", { value: "", word: "chat.no_local_peer" }));
  select.replaceChildren(...options);
  select.disabled = ids.length === 0;
  select.value = me ?? "";
}

function showLink({ dot, status, link }) {
  dot.dataset.status = link.status;
  if (link.problem) setWord(status, ...describeLinkProblem(link.problem));
  else setWord(status, `link.${link.status}`);
}

/** Why the local peer can't be reached. */
function describeLinkProblem(problem) {
  if (problem.status === 404) return ["link.not_registered"];
  if (problem.status >= 502 || problem.code === "network" || problem.code === "timeout") return ["link.unreachable"];
  return describeError(problem);
}

function clearDialog({ store, chat }) {
  const line = resultLine();
  const about = el("p");
  const keep = el("button", {
    class: "button",
    type: "button",
    word: "chat.clear_keep",
    on: { click: () => dialog.close() },
  });
  const clear = el("button", {
    class: "button button-danger",
    type: "button",
    id: "clear-confirm",
    word: "chat.clear_confirm",
  });
  const dialog = makeDialog({ title: "chat.clear_title", body: [about], foot: [line, keep, clear] });
  clear.addEventListener("click", async () => {
    const done = await runAction(clear, line, async () => (await chat.clear(), true));
    if (done) dialog.close();
  });
  return () => {
    const { me, inbox } = store.get();
    setWord(about, "chat.clear_about", { peer: me, n: inbox.count });
    dialog.showModal();
    keep.focus();
  };
}

// The conversations

function conversationLists({ store }) {
  const channels = el("ul", { class: "conversations", "aria-labelledby": "channels-title" });
  const people = el("ul", { class: "conversations", "aria-labelledby": "people-title" });
  const peopleTitle = el("h2", { class: "list-title", id: "people-title" });
  const nobody = emptyState("peers", "chat.nobody", "chat.nobody_about", "python -m services.peer --help");
  const unreached = emptyState("peers", "peers.unreached", "peers.unreached_about");

  function show() {
    const state = store.get();
    const all = listConversations({ ...state, messages: state.inbox.messages });
    const persons = all.filter(({ kind }) => kind === "person");
    showConversations(channels, all.slice(0, all.length - persons.length), state); // channels come first
    showConversations(people, persons, state);
    setWord(peopleTitle, "chat.people", { n: persons.filter(({ isAlive }) => isAlive).length });
    nobody.hidden = persons.length > 0 || state.tracker.status !== "live";
    unreached.hidden = persons.length > 0 || state.tracker.status !== "retrying";
  }

  for (const part of ["peers", "inbox", "sent", "read", "me", "route", "tracker"]) {
    store.watch((state) => state[part], show);
  }
  onLanguage(show);
  const channelsTitle = el("h2", { class: "list-title", id: "channels-title", word: "chat.channels" });
  const attributes = { class: "people-scroll", wordLabel: "chat.conversations" };
  return el("nav", attributes, channelsTitle, channels, peopleTitle, people, nobody, unreached);
}

function showConversations(list, conversations, state) {
  reconcile(list, conversations, {
    key: ({ key }) => key,
    create: makeRow,
    update: (node, conversation) => updateRow(node, conversation, state),
  });
}

function makeRow({ key, kind, name }) {
  const picture = kind === "channel" ? channelAvatar() : avatar(name);
  const link = el(
    "a",
    { class: "conversation", href: `#/chat/${encodeURIComponent(key)}` },
    picture,
    el("span", { class: "conversation-name" }, name),
    el("span", { class: "conversation-time number" }),
    el("span", { class: "conversation-preview" }),
    el("span", { class: "badge conversation-unread" }),
    kind === "person" && el("span", { class: "visually-hidden conversation-alive" }),
  );
  return el("li", {}, link);
}

function updateRow(node, conversation, { route, me }) {
  const part = (name) => node.querySelector(`.conversation-${name}`);
  const { last, unread, isAlive, kind } = conversation;
  const link = node.firstChild;
  if (route.conversation === conversation.key) link.setAttribute("aria-current", "true");
  else link.removeAttribute("aria-current");
  link.classList.toggle("is-unread", unread > 0);
  setText(part("time"), last ? shortTime(last.at) : "");
  setText(part("preview"), preview(conversation, me));
  part("preview").dataset.state = last?.state ?? "";
  const badge = part("unread");
  badge.hidden = unread === 0;
  setText(badge, unread > 99 ? "99+" : String(unread));
  badge.setAttribute("aria-label", t("chat.unread", { n: unread }));
  if (kind !== "person") return;
  node.querySelector(".avatar").dataset.alive = String(isAlive);
  setText(part("alive"), t(isAlive ? "chat.alive" : "chat.away"));
}

function preview({ last, kind, isAlive }, me) {
  if (!last) return t(kind === "channel" ? "chat.channel_about" : isAlive ? "chat.say_hello" : "chat.away");
  const text = last.text.slice(0, 120).replace(/\s+/g, " ");
  if (last.state === "failed") return t("chat.preview_failed", { text });
  if (last.isMine) return t("chat.preview_mine", { text });
  return kind === "channel" && last.from !== me ? `${last.from}: ${text}` : text;
}
