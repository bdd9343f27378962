// Echo: sends a request some times; echo_board.js shows which replica answered each. Over WebSocket: echo_socket.js.

import { ApiError, describeError } from "../api.js";
import { el } from "../dom.js";
import { button, clearResult, field, resultLine, showResult } from "../parts.js";
import { EchoBoard } from "./echo_board.js";
import { EchoSocket } from "./echo_socket.js";

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"];
const MOST_TIMES = 50;

export function mountEcho(root) {
  const form = makeForm();
  const board = new EchoBoard();
  form.node.addEventListener("submit", (event) => {
    event.preventDefault();
    run(form, board);
  });
  root.append(
    el(
      "div",
      { class: "page" },
      el(
        "header",
        { class: "page-head" },
        el("div", {}, el("h1", { word: "echo.title" }), el("p", { word: "echo.about" })),
      ),
      el("div", { class: "echo" }, form.node, board.node, new EchoSocket().node),
    ),
  );
}

function makeForm() {
  const controls = makeControls();
  const line = resultLine();
  const send = button("echo.send", { look: "button-primary", iconName: "send", type: "submit", id: "echo-send" });
  const { method, path, times, headers, body } = controls;
  const row = [field("echo.method", method), field("echo.path", path, { look: "is-grow" }), field("echo.times", times)];
  const node = el(
    "form",
    { class: "card echo-form", wordLabel: "echo.request", novalidate: true },
    el("h2", { word: "echo.request" }),
    el("div", { class: "echo-line" }, row),
    field("echo.headers", headers),
    field("echo.body", body),
    el("div", { class: "echo-foot" }, send, line),
  );
  const followMethod = () => {
    body.disabled = method.value === "GET"; // browsers send none with it
  };
  method.addEventListener("change", followMethod);
  followMethod();
  return { node, send, line, ...controls };
}

function makeControls() {
  const code = { class: "input mono", spellcheck: "false", autocomplete: "off" };
  const methods = METHODS.map((name) => el("option", {}, name));
  return {
    method: el("select", { class: "input mono", id: "echo-method" }, methods),
    path: el("input", { ...code, id: "echo-path", value: "/echo?hello=world" }),
    times: el("input", { class: "input", id: "echo-times", type: "number", min: 1, max: MOST_TIMES, value: "6" }),
    headers: el("textarea", { ...code, id: "echo-headers", rows: 2, placeholder: "X-Colour: green" }),
    body: el("textarea", { ...code, id: "echo-body", rows: 3 }),
  };
}

/** Sends the requests one after the other; each answer is on the board at once. */
async function run(form, board) {
  clearResult(form.line);
  let request;
  try {
    request = readRequest(form);
  } catch (error) {
    showResult(form.line, "error", error.word, error.params);
    return;
  }
  form.send.disabled = true;
  try {
    for (let index = 1; index <= request.times; index += 1) {
      showResult(form.line, "", "echo.sending", { n: index, all: request.times });
      board.add(await ask(request));
    }
    showResult(form.line, "ok", "echo.done", { n: request.times });
  } catch (error) {
    showResult(form.line, "error", ...describeError(error));
  } finally {
    form.send.disabled = false;
  }
}

class FormError extends Error {
  constructor(word, params) {
    super(word);
    this.word = word;
    this.params = params;
  }
}

function readRequest({ method, times, path, headers, body }) {
  const count = Number(times.value);
  if (!Number.isInteger(count) || count < 1 || count > MOST_TIMES)
    throw new FormError("echo.bad_times", { most: MOST_TIMES });
  if (!/^\/echo(\?.*)?$/.test(path.value)) throw new FormError("echo.bad_path");
  const fields = new Headers();
  for (const text of headers.value.split("\n").filter((one) => one.trim() !== "")) {
    try {
      const [, name, value] = text.match(/^\s*([^:\s]+)\s*:\s*(.*?)\s*$/);
      fields.append(name, value);
    } catch {
      throw new FormError("echo.bad_header", { line: text.trim() });
    }
  }
  const hasBody = method.value !== "GET" && body.value !== "";
  return {
    times: count,
    path: path.value,
    options: { method: method.value, headers: fields, body: hasBody ? body.value : undefined, cache: "no-store" },
  };
}

async function ask({ path, options }) {
  const startedMs = performance.now();
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    throw new ApiError("network", error.message);
  }
  const text = await response.text();
  const tookMs = performance.now() - startedMs;
  let value = null;
  try {
    value = JSON.parse(text);
  } catch {
    // A page instead of JSON: shown as it came.
  }
  return {
    status: response.status,
    servedBy: value?.served_by ?? "—",
    tookMs,
    shown: value ? JSON.stringify(value, null, 2) : text,
  };
}
