// Times and sizes as people read them, in the page's language.

import { language, t } from "./language.js";

const DAY_MS = 86_400_000;

export function clockTime(atMs) {
  return new Intl.DateTimeFormat(language(), { hour: "2-digit", minute: "2-digit" }).format(atMs);
}

export function fullTime(atMs) {
  return new Intl.DateTimeFormat(language(), { dateStyle: "full", timeStyle: "medium" }).format(atMs);
}

/** Today, yesterday, or the date. */
export function dayName(atMs, nowMs = Date.now()) {
  const days = Math.round((startOfDay(nowMs) - startOfDay(atMs)) / DAY_MS);
  if (days === 0) return t("time.today");
  if (days === 1) return t("time.yesterday");
  const isThisYear = new Date(atMs).getFullYear() === new Date(nowMs).getFullYear();
  const options = { weekday: "long", day: "numeric", month: "long", ...(isThisYear ? {} : { year: "numeric" }) };
  return new Intl.DateTimeFormat(language(), options).format(atMs);
}

/** The time for a message of today, else the day. For a list, where room is short. */
export function shortTime(atMs, nowMs = Date.now()) {
  if (startOfDay(atMs) === startOfDay(nowMs)) return clockTime(atMs);
  return new Intl.DateTimeFormat(language(), { day: "numeric", month: "short" }).format(atMs);
}

function startOfDay(atMs) {
  return new Date(atMs).setHours(0, 0, 0, 0);
}

/** "48 s", "3 min 5 s", "2 h 10 min". */
export function duration(seconds) {
  const whole = Math.max(0, Math.ceil(seconds));
  if (whole < 100) return t("time.seconds", { s: whole });
  if (whole < 3600) return t("time.minutes", { m: Math.floor(whole / 60), s: whole % 60 });
  return t("time.hours", { h: Math.floor(whole / 3600), m: Math.floor((whole % 3600) / 60) });
}

/** How many bytes the text is in UTF-8. */
export function byteLength(text) {
  return new TextEncoder().encode(text).length;
}

export function number(value, fractionDigits = 0) {
  return new Intl.NumberFormat(language(), { maximumFractionDigits: fractionDigits }).format(value);
}
