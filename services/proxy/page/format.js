// Figures and times as people read them, in the page's language.

import { language, t } from "./language.js";

const formats = new Map();

function format(kind, options, value) {
  const key = `${language()} ${kind.name} ${JSON.stringify(options)}`;
  if (!formats.has(key)) formats.set(key, new kind(language(), options));
  return formats.get(key).format(value);
}

/** A number as it is, with up to three digits after the point. */
export const number = (value) => format(Intl.NumberFormat, {}, value);

const significant = (value) => format(Intl.NumberFormat, { maximumSignificantDigits: 2 }, value);

export function count(value) {
  const isLong = value >= 100_000;
  return format(Intl.NumberFormat, isLong ? { notation: "compact", maximumFractionDigits: 1 } : { maximumFractionDigits: 0 }, value);
}

export function rate(perSecond) {
  if (perSecond === null) return "–";
  if (perSecond === 0 || perSecond >= 9.95) return count(perSecond);
  return format(Intl.NumberFormat, { minimumFractionDigits: 1, maximumFractionDigits: 1 }, perSecond);
}

export function share(part) {
  if (part === null) return "–";
  const percent = (value, digits) => format(Intl.NumberFormat, { style: "percent", maximumFractionDigits: digits }, value);
  if (part > 0 && part < 0.001) return `< ${percent(0.001, 1)}`;
  return percent(part, part < 0.1 ? 1 : 0);
}

export function latency(seconds) {
  if (seconds === null) return "–";
  if (seconds < 0.0995) return t("time.milliseconds", { text: significant(seconds * 1000) });
  if (seconds < 0.9995) return t("time.milliseconds", { text: count(Math.round(seconds * 1000)) });
  return t("time.seconds", { text: significant(seconds) });
}

/** How long, in the one or two units that matter. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const minutes = Math.round(whole / 60);
  const hours = Math.floor(minutes / 60);
  if (whole < 60) return t("time.seconds", { text: count(whole) });
  if (minutes < 60) return t("time.minutes", { text: count(minutes) });
  if (hours < 24) return t("time.hours", { hours, minutes: minutes % 60 });
  return t("time.days", { days: count(Math.floor(hours / 24)), hours: hours % 24 });
}

/** Unix seconds as the time of day, with the day when that is another one. */
export function time(unixS, now = Date.now()) {
  const moment = new Date(unixS * 1000);
  const text = format(Intl.DateTimeFormat, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }, moment);
  if (moment.toDateString() === new Date(now).toDateString()) return text;
  return `${format(Intl.DateTimeFormat, { month: "short", day: "numeric" }, moment)} ${text}`;
}

export function size(bytes) {
  if (bytes < 1000) return `${count(bytes)} B`;
  const kib = bytes / 1024;
  return kib < 1000 ? `${significant(kib)} KiB` : `${significant(kib / 1024)} MiB`;
}
