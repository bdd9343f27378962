// The frame around the views: which one is shown, what the tabs and the title tell, and what a screen reader hears.

import { conversationOf, countUnread } from "../conversations.js";
import { el } from "../dom.js";
import { onLanguage, setAttributeWord, t } from "../language.js";

const ANNOUNCED = 5;

export function mountShell({ store }) {
  const views = [...document.querySelectorAll(".view")];
  const tabs = [...document.querySelectorAll(".tabs a")];
  store.watch(
    ({ route }) => route,
    (route) => {
      for (const view of views) view.hidden = view.dataset.view !== route.view;
      for (const tab of tabs) {
        if (tab.dataset.view === route.view) tab.setAttribute("aria-current", "page");
        else tab.removeAttribute("aria-current");
      }
      document
        .getElementById("app")
        .toggleAttribute("data-conversation", route.view === "chat" && route.conversation !== null);
    },
  );
  mountUnread(store);
  mountAnnouncer(store);
  mountSkipLink();
}

function mountUnread(store) {
  const badge = document.getElementById("unread-total");
  function show() {
    const { inbox, me, read, route } = store.get();
    const unread = countUnread({ me, messages: inbox.messages, read });
    badge.hidden = unread === 0;
    badge.textContent = unread > 99 ? "99+" : String(unread);
    setAttributeWord(badge, "aria-label", "chat.unread", { n: unread });
    document.title = `${unread > 0 ? `(${unread}) ` : ""}${t(`shell.${route.view}`)} · WeApRous`;
  }
  for (const part of ["inbox", "me", "read", "route"]) store.watch((state) => state[part], show);
  onLanguage(show);
}

/** New messages are said as they come, wherever on the page one is. */
function mountAnnouncer(store) {
  const announcer = document.getElementById("announcer");
  store.watch(
    ({ arrivals }) => arrivals,
    (arrivals) => {
      const { me } = store.get();
      const news = (arrivals ?? []).filter((message) => message.from !== me).slice(-ANNOUNCED);
      for (const message of news) {
        const where = conversationOf(message, me);
        const key = where[0] === "#" ? "message.announce_channel" : "message.announce";
        announcer.append(
          el("p", {}, t(key, { peer: message.from, channel: where, text: message.content.slice(0, 300) })),
        );
      }
      while (announcer.childElementCount > ANNOUNCED) announcer.firstChild.remove();
    },
  );
}

function mountSkipLink() {
  document.getElementById("skip").addEventListener("click", (event) => {
    event.preventDefault();
    document.getElementById("main").focus();
  });
}
