// The page as a whole: figures are asked for every two seconds, events come by themselves and have them asked at once.

import { fetchStatus } from "./api.js";
import { byId, make, setData, setText } from "./dom.js";
import { addEvent, startEvents } from "./events.js";
import { offerHosts, startExplain } from "./explain.js";
import { Feed } from "./feed.js";
import { showSilence, showTiles, showVerdict } from "./overview.js";
import { showPools } from "./pools.js";
import { Histories } from "./rates.js";
import { allowReload, startReload } from "./reload.js";
import { showRules } from "./rules.js";

const POLL_MS = 2_000;
const SOON_MS = 150;

const histories = new Histories();
let pollTimer = 0;
let isAsking = false;
let lastStatus = null;
let lastAnswerAt = null;
let link = { kind: "wait", retryAt: null };

async function poll() {
  clearTimeout(pollTimer);
  if (isAsking || document.hidden) return;
  isAsking = true;
  try {
    lastStatus = await fetchStatus(lastStatus);
    show(lastStatus);
  } catch (error) {
    showFailure(error);
  }
  isAsking = false;
  pollSoon(POLL_MS);
}

function pollSoon(delayMs) {
  clearTimeout(pollTimer);
  pollTimer = setTimeout(poll, delayMs);
}

function show(status) {
  if (lastAnswerAt === null || document.body.classList.contains("stale")) feed.nudge();
  lastAnswerAt = Date.now();
  document.body.classList.remove("stale");
  histories.add(status);
  showVerdict(status, histories);
  showTiles(status, histories);
  showPools(status, histories);
  showRules(status);
  offerHosts(status.hosts);
  allowReload(status);
  setText(byId("where"), location.host);
  setText(byId("build"), `WeApRous ${status.version} · Python ${status.python} · process ${status.pid}`);
  document.documentElement.dataset.ready = "proxy";
}

function showFailure(error) {
  document.body.classList.add("stale");
  byId("reload").disabled = true;
  const ageS = lastAnswerAt === null ? null : (Date.now() - lastAnswerAt) / 1000;
  if (error.status === 401) {
    showSilence("Your session has ended", ageS);
    byId("subline").append(" ", make("a", { href: "/login.html", text: "Log in" }), ", then come back.");
  } else {
    showSilence(error.message, ageS);
    feed.restart();
  }
}

function showLink() {
  const node = byId("link");
  setData(node, "kind", link.kind === "live" ? "ok" : "wait");
  const leftS = link.retryAt === null ? 0 : Math.ceil((link.retryAt - Date.now()) / 1000);
  const cut = link.retryAt === null ? "Connecting …" : "Events cut off";
  setText(byId("link-text"), link.kind === "live" ? "Live" : cut);
  // Apart, because a screen reader is told of changes, and need not hear every second.
  setText(byId("link-wait"), leftS > 0 ? `, again in ${leftS} s` : "");
}

const feed = new Feed(
  new URL("events", location.href).href.replace(/^http/, "ws"),
  (event) => {
    addEvent(event);
    pollSoon(SOON_MS);
  },
  (status) => {
    link = status;
    showLink();
  },
);

startEvents();
startExplain();
startReload(poll);
feed.start();
poll();
setInterval(showLink, 1_000);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) poll();
});
window.addEventListener("online", () => feed.nudge());
