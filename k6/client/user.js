// A virtual user: who it is for the whole run, and one visit per iteration.

import exec from 'k6/execution';
import { setTimeout } from 'k6/timers';

import { config, issuedIdentity } from '../config.js';
import { failed, visits, visitsCutOff } from '../metrics.js';
import { Random } from '../random.js';
import { nextFall } from '../shapes.js';
import { ApiError, becomeGuest, issued } from './api.js';
import { Outgoing } from './outgoing.js';
import { Visit } from './visit.js';

const SHORTEST_VISIT_S = 2;

// k6 gives every virtual user modules of its own, so this is one user's own memory over all its visits.
let self = null;

// One iteration: a visit if there is time for one, then a while away.
export async function attend(profile, { rooms, supports }) {
  const random = new Random(config.seed, profile.kind, exec.vu.idInTest, exec.vu.iterationInScenario);
  const startedAt = exec.scenario.startTime;
  const at = (Date.now() - startedAt) / 1000;
  const fall = nextFall(config.plan, at);
  const length = random.lognormal(profile.visit);
  const end = Math.min(at + length, random.between(fall.first, fall.last));
  if (fall.falling || end - at < SHORTEST_VISIT_S) {
    await sleep(Math.max(1, fall.end - at));
    return;
  }
  // Above zero at the end of the run: somebody's visit was cut off, and what it would have found is not known.
  visitsCutOff.add(1);
  try {
    if (self === null) self = introduce(profile, rooms, random);
    visits.add(1);
    const room = self.room || random.pick(rooms).id;
    const endsAt = startedAt + end * 1000;
    await new Visit({ profile, user: self, room, supports, random, startedAt, endsAt }).run();
  } catch (error) {
    // Refusals by the API have been counted where they were met.
    if (!(error instanceof ApiError)) {
      failed('fault of the load test');
      console.error(error.stack || String(error));
    }
  }
  visitsCutOff.add(-1);
  const left = config.seconds - (Date.now() - startedAt) / 1000;
  await sleep(Math.max(0, Math.min(random.exponential(profile.awayMean), left)));
}

function introduce(profile, rooms, random) {
  const number = exec.vu.idInTest;
  const base = profile.slowNetwork && config.slowUrl ? config.slowUrl : random.pick(config.urls);
  const user = { number, base, outgoing: new Outgoing(number), room: null };
  // The first streamers to come own a room each.
  const slot = exec.scenario.iterationInTest;
  if (profile.kind === 'streamer' && slot < rooms.length) {
    user.identity = { ...rooms[slot].owner };
    user.room = rooms[slot].id;
  } else {
    const token = issuedIdentity(profile.tier, number);
    user.identity = token ? issued(token) : becomeGuest(base, `${profile.kind} ${number}`);
  }
  return user;
}

function sleep(seconds) {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}
