/** Judges from receiver statistics whether video that should be moving has come to a halt. */

export interface MediaSample {
  readonly framesDecoded: number;
  readonly videoBytes: number;
  readonly audioBytes: number;
  readonly videoPackets: number;
  readonly videoLost: number;
}

export interface InboundReport {
  readonly type: string;
  readonly kind?: string;
  readonly framesDecoded?: number;
  readonly bytesReceived?: number;
  readonly packetsReceived?: number;
  readonly packetsLost?: number;
  readonly responsesReceived?: number;
}

export function sampleOf(reports: Iterable<InboundReport>): MediaSample {
  let framesDecoded = 0;
  let videoBytes = 0;
  let audioBytes = 0;
  let videoPackets = 0;
  let videoLost = 0;
  for (const report of reports) {
    if (report.type !== "inbound-rtp") continue;
    if (report.kind === "video") {
      framesDecoded += report.framesDecoded ?? 0;
      videoBytes += report.bytesReceived ?? 0;
      videoPackets += report.packetsReceived ?? 0;
      videoLost += report.packetsLost ?? 0;
    } else {
      audioBytes += report.bytesReceived ?? 0;
    }
  }
  return { framesDecoded, videoBytes, audioBytes, videoPackets, videoLost };
}

const STALL_MS = 5_000;
/**
 * Where not a byte comes, another subscription would get none either: a dead path of our own is noticed otherwise, and a
 * streamer whose path has died has these seconds to find another one.
 */
const NOTHING_MS = 10_000;
/**
 * Where this share is lost on the way another subscription would lose as much, and would begin by finding out anew what
 * the way carries. So long the worker has to give less, or sound alone.
 */
const LOSSY_SHARE = 0.25;
const LOSSY_MS = 15_000;

export class StallDetector {
  #last: MediaSample | null = null;
  #lastMovedAt = 0;
  #movedWith: MediaSample | null = null;

  /** Takes a sample; returns whether playback has stood still for too long. */
  stalled(sample: MediaSample, nowMs: number): boolean {
    const last = this.#last;
    this.#last = sample;
    if (last === null || moved(last, sample)) {
      this.#lastMovedAt = nowMs;
      this.#movedWith = sample;
      return false;
    }
    return nowMs - this.#lastMovedAt >= limitOf(this.#movedWith ?? last, sample);
  }
}

/** How long nothing may move, by what came since it last did. */
function limitOf(since: MediaSample, sample: MediaSample): number {
  if (bytesOf(sample) === bytesOf(since)) return NOTHING_MS;
  const lost = sample.videoLost - since.videoLost;
  const sent = lost + sample.videoPackets - since.videoPackets;
  return lost > LOSSY_SHARE * sent ? LOSSY_MS : STALL_MS;
}

function bytesOf({ videoBytes, audioBytes }: MediaSample): number {
  return videoBytes + audioBytes;
}

function moved(before: MediaSample, after: MediaSample): boolean {
  if (after.framesDecoded > before.framesDecoded) return true;
  // Sound without a single byte of video: a stream of sound alone, or a camera that is off. Nothing to repair.
  return after.audioBytes > before.audioBytes && after.videoBytes === before.videoBytes;
}

/** Anything that grows while the path carries something: packets, and answers to connectivity checks. */
export function activityOf(reports: Iterable<InboundReport>): number {
  let activity = 0;
  for (const { type, bytesReceived, responsesReceived } of reports) {
    if (type === "candidate-pair") activity += (bytesReceived ?? 0) + (responsesReceived ?? 0);
  }
  return activity;
}

/** Browsers check a path that is well every two and a half seconds, so a streamer who sends nothing is no silence. */
const SILENT_MS = 3_000;
/** A worker says something at least twice a second, also where it has no media: after this it is stopped, dead or cut off. */
export const GONE_MS = 1_200;

/** Notices that a path that brought something brings nothing any more, sooner than the browser says so. */
export class SilenceDetector {
  readonly #limitMs: number;
  #activity = 0;
  #lastAt: number | null = null;

  constructor(limitMs = SILENT_MS) {
    this.#limitMs = limitMs;
  }

  /** Takes a sample; returns whether it has just become silent, once for each time. */
  fellSilent(activity: number, nowMs: number): boolean {
    if (activity !== this.#activity) {
      this.#activity = activity;
      this.#lastAt = nowMs;
      return false;
    }
    if (this.#lastAt === null || nowMs - this.#lastAt < this.#limitMs) return false;
    this.#lastAt = null;
    return true;
  }
}
