// What a run is told by its environment. The runner (`task load`) sets these; k6 may also be started by hand.

import { SharedArray } from 'k6/data';

import { afterwards, most, roomsFor, seconds, stages } from './shapes.js';

// Where the platform is: one address or several, separated by commas, among which users choose.
const urls = (__ENV.HEADRACE_URL || 'http://127.0.0.1:8080').split(',').map((url) => url.replace(/\/+$/, ''));

// The same for those with a slow network: the runner's proxy, or nothing where there is none.
const slowUrl = (__ENV.HEADRACE_SLOW_URL || '').replace(/\/+$/, '');

// Load is only ever put on this machine. The runner checks the same, and main.js has k6 refuse every other address.
for (const url of slowUrl ? [...urls, slowUrl] : urls) {
  if (!/^http:\/\/(127(\.\d{1,3}){3}|localhost)(:\d+)?$/.test(url)) throw new Error(`not a loopback address: ${url}`);
}

function number(name, fallback) {
  const text = __ENV[name] || '';
  const value = text === '' ? fallback : Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new Error(`${name}: expected a number above 0, got ${text}`);
  return value;
}

const shape = __ENV.HEADRACE_SHAPE || 'smoke';
const scale = number('HEADRACE_SCALE', 1);
const pace = number('HEADRACE_PACE', 1);
const plan = stages(shape, { scale, pace });

export const config = {
  urls,
  slowUrl,
  shape,
  scale,
  pace,
  plan,
  seconds: seconds(plan),
  afterwards: afterwards(shape, plan),
  users: most(plan),
  // How much is said and done, against the profiles in users/.
  activity: number('HEADRACE_ACTIVITY', 1),
  rooms: roomsFor(shape, most(plan), Math.round(number('HEADRACE_ROOMS', 1))),
  seed: __ENV.HEADRACE_SEED || '1',
  // Share of visits after which everything that came is compared with the room's log.
  audit: Number(__ENV.HEADRACE_AUDIT || '0.25'),
  // react, typing and gift where the server has them (auto), or a list of those to use, or none.
  extras: __ENV.HEADRACE_EXTRAS || 'auto',
  // Which groups of thresholds.json decide whether the run passes.
  thresholds: (__ENV.HEADRACE_THRESHOLDS || 'functional,timing').split(','),
  results: __ENV.HEADRACE_RESULTS || '.',
  machine: __ENV.HEADRACE_MACHINE || '',
};

// Rooms that are live, which the runner has made and publishes to: [{id, owner}, …], none if it does not.
export const liveRooms = new SharedArray('live rooms', () =>
  __ENV.HEADRACE_LIVE_ROOMS ? JSON.parse(open(__ENV.HEADRACE_LIVE_ROOMS)) : [],
);

// Identity tokens that the runner has signed, because nobody becomes premium over HTTP yet: {premium: [token, …], …}.
// Without them everybody is a guest and keeps to a viewer's limits.
const issued = {};
for (const tier of ['premium', 'streamer', 'anonymous']) {
  issued[tier] = new SharedArray(`identities of tier ${tier}`, () =>
    __ENV.HEADRACE_IDENTITIES ? JSON.parse(open(__ENV.HEADRACE_IDENTITIES))[tier] : [],
  );
}

// The identity token of a tier for one user, by the user's number from 1; undefined where there is none.
export function issuedIdentity(tier, user) {
  const tokens = issued[tier];
  return tokens && tokens.length ? tokens[(user - 1) % tokens.length] : undefined;
}
