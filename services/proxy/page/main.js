// The page as a whole: figures are asked for every two seconds, events come by themselves and have them asked at once.

import { fetchStatus } from "./api.js";
import { byId, setData, setText } from "./dom.js";
import { addEvent, announceAfter, startEvents } from "./events.js";
import { offerHosts, startExplain } from "./explain.js";
import { Feed } from "./feed.js";
import { bindLanguageButtons, onLanguage, startLanguage, t } from "./language.js";
import { showSilence, showTiles, showVerdict } from "./overview.js";
import { showPools } from "./pools.js";
import { Histories } from "./rates.js";
import { allowReload, startReload } from "./reload.js";
import { showRules } from "./rules.js";
import { showZones } from "./zones.js";

const POLL_MS = 2_000;
const SOON_MS = 150;

const histories = new Histories();
let pollTimer = 0;
let isAsking = false;
let lastStatus = null;
let lastAnswerAt = null;
let lastError = null; // null: the last question was answered
let link = { kind: "wait", retryAt: null };

async function poll() {
  clearTimeout(pollTimer);
  if (isAsking || document.hidden) return;
  isAsking = true;
  try {
    const status = await fetchStatus(lastStatus);
    if (status.pid !== lastStatus?.pid) announceAfter(status.last_event);
    lastStatus = status;
    takeAnswer(status);
  } catch (error) {
    lastError = error;
    if (error.status !== 401) feed.restart();
    showFailure(error);
  }
  isAsking = false;
  pollSoon(POLL_MS);
}

function pollSoon(delayMs) {
  clearTimeout(pollTimer);
  pollTimer = setTimeout(poll, delayMs);
}

function takeAnswer(status) {
  if (lastAnswerAt === null || lastError !== null) feed.nudge();
  lastAnswerAt = Date.now();
  lastError = null;
  histories.add(status);
  show(status);
}

function show(status) {
  document.body.classList.toggle("stale", lastError !== null);
  showVerdict(status, histories);
  showTiles(status, histories);
  showPools(status, histories);
  showZones(status);
  showRules(status);
  offerHosts(status.hosts);
  allowReload(status);
  byId("log-in").hidden = true;
  setText(byId("where"), location.host);
  setText(byId("build"), t("shell.build", status));
  document.documentElement.dataset.ready = "proxy";
}

function showFailure(error) {
  document.body.classList.add("stale");
  byId("reload").disabled = true;
  const ageS = lastAnswerAt === null ? null : (Date.now() - lastAnswerAt) / 1000;
  const isOver = error.status === 401;
  showSilence(isOver ? t("session.ended") : error.text, ageS);
  byId("log-in").hidden = !isOver;
}

/** All that is no word in place is said anew. */
function speakAnew() {
  if (lastStatus !== null) show(lastStatus);
  if (lastError !== null) showFailure(lastError);
  showLink();
}

function showLink() {
  const node = byId("link");
  setData(node, "kind", link.kind === "live" ? "ok" : "wait");
  const leftS = link.retryAt === null ? 0 : Math.ceil((link.retryAt - Date.now()) / 1000);
  const cut = link.retryAt === null ? "link.connecting" : "link.cut";
  setText(byId("link-text"), t(link.kind === "live" ? "link.live" : cut));
  // Apart, because a screen reader is told of changes, and need not hear every second.
  setText(byId("link-wait"), leftS > 0 ? t("link.again", { n: leftS }) : "");
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

startLanguage();
bindLanguageButtons();
onLanguage(speakAnew);
startEvents();
showLink();
startExplain();
startReload(poll);
feed.start();
poll();
setInterval(showLink, 1_000);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) poll();
});
window.addEventListener("online", () => feed.nudge());
