// Puts the page together: language, store, the services that fill it, the views that show it.

import { rememberedAddress } from "./address.js";
import { requestJson } from "./api.js";
import { Chat } from "./chat.js";
import { bindLanguageButtons, startLanguage } from "./language.js";
import { retryDelayMs } from "./live.js";
import { followRoute } from "./route.js";
import { store } from "./state.js";
import { Tracker } from "./tracker.js";
import { mountBanners } from "./views/banners.js";
import { mountChat } from "./views/chat.js";
import { mountConnection } from "./views/connection.js";
import { mountEcho } from "./views/echo.js";
import { mountPeers } from "./views/peers.js";
import { mountShell } from "./views/shell.js";
import { mountWhoami } from "./views/whoami.js";

const byId = (id) => document.getElementById(id);

function mountAll() {
  const tracker = new Tracker(store);
  const chat = new Chat(store);
  const openConnection = mountConnection(byId("tracker-status"), { store, tracker });
  const context = { store, tracker, chat, openConnection };
  mountWhoami(byId("account"), context);
  mountBanners(byId("banners"), context);
  mountChat(byId("view-chat"), context);
  mountPeers(byId("view-peers"), context);
  mountEcho(byId("view-echo"), context);
  mountShell(context);
  return context;
}

/** Asks who is logged in until there is an answer. Somebody else than before gets a page of his own. */
async function learnUser(attempt = 0) {
  try {
    const user = await requestJson("/user");
    const before = store.get().user;
    if (before && before.user !== user.user) location.reload();
    store.set({ user, session: "open" });
  } catch (error) {
    store.set({ session: error.status === 401 ? "ended" : "unreachable" });
    if (error.status !== 401) setTimeout(() => learnUser(attempt + 1), retryDelayMs(attempt));
  }
}

/** A 401 from this site's tracker or peers means that the session ended: ask /user to be sure. */
function watchSession() {
  const isRefused = ({ tracker, link, address }) =>
    address === "" && (tracker.problem?.status === 401 || link.problem?.status === 401);
  store.watch(isRefused, (refused) => refused && learnUser());
  const isBack = ({ session, tracker, address }) => session === "ended" && address === "" && tracker.status === "live";
  store.watch(isBack, (back) => back && learnUser());
  addEventListener("pageshow", (event) => event.persisted && location.reload()); // never a page from before the logout
}

/** Nobody looks: the tracker's connection is let go. Somebody looks, or the network is back: everything tries again now. */
function watchAttention({ tracker, chat }) {
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) tracker.pause();
    else tracker.start();
    if (!document.hidden) chat.nudge();
  });
  addEventListener("online", () => {
    tracker.refresh();
    chat.nudge();
  });
}

startLanguage();
bindLanguageButtons();
store.set({ address: rememberedAddress() });
followRoute(store);
const context = mountAll();
context.chat.start();
context.tracker.start();
watchSession();
watchAttention(context);
learnUser();
document.getElementById("boot").remove();
document.documentElement.dataset.ready = "app";
