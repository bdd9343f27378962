// What the page asks the proxy. Every failure is an ApiError with a text for people.

import { t } from "./language.js";
import { told } from "./told.js";

const TIMEOUT_MS = 6_000;

export class ApiError extends Error {
  #say;

  /** `say()`: the text, in the language that the page speaks by then. */
  constructor(say, { status = 0, code = "", mistakes = null } = {}) {
    super(say());
    this.#say = say;
    this.status = status;
    this.code = code;
    this.mistakes = mistakes;
  }

  get text() {
    return this.#say();
  }
}

/** What the proxy is like now. `known`: the answer before; what has not changed since is taken from it. */
export async function fetchStatus(known) {
  const status = await ask(known ? `status?config=${known.config.loaded_at}` : "status");
  return { ...status, hosts: status.hosts ?? known.hosts };
}
export const fetchExplanation = (query) => ask(`explain?${query}`);
export const postReload = () => ask("reload", { method: "POST" }, 30_000);

async function ask(path, options = {}, timeoutMs = TIMEOUT_MS) {
  let response;
  let body;
  try {
    const headers = { Accept: "application/json" };
    response = await fetch(path, { ...options, headers, signal: AbortSignal.timeout(timeoutMs) });
    body = await response.json();
  } catch {
    throw new ApiError(() => t("api.silent"));
  }
  if (response.ok) return body;
  const error = body.error ?? {};
  const say = () => (error.message ? told(error.message) : t("api.status", { status: response.status }));
  throw new ApiError(say, {
    status: response.status,
    code: error.code,
    mistakes: error.mistakes ?? null,
  });
}
