// Echo over WebSocket: what is sent comes back, and how long that took.

import { socketUrl } from "../address.js";
import { el, icon } from "../dom.js";
import { number } from "../format.js";
import { setWord } from "../language.js";
import { button } from "../parts.js";

const LISTED = 50;
const DOTS = { open: "live", connecting: "connecting", closed: "" };

/** `node` is the card. */
export class EchoSocket {
  #socket = null;
  #sentAtMs = [];
  #dot = el("span", { class: "dot" });
  #status = el("span", { role: "status", id: "echo-socket-status" });
  #toggle = el("button", { class: "button button-small", type: "button", id: "echo-socket-toggle" });
  #input = makeInput();
  #send = button("echo.socket_send", { iconName: "send", type: "submit", id: "echo-socket-send" });
  #list = el("ol", { class: "socket-log", wordLabel: "echo.socket" });

  constructor() {
    const state = el("span", { class: "socket-status small" }, this.#dot, this.#status);
    const head = el("div", { class: "card-head" }, el("h2", { word: "echo.socket" }), state, this.#toggle);
    const form = el("form", { class: "socket-form" }, this.#input, this.#send);
    this.node = el("section", { class: "card echo-socket", wordLabel: "echo.socket" }, head, form, this.#list);
    this.#toggle.addEventListener("click", () => (this.#socket ? this.#socket.close(1000) : this.#connect()));
    form.addEventListener("submit", (event) => this.#submit(event));
    this.#show("closed");
  }

  #connect() {
    this.#socket = new WebSocket(socketUrl("/echo"));
    this.#socket.addEventListener("open", () => {
      this.#show("open");
      this.#input.focus();
    });
    this.#socket.addEventListener("message", ({ data }) => this.#receive(String(data)));
    this.#socket.addEventListener("close", () => {
      this.#socket = null;
      this.#sentAtMs = [];
      this.#show("closed");
    });
    this.#show("connecting");
  }

  #submit(event) {
    event.preventDefault();
    const text = this.#input.value;
    if (!this.#socket || text === "") return;
    this.#sentAtMs.push(performance.now());
    this.#socket.send(text);
    this.#input.value = "";
    this.#add("out", text, "");
  }

  #receive(text) {
    const nowMs = performance.now();
    this.#add("in", text, `${number(nowMs - (this.#sentAtMs.shift() ?? nowMs), 1)} ms`);
  }

  #add(direction, text, note) {
    const picture = icon(direction === "out" ? "send" : "down");
    const words = [el("span", { class: "socket-text" }, text), el("span", { class: "number muted small" }, note)];
    this.#list.prepend(el("li", { data: { direction } }, picture, words));
    while (this.#list.childElementCount > LISTED) this.#list.lastChild.remove();
  }

  #show(state) {
    this.#dot.dataset.status = DOTS[state];
    setWord(this.#status, `echo.socket_${state}`);
    setWord(this.#toggle, state === "closed" ? "echo.socket_connect" : "echo.socket_disconnect");
    this.#input.disabled = state !== "open";
    this.#send.disabled = state !== "open";
  }
}

function makeInput() {
  const words = { wordLabel: "echo.socket_text", wordPlaceholder: "echo.socket_text" };
  return el("input", { class: "input", id: "echo-socket-text", autocomplete: "off", ...words });
}
