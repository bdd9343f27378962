// Which tracker the page asks: the pill in the top bar that tells how that goes, and the dialog that changes it.

import { AddressError, parseTrackerAddress } from "../address.js";
import { el } from "../dom.js";
import { clearWord, setAttributeWord, setWord } from "../language.js";
import { button, field, makeDialog, resultLine, showResult } from "../parts.js";
import { describeTrackerProblem } from "./banners.js";

const STATUS_WORDS = { connecting: "tracker.connecting", live: "tracker.live", retrying: "tracker.retrying" };

/** Mounts the pill; returns the function that opens the dialog. */
export function mountConnection(pill, { store, tracker }) {
  const dialog = new ConnectionDialog({ store, tracker });
  const open = () => dialog.open();
  const dot = el("span", { class: "dot" });
  const text = el("span", { class: "status-text" });
  pill.append(dot, text);
  pill.addEventListener("click", open);
  store.watch(
    (state) => `${state.tracker.status} ${state.address}`,
    () => {
      const { tracker: now, address } = store.get();
      const word = STATUS_WORDS[now.status];
      const place = { address: address || location.host };
      dot.dataset.status = now.status;
      setWord(text, word);
      setAttributeWord(pill, "aria-label", `${word}_label`, place);
      setAttributeWord(pill, "title", `${word}_label`, place);
    },
  );
  return open;
}

class ConnectionDialog {
  #store;
  #tracker;
  #input = makeInput();
  #fault = el("p", { class: "field-error", id: "tracker-address-error", role: "alert" });
  #status = resultLine();
  #dialog;

  constructor({ store, tracker }) {
    this.#store = store;
    this.#tracker = tracker;
    this.#dialog = this.#makeDialog();
    const told = ({ tracker: now, address, peers }) => JSON.stringify([now, address, peers.length]);
    store.watch(told, () => this.#showStatus());
  }

  open() {
    this.#input.value = this.#store.get().address;
    this.#clearFault();
    this.#dialog.showModal();
    this.#input.focus();
  }

  #makeDialog() {
    const hint = el("p", { class: "field-hint", id: "tracker-address-hint", word: "connection.hint" });
    const reset = () => {
      this.#input.value = "";
      this.#use("");
    };
    return makeDialog({
      title: "connection.title",
      body: [
        el("p", { class: "muted", word: "connection.about" }),
        field("connection.address", this.#input, { below: [this.#fault, hint] }),
      ],
      foot: [
        this.#status,
        button("connection.reset", { id: "tracker-reset", on: { click: reset } }),
        button("connection.use", { look: "button-primary", type: "submit" }),
      ],
      onSubmit: (event) => {
        event.preventDefault();
        this.#use(this.#input.value);
      },
    });
  }

  #use(typed) {
    this.#clearFault();
    try {
      const address = parseTrackerAddress(typed);
      this.#tracker.use(address === location.origin ? "" : address);
    } catch (error) {
      if (!(error instanceof AddressError)) throw error;
      this.#input.setAttribute("aria-invalid", "true");
      setWord(this.#fault, error.word, error.params);
    }
  }

  #clearFault() {
    clearWord(this.#fault);
    this.#input.removeAttribute("aria-invalid");
  }

  #showStatus() {
    const { tracker: now, address, peers } = this.#store.get();
    const place = { address: address || location.host, n: peers.length };
    if (now.status === "live") showResult(this.#status, "ok", "connection.live", place);
    else if (now.problem) showResult(this.#status, "error", ...describeTrackerProblem(now.problem, address));
    else showResult(this.#status, "", "connection.connecting", place);
  }
}

function makeInput() {
  return el("input", {
    class: "input mono",
    id: "tracker-address",
    name: "address",
    autocomplete: "off",
    spellcheck: "false",
    inputmode: "url",
    placeholder: "http://127.0.0.1:9000",
    "aria-describedby": "tracker-address-error tracker-address-hint",
  });
}
