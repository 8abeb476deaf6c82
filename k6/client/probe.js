// Which of the optional kinds this server has. Two guests meet in a room of their own: one reacts, types and gives, and
// what is supported is what the other one sees, or what is acknowledged.

import { setTimeout } from 'k6/timers';

import { becomeGuest, createRoom, enterRoom, socketUrl } from './api.js';
import { Link } from './link.js';

const WAIT_MS = 1500;
export const EXTRAS = ['react', 'typing', 'gift'];

// `wanted`: auto, none, or a list such as "react,gift". Resolves to {react, typing, gift}.
export async function probe(base, wanted) {
  if (wanted !== 'auto') {
    const chosen = wanted === 'none' ? [] : wanted.split(',');
    const unknown = chosen.filter((name) => !EXTRAS.includes(name));
    if (unknown.length) throw new Error(`no such kinds: ${unknown}; there are ${EXTRAS}`);
    return Object.fromEntries(EXTRAS.map((name) => [name, chosen.includes(name)]));
  }
  const found = { react: false, typing: false, gift: false };
  const owner = becomeGuest(base, 'Probe');
  const room = createRoom(base, owner, 'Probe');
  const key = 1 + Math.floor(Math.random() * 1e9);
  const seen = (message) => {
    if (message.type === 'reactions') found.react = true;
    if (message.type === 'typing_notice') found.typing = true;
    if (message.type === 'sent' && message.message_id === key) found.gift = true;
  };
  const watcher = await join(base, room, owner, seen);
  const actor = await join(base, room, becomeGuest(base, 'Actor'), seen);
  actor.send('typing');
  actor.send('react', '❤️', 1);
  actor.send('gift', key, 'rose', 1);
  await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
  actor.close();
  watcher.close();
  return found;
}

function join(base, room, identity, seen) {
  const token = enterRoom(base, identity, room);
  return new Promise((resolve, reject) => {
    const link = new Link(socketUrl(base, room), {
      token,
      handler: {
        welcome: () => resolve(link),
        message: seen,
        event: () => 0,
        frameEnd: () => {},
        broken: reject,
        closed: (code) => reject(new Error(`the platform cannot be joined: closed with ${code}`)),
      },
    });
  });
}
