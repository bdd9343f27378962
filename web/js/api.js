// Requests that answer JSON. Every failure is an ApiError with a code: the server's own, or one of
// "network" (no answer at all), "timeout", "blocked" (the page's own policy forbids that address), "bad_reply".
// Which address to ask is address.js's business.

import { isThisSite } from "./address.js";
import { hasWord } from "./language.js";

const DEFAULT_TIMEOUT_MS = 15_000;
const blockedOrigins = new Set();

document.addEventListener("securitypolicyviolation", (event) => {
  if (event.effectiveDirective !== "connect-src") return;
  try {
    blockedOrigins.add(new URL(event.blockedURI, location.href).host);
  } catch {
    // Not a URL: nothing that we asked for.
  }
});

export class ApiError extends Error {
  /** `status` is 0 when there was no answer. */
  constructor(code, message, status = 0) {
    super(message);
    this.name = "ApiError";
    this.code = code;
    this.status = status;
  }
}

/**
 * Sends a request and returns the decoded JSON body (null when the reply has none).
 * `json` becomes the body; `signal` ends it early, which raises the usual AbortError.
 */
export async function requestJson(url, { method = "GET", json, signal, timeoutMs = DEFAULT_TIMEOUT_MS } = {}) {
  const response = await send(url, { method, json, signal, timeoutMs });
  const body = await readJson(response);
  if (response.ok) return body;
  const problem = body?.error ?? {};
  throw new ApiError(
    problem.code ?? `http_${response.status}`,
    problem.message ?? response.statusText,
    response.status,
  );
}

async function send(url, { method, json, signal, timeoutMs }) {
  const timeout = AbortSignal.timeout(timeoutMs);
  const headers = { Accept: "application/json" };
  if (json !== undefined) headers["Content-Type"] = "application/json";
  try {
    return await fetch(url, {
      method,
      headers,
      body: json === undefined ? undefined : JSON.stringify(json),
      credentials: isThisSite(url) ? "same-origin" : "omit",
      cache: "no-store",
      redirect: "error",
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    if (error.name === "TimeoutError") throw new ApiError("timeout", `no answer in ${timeoutMs / 1000} s`);
    throw new ApiError((await isBlocked(url)) ? "blocked" : "network", error.message);
  }
}

async function readJson(response) {
  const text = await response.text();
  if (text === "") return null;
  try {
    return JSON.parse(text);
  } catch {
    if (!response.ok) return null;
    throw new ApiError("bad_reply", "the reply is not JSON", response.status);
  }
}

/** Did this page's content security policy stop it? The browser reports that a moment after the failure. */
async function isBlocked(url) {
  await new Promise((resolve) => setTimeout(resolve, 0));
  return blockedOrigins.has(new URL(url, location.href).host);
}

/** The words for a failure, as [key, params]: ours where we have them, else what the server said. */
export function describeError(error) {
  const code = error?.code ?? "";
  if (hasWord(`error.${code}`)) return [`error.${code}`, { message: error.message }];
  if (error?.status >= 502 && error.status <= 504) return ["error.unavailable", { status: error.status }];
  if (error?.status === 404) return ["error.not_found", {}];
  return ["error.other", { message: error?.message || String(error) }];
}
