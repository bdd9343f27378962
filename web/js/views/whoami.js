// Who am I: the account button with its menu. The logout is a form, so that it works as a plain request too.
// The way to the proxy's own page is shown where a proxy stands before this site and lets this person in.

import { requestJson } from "../api.js";
import { el, icon } from "../dom.js";
import { forgetAll } from "../history.js";
import { setAttributeWord, setWord } from "../language.js";
import { avatar } from "../parts.js";

const PROXY_STATUS = "/_proxy/status";

export function mountWhoami(root, { store, tracker, chat }) {
  const button = el("button", {
    class: "account-button",
    type: "button",
    popovertarget: "account-menu",
    wordLabel: "account.open",
    on: { pointerenter: lookForProxy, focus: lookForProxy }, // before the menu opens, so that nothing in it moves
  });
  const proxy = el(
    "a",
    { class: "menu-item", id: "proxy-page", href: "/_proxy/", hidden: true },
    icon("heart"),
    el("span", { word: "account.proxy" }),
  );
  async function lookForProxy() {
    try {
      const { pools } = await requestJson(PROXY_STATUS);
      proxy.hidden = !Array.isArray(pools);
    } catch {
      proxy.hidden = true; // a backend without a proxy, or a session that ended
    }
  }
  const name = el("strong", { id: "account-name" });
  const peers = el("span", { class: "small muted" });
  const leave = () => {
    tracker.pause();
    chat.stop(); // first, or what still arrives would be remembered again
    forgetAll();
  };
  const submit = el(
    "button",
    { class: "menu-item", type: "submit", id: "logout" },
    icon("logout"),
    el("span", { word: "account.logout" }),
  );
  const logout = el("form", { method: "post", action: "/logout", on: { submit: leave } }, submit);
  const facts = el("div", { class: "menu-facts" }, name, peers);
  root.append(button, el("div", { class: "menu", id: "account-menu", popover: "auto" }, facts, proxy, logout));

  store.watch(
    ({ user }) => user,
    (user) => {
      button.hidden = !user;
      if (!user) return;
      button.replaceChildren(avatar(user.user, "avatar-small"), el("span", { class: "account-user" }, user.user));
      setAttributeWord(button, "aria-label", "account.open_as", { user: user.user });
      name.textContent = user.user;
      setWord(peers, ...describePeers(user.peers ?? []));
    },
  );
}

function describePeers(peers) {
  if (peers.includes("*")) return ["account.all_peers"];
  if (peers.length === 0) return ["account.no_peers"];
  return ["account.some_peers", { peers: peers.join(", ") }];
}
