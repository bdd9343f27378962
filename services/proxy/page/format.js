// Figures as people read them. No state, no document.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });

export const count = (number) => (number < 100_000 ? whole.format(number) : compact.format(number));

export function rate(perSecond) {
  if (perSecond === null) return "–";
  if (perSecond === 0) return "0";
  return perSecond < 10 ? perSecond.toFixed(1) : count(perSecond);
}

export function share(part) {
  if (part === null) return "–";
  if (part === 0) return "0 %";
  return part < 0.001 ? "< 0.1 %" : `${(part * 100).toFixed(part < 0.1 ? 1 : 0)} %`;
}

export function latency(seconds) {
  if (seconds === null) return "–";
  if (seconds < 0.0995) return `${Number((seconds * 1000).toPrecision(2))} ms`;
  return seconds < 0.9995 ? `${Math.round(seconds * 1000)} ms` : `${Number(seconds.toPrecision(2))} s`;
}

export function duration(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3600)} h`;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });

/** Unix seconds as the time of day, with the day when that is another one. */
export function time(unixS, now = Date.now()) {
  const moment = new Date(unixS * 1000);
  const text = clock.format(moment);
  return moment.toDateString() === new Date(now).toDateString() ? text : `${day.format(moment)} ${text}`;
}

export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  const kib = bytes / 1024;
  return kib < 1000 ? `${Number(kib.toPrecision(2))} KiB` : `${Number((kib / 1024).toPrecision(2))} MiB`;
}

export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;
