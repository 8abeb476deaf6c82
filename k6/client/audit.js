// Reads a stretch of the room's log again, over a new socket, so that it can be compared with what a visitor received
// while it happened.

import { clearTimeout, setTimeout } from 'k6/timers';

import { Link } from './link.js';

const DEADLINE_MS = 5000;
const RETRY_MS = 300;

// The log after `since` and up to `until`, its end at the time, as {offsets, since, until}; `since` is later where history
// has been cut meanwhile. Null when the log could not be read in time, or is another one by now.
export function readLog(url, token, epoch, since) {
  return new Promise((resolve) => {
    const reading = { offsets: [], since, until: null };
    let link;
    let done = false;

    const finish = (result) => {
      if (done) return;
      done = true;
      clearTimeout(deadline);
      link.close();
      resolve(result);
    };
    const deadline = setTimeout(() => finish(null), DEADLINE_MS);
    const progress = () => {
      const last = reading.offsets.length ? reading.offsets[reading.offsets.length - 1] : reading.since;
      if (last >= reading.until) finish(reading);
    };
    const handler = {
      welcome(message) {
        reading.until = message.offset;
        if (message.epoch !== epoch) finish(null);
        // A gap, if there is one, comes right behind the welcome: it must be heard before this is taken for the end.
        else if (message.offset <= since) setTimeout(progress, 50);
      },
      message(message) {
        if (message.type === 'gap') reading.since = Math.max(reading.since, message.offset - 1);
      },
      event(offset) {
        reading.offsets.push(offset);
        return 0;
      },
      frameEnd: progress,
      broken: () => finish(null),
      // The visit's own socket may still be counted: a tier may allow one only.
      closed: () => {
        reading.offsets = [];
        if (!done) setTimeout(open, RETRY_MS);
      },
    };
    const open = () => {
      if (!done) link = new Link(url, { token, epoch, offset: since, handler });
    };
    open();
  });
}
