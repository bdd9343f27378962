// What the page asks the proxy. Every failure is an ApiError with a text for people.

const TIMEOUT_MS = 6_000;

export class ApiError extends Error {
  constructor(message, { status = 0, code = "", mistakes = null } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.mistakes = mistakes;
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
    throw new ApiError("The proxy does not answer.");
  }
  if (response.ok) return body;
  const error = body.error ?? {};
  throw new ApiError(error.message ?? `The proxy answered ${response.status}.`, {
    status: response.status,
    code: error.code,
    mistakes: error.mistakes ?? null,
  });
}
