// Entry point of every load test: `k6 run k6/main.js`, or `task load`, which starts a platform for it. See
// docs/load-testing.md.

import { becomeGuest, createRoom } from './client/api.js';
import { probe } from './client/probe.js';
import { attend } from './client/user.js';
import { config, liveRooms } from './config.js';
import { apportion, PROFILES } from './mix.js';
import { render } from './report.js';
import { GRACE_S } from './shapes.js';

const thresholds = JSON.parse(open('./thresholds.json'));

function scenario(kind) {
  return {
    executor: 'ramping-vus',
    exec: kind,
    startVUs: 0,
    stages: config.plan.map((stage) => ({ duration: `${stage.seconds}s`, target: apportion(stage.users)[kind] })),
    gracefulRampDown: `${GRACE_S}s`,
    gracefulStop: `${GRACE_S}s`,
  };
}

// The groups asked for, without what this shape has nothing to show for: no figures would keep any threshold.
function judged() {
  const all = Object.assign({}, ...config.thresholds.map((group) => thresholds[group]));
  if (config.afterwards === Infinity) delete all.headrace_message_latency_afterwards;
  return all;
}

export const options = {
  scenarios: Object.fromEntries(Object.keys(PROFILES).map((kind) => [kind, scenario(kind)])),
  thresholds: judged(),
  summaryTrendStats: ['avg', 'min', 'med', 'p(90)', 'p(95)', 'p(99)', 'p(99.9)', 'max', 'count'],
  // Everything but 127.0.0.0/8: no load test of this repository can leave the machine it runs on.
  blacklistIPs: [
    '0.0.0.0/2', '64.0.0.0/3', '96.0.0.0/4', '112.0.0.0/5', '120.0.0.0/6', '124.0.0.0/7', '126.0.0.0/8', '128.0.0.0/1',
    '::/0',
  ],
  // A browser's connection for the API is not kept for an hour either, and a process that was killed leaves none half open.
  noConnectionReuse: true,
  setupTimeout: '30s',
};

// The rooms, each with the identity of its owner, and what the server can do.
export async function setup() {
  const base = config.urls[0];
  const rooms = [...liveRooms];
  const quality = rooms.length > 0;
  for (let i = rooms.length; i < config.rooms; i++) {
    const owner = becomeGuest(base, `Streamer ${i + 1}`);
    rooms.push({ id: createRoom(base, owner, `Load test ${i + 1}`), owner });
  }
  return { rooms, supports: { ...(await probe(base, config.extras)), quality } };
}

export const regular = (data) => attend(PROFILES.regular, data);
export const premium = (data) => attend(PROFILES.premium, data);
export const streamer = (data) => attend(PROFILES.streamer, data);
export const mobile = (data) => attend(PROFILES.mobile, data);
export const anonymous = (data) => attend(PROFILES.anonymous, data);

export function handleSummary(data) {
  return render(config, data, thresholds);
}
