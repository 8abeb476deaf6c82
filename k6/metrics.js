// What is measured. Times are in ms.

import exec from 'k6/execution';
import { Counter, Rate, Trend } from 'k6/metrics';

import { config } from './config.js';
import { stageAt } from './shapes.js';

// From when the sender wanted to send (not from when it got to it) to when the frame was read off the receiver's socket:
// waiting for a connection, an earlier acknowledgement or this program itself counts. Live deliveries only; what a
// resume brings again is `caughtUp`.
const messageLatency = new Trend('headrace_message_latency', true);
// The same, of what was sent after the worst of a spike or recovery was over.
const messageLatencyAfterwards = new Trend('headrace_message_latency_afterwards', true);
// What reaches somebody with a slow network is measured apart: the promise is the platform's, and that way is not.
const messageLatencySlow = new Trend('headrace_message_latency_slow', true);
// From when the server appended the event (its offset) to the same end: the platform's own part.
export const deliveryLatency = new Trend('headrace_delivery_latency', true);
// From the first attempt to send until the acknowledgement.
export const acknowledgeLatency = new Trend('headrace_acknowledge_latency', true);
// From the opening of a socket to its welcome.
export const joinLatency = new Trend('headrace_join_latency', true);
// How late this program itself was to send: what it waits for a processor, not for the platform.
export const generatorLateness = new Trend('headrace_generator_lateness', true);
// From asking for the stream until the wish about its quality is granted: two requests that reach an SFU worker.
export const qualityLatency = new Trend('headrace_quality_latency', true);
export const pingLatency = new Trend('headrace_ping_latency', true);

export const visits = new Counter('headrace_visits');
export const visitsCutOff = new Counter('headrace_visits_cut_off');
const reconnects = new Counter('headrace_reconnects');
export const sent = new Counter('headrace_sent');
export const delivered = new Counter('headrace_delivered');
export const caughtUp = new Counter('headrace_caught_up');
export const gifts = new Counter('headrace_gifts');
export const qualities = new Counter('headrace_qualities');
export const reacted = new Counter('headrace_reacted');
export const typed = new Counter('headrace_typed');
export const ephemeral = new Counter('headrace_ephemeral_frames');
export const gaps = new Counter('headrace_gaps');
export const audited = new Counter('headrace_audited_events');

export const lost = new Counter('headrace_lost');
export const duplicated = new Counter('headrace_duplicated');
export const misordered = new Counter('headrace_misordered');
// Of everything that was asked of the platform, what was refused or not answered in time.
const errors = new Rate('headrace_errors');

// The same two by stage of the shape, so that a report can say at how many users it was no longer as promised.
const stages = config.plan.map((_, number) => ({
  latency: new Trend(`headrace_stage_${number}_latency`, true),
  errors: new Rate(`headrace_stage_${number}_errors`),
}));

function stage(at) {
  return stages[stageAt(config.plan, (at - exec.scenario.startTime) / 1000)];
}

// In ms since 1970: when somebody wanted to send, and when it was there; `slowly`: over a slow network.
export function measured(intended, at, { afterwards, slowly }) {
  if (slowly) {
    messageLatencySlow.add(at - intended);
    return;
  }
  messageLatency.add(at - intended);
  stage(intended).latency.add(at - intended);
  if (intended >= afterwards) messageLatencyAfterwards.add(at - intended);
}

function asked(wrong) {
  errors.add(wrong);
  // Set-up belongs to no stage.
  if (exec.vu.idInTest > 0) stage(Date.now()).errors.add(wrong);
}

export function succeeded() {
  asked(false);
}

// What went wrong also goes to k6's log, from which the runner counts it: a summary has no room for reasons.
export function failed(what) {
  asked(true);
  console.warn(`problem: ${what}`);
}

export function reconnected(cause) {
  reconnects.add(1);
  if (cause !== 'planned') console.warn(`reconnect: ${cause}`);
}
