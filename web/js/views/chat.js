// The chat: people on the left, one conversation on the right; on a phone one of the two.

import { el } from "../dom.js";
import { mountConversation } from "./conversation.js";
import { mountPeople } from "./people.js";

export function mountChat(root, context) {
  const people = el("div", { class: "people" });
  const conversation = el("section", { class: "conversation-pane", wordLabel: "chat.conversation" });
  root.append(el("div", { class: "chat" }, people, conversation));
  mountPeople(people, context);
  mountConversation(conversation, context);
}
