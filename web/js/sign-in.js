// Makes the sign-in pages pleasanter: language, a password that can be looked at, and a wrong password told in place.
// Without this script the form posts itself and the server answers with a page.

import { bindLanguageButtons, setWord, startLanguage } from "./language.js";

const form = document.getElementById("sign-in");
const fault = document.getElementById("sign-in-error");
const button = form.querySelector("button[type=submit]");
const { username, password, next } = form.elements;

function tell(key, params) {
  fault.hidden = false;
  setWord(fault, key, params);
}

/** Where to go after the login: a path of this site, and the part after '#' that the redirect kept. */
function destination() {
  const wanted = new URLSearchParams(location.search).get("next") ?? "/";
  const isLocal = /^\/(?![/\\])/.test(wanted);
  return (isLocal ? wanted : "/") + location.hash;
}

async function logIn() {
  const response = await fetch("/login", {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify({ username: username.value, password: password.value }),
  });
  if (response.ok) return location.assign(destination());
  if (response.status === 401) {
    tell("sign_in.wrong");
    password.select();
    return password.focus();
  }
  if (response.status === 429) return tell("sign_in.too_many_attempts");
  const problem = await response.json().catch(() => null);
  return tell("sign_in.refused", { message: problem?.error?.message ?? response.status });
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (username.value === "" || password.value === "") {
    tell("sign_in.empty");
    (username.value === "" ? username : password).focus();
    return;
  }
  fault.hidden = true;
  button.disabled = true;
  setWord(button, "sign_in.waiting");
  try {
    await logIn();
  } catch {
    tell("sign_in.unreachable");
  } finally {
    button.disabled = false;
    setWord(button, "sign_in.submit");
  }
});

form.noValidate = true; // the words are told in the page's language, above
const show = document.getElementById("show-password");
show.closest("label").hidden = false;
show.addEventListener("change", () => {
  password.type = show.checked ? "text" : "password";
});

next.value = destination();
startLanguage();
bindLanguageButtons();
document.querySelector(".segmented").hidden = false;
document.documentElement.dataset.ready = "sign-in";
