// From messages to conversations: which conversation a message belongs to, the list of them, the order in one.
// Pure: values in, values out. A conversation's key is "@p2" for a person and "#chat" for a channel.

import { compareIds, isChatPeer, isDialled } from "./tracker.js";

export const DEFAULT_CHANNEL = "chat";
const GROUP_WITHIN_MS = 5 * 60_000;

export function personKey(peerId) {
  return `@${peerId}`;
}

export function channelKey(channel) {
  return `#${channel}`;
}

/** {kind: "person" | "channel", name} of a key; null when it is not one. */
export function parseKey(key) {
  if (!key || key.length < 2) return null;
  if (key[0] === "@") return { kind: "person", name: key.slice(1) };
  if (key[0] === "#") return { kind: "channel", name: key.slice(1) };
  return null;
}

/** The conversation that a message in my inbox belongs to; with both `to` and `channel` the channel is a label only. */
export function conversationOf(message, me) {
  if (message.channel && !message.to) return channelKey(message.channel);
  return personKey(message.from === me ? (message.to ?? me) : message.from);
}

/** Who gets what I write to a channel now. */
export function membersOf(channel, peers, me) {
  return peers.filter(
    (peer) => peer.peer_id !== me && isChatPeer(peer) && isDialled(peer) && peer.channels.includes(channel),
  );
}

/**
 * Every conversation: the channel, the people alive, and those who are gone but wrote. Sorted: channels by name,
 * people by who spoke last, then by id. Each: {key, kind, name, isAlive, last: {text, at, isMine, state} | null, unread}.
 */
export function listConversations({ me, peers, messages, sent, read }) {
  const found = new Map();
  const open = (key) => {
    if (!found.has(key))
      found.set(key, { key, ...parseKey(key), isAlive: false, last: null, lastOrder: -1, unread: 0 });
    return found.get(key);
  };
  open(channelKey(DEFAULT_CHANNEL)).isAlive = true;
  for (const peer of peers) if (peer.peer_id !== me && isChatPeer(peer)) open(personKey(peer.peer_id)).isAlive = true;
  for (const message of messages) {
    const conversation = open(conversationOf(message, me));
    setLast(conversation, message.seq, {
      text: message.content,
      at: message.received_at * 1000,
      isMine: message.from === me,
      from: message.from,
    });
    if (message.seq > (read[conversation.key] ?? 0)) conversation.unread += 1;
  }
  for (const message of sent) {
    setLast(open(message.conversation), message.afterSeq + 0.5, {
      text: message.content,
      at: message.at,
      isMine: true,
      from: me,
      state: message.state,
    });
  }
  return [...found.values()].sort(compareConversations);
}

function setLast(conversation, order, last) {
  if (order < conversation.lastOrder) return;
  conversation.lastOrder = order;
  conversation.last = last;
}

function compareConversations(a, b) {
  if (a.kind !== b.kind) return a.kind === "channel" ? -1 : 1;
  return (b.last?.at ?? 0) - (a.last?.at ?? 0) || compareIds(a.name, b.name);
}

/**
 * What one conversation shows, oldest first. A sent message stands after the last one that had been received when it
 * was sent, whatever the clocks say. Each item: {key, isMine, from, text, at, seq?, sent?, startsDay, startsGroup}.
 */
export function timelineOf(key, { me, messages, sent }) {
  const own = sent.filter((message) => message.conversation === key);
  const ownIds = new Set(own.map((message) => message.id));
  const items = [];
  for (const message of messages) {
    if (conversationOf(message, me) !== key || (message.from === me && ownIds.has(message.id))) continue;
    items.push({
      key: `r${message.seq}`,
      order: message.seq,
      seq: message.seq,
      isMine: message.from === me,
      from: message.from,
      text: message.content,
      at: message.received_at * 1000,
    });
  }
  for (const message of own) {
    items.push({
      key: `s${message.id}`,
      order: message.afterSeq + 0.5,
      isMine: true,
      from: me,
      text: message.content,
      at: message.at,
      sent: message,
    });
  }
  items.sort((a, b) => a.order - b.order || a.at - b.at);
  return items.map((item, index) => ({ ...item, ...placeAfter(items[index - 1], item) }));
}

function placeAfter(previous, item) {
  const startsDay = !previous || new Date(previous.at).toDateString() !== new Date(item.at).toDateString();
  const startsGroup = startsDay || previous.from !== item.from || Math.abs(item.at - previous.at) > GROUP_WITHIN_MS;
  return { startsDay, startsGroup };
}

/** How many messages wait unread in all conversations. */
export function countUnread({ me, messages, read }) {
  return messages.filter((message) => message.seq > (read[conversationOf(message, me)] ?? 0)).length;
}
