// Who is there: the five kinds of users and how many of a number of users are of which.

import { profile as anonymous } from './users/anonymous.js';
import { profile as mobile } from './users/mobile.js';
import { profile as premium } from './users/premium.js';
import { profile as regular } from './users/regular.js';
import { profile as streamer } from './users/streamer.js';

export const PROFILES = { regular, premium, streamer, mobile, anonymous };

// Largest remainders, but at least one of each kind: {kind: users}, which add up to `users` (0 or at least five).
export function apportion(users) {
  const kinds = Object.keys(PROFILES);
  const shares = kinds.map((kind) => ({ kind, exact: users * PROFILES[kind].share }));
  const counts = {};
  for (const { kind, exact } of shares) counts[kind] = users === 0 ? 0 : Math.max(1, Math.floor(exact));
  const byRemainder = [...shares].sort((a, b) => (b.exact % 1) - (a.exact % 1));
  let left = users - Object.values(counts).reduce((sum, count) => sum + count, 0);
  for (let i = 0; left > 0; i = (i + 1) % kinds.length, left--) counts[byRemainder[i].kind] += 1;
  // What the small kinds got above their share comes from the largest.
  for (; left < 0; left++) counts[kinds.reduce((a, b) => (counts[a] >= counts[b] ? a : b))] -= 1;
  return counts;
}
