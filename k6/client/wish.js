// A viewer's wish about the quality: a session is asked for, told what it should send, and hung up. No media comes, since
// k6 has no WebRTC; functions and workers have all the work of it but that.

import { clearTimeout, setTimeout } from 'k6/timers';

import { failed, qualities, qualityLatency, succeeded } from '../metrics.js';

const GRANTED_WITHIN_MS = 10_000;
// auto, audio only, paused: what needs no name of a layer
const MODES = [0, 2, 3];

export class Wishes {
  constructor(random) {
    this._random = random;
    this._wish = null;
  }

  // One at a time; nothing is asked over a link that is not joined.
  ask(link) {
    if (this._wish) return;
    const wish = { link, request: this._random.below(0x80000000), session: null, asked: Date.now() };
    if (!link.send('subscribe', wish.request, null)) return;
    wish.deadline = setTimeout(() => {
      failed('quality not granted');
      this.interrupted();
    }, GRANTED_WITHIN_MS);
    this._wish = wish;
  }

  offered({ request, session }) {
    const wish = this._wish;
    if (!wish || request !== wish.request) return;
    wish.session = session;
    wish.request = this._random.below(0x80000000);
    wish.link.send('quality', wish.request, session, this._random.pick(MODES), null);
  }

  done({ request, at }) {
    const wish = this._wish;
    if (!wish || !wish.session || request !== wish.request) return;
    qualityLatency.add(at - wish.asked);
    qualities.add(1);
    succeeded();
    wish.link.send('hangup', this._random.below(0x80000000), wish.session);
    this.interrupted();
  }

  // The refusal itself has been counted.
  refused({ reference }) {
    if (this._wish && reference === this._wish.request) this.interrupted();
  }

  // With the link goes what was asked for over it.
  interrupted() {
    if (this._wish) clearTimeout(this._wish.deadline);
    this._wish = null;
  }
}
