// What the page has to say above everything else: a session that ended, a tracker that isn't there, the default
// password. Each is one line that goes away when its cause does.

import { describeError } from "../api.js";
import { el, icon, reconcile } from "../dom.js";

export function mountBanners(root, { store, tracker, openConnection }) {
  const makers = {
    session: () =>
      banner(
        "danger",
        [el("p", { word: "banner.session_ended" })],
        [el("a", { href: "/login.html", word: "banner.log_in" })],
      ),
    site: () => banner("danger", [el("p", { word: "banner.site_unreachable" })], []),
    tracker: ({ words }) => trackerBanner(words, tracker, openConnection),
    password: () => passwordBanner(() => store.set({ isPasswordBannerClosed: true })),
  };
  store.watch(
    (state) => JSON.stringify(wantedBanners(state)),
    (wanted) => {
      reconcile(root, JSON.parse(wanted), { key: JSON.stringify, create: (one) => makers[one.kind](one) });
    },
  );
}

/** What there is to say, as plain values; equal values mean that nothing changed. */
function wantedBanners({ session, tracker, address, user, isPasswordBannerClosed }) {
  if (session === "ended") return [{ kind: "session" }];
  const banners = [];
  if (session === "unreachable") banners.push({ kind: "site" });
  else if (tracker.problem) banners.push({ kind: "tracker", words: describeTrackerProblem(tracker.problem, address) });
  if (user?.default_password && !isPasswordBannerClosed) banners.push({ kind: "password" });
  return banners;
}

/** The words for a tracker that doesn't answer: which tracker, and why. */
export function describeTrackerProblem(problem, address) {
  const place = address === "" ? "site" : "other";
  if (problem.code === "blocked") return ["problem.tracker_blocked", { address }];
  if (problem.code === "key_required") return ["problem.tracker_key", { address }];
  if (problem.code === "network") return [`problem.tracker_network_${place}`, { address }];
  if (problem.status === 404) return [`problem.tracker_absent_${place}`, { address }];
  if (problem.status >= 500 || problem.code === "timeout") return [`problem.tracker_silent_${place}`, { address }];
  return describeError(problem);
}

function banner(kind, content, actions) {
  const role = kind === "danger" ? "alert" : "status";
  const text = el(
    "div",
    { class: "banner-text" },
    content,
    actions.length > 0 && el("div", { class: "banner-actions" }, actions),
  );
  return el("div", { class: "banner", role, data: { kind } }, icon("alert"), text);
}

function trackerBanner(words, tracker, openConnection) {
  return banner(
    "warn",
    [el("p", { word: words })],
    [
      el("button", {
        class: "button-link",
        type: "button",
        word: "banner.try_now",
        on: { click: () => tracker.refresh() },
      }),
      el("button", {
        class: "button-link",
        type: "button",
        word: "banner.change_address",
        on: { click: openConnection },
      }),
    ],
  );
}

function passwordBanner(onClose) {
  const text = el(
    "p",
    {},
    el("span", { word: "banner.default_password" }),
    " ",
    el("code", {}, "make user NAME=admin"),
  );
  const close = el(
    "button",
    { class: "button-icon", type: "button", wordLabel: "banner.close", on: { click: onClose } },
    icon("close"),
  );
  const node = banner("warn", [text], []);
  node.dataset.name = "password";
  node.append(close);
  return node;
}
