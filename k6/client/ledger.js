// What one visitor has received of a room's log, and what is wrong with it. Pure: it counts, others report.
//
// Two things show a loss. Every sender numbers its messages without a hole, and the log keeps a sender's order: a number
// that is skipped was lost on the way to this visitor. And the offsets received can be compared with those that the
// log itself has for the same stretch (`compare`), which also finds the last message of somebody who then fell silent.

// How many offsets are remembered; the log keeps about a thousand.
const REMEMBERED = 2000;

export class Ledger {
  constructor() {
    this.epoch = null;
    // Greatest offset seen: the position to resume from.
    this.offset = null;
    this.lost = 0;
    this.duplicated = 0;
    this.misordered = 0;
    this.gaps = 0;
    this._offsets = [];
    this._expected = new Map();
    // From here on every event of the log must have been received.
    this._since = null;
  }

  // The server's answer to a join.
  welcome(epoch, offset) {
    this.epoch = epoch;
    // A first join gets the latest events as well, but only from the present on must everything be there.
    if (this._since === null) this._since = offset;
    if (this.offset === null) this.offset = 0;
  }

  // Events are missing, and the server says so: that is no loss, and expectations begin anew.
  gap(reason, epoch, offset) {
    this.gaps += 1;
    this._expected.clear();
    this._since = Math.max(offset - 1, this.offset || 0);
    if (reason === 'epoch') {
      this._since = Math.max(offset - 1, 0);
      this._offsets = [];
      this.offset = 0;
    }
    this.epoch = epoch;
  }

  // An event; returns whether it is new.
  event(offset) {
    if (offset > this.offset) {
      this.offset = offset;
      this._offsets.push(offset);
      if (this._offsets.length > 2 * REMEMBERED) this._forget();
      return true;
    }
    if (has(this._offsets, offset)) this.duplicated += 1;
    else this.misordered += 1;
    return false;
  }

  // The stamp of a new event.
  message(sender, number) {
    const expected = this._expected.get(sender);
    if (expected === undefined || number === expected) this._expected.set(sender, number + 1);
    else if (number > expected) {
      this.lost += number - expected;
      this._expected.set(sender, number + 1);
    } else this.duplicated += 1;
  }

  // The position from which the log must agree with what was received.
  get since() {
    return this._since;
  }

  // Whether an event at this offset must have come to this visitor.
  expects(offset) {
    return offset > this._since;
  }

  has(offset) {
    return has(this._offsets, offset);
  }

  // Compare with the log's offsets after `since` and up to `until`, in order. What the log got after the last event that
  // was received here does not count: the visitor had left.
  compare({ offsets, since, until }) {
    const end = Math.min(this.offset, until);
    const within = (offset) => offset > Math.max(since, this._since) && offset <= end;
    const mine = this._offsets.filter(within);
    const theirs = offsets.filter(within);
    const missing = theirs.filter((offset) => !has(mine, offset)).length;
    const unheard = mine.filter((offset) => !has(theirs, offset)).length;
    return { compared: theirs.length, missing, unheard };
  }

  _forget() {
    this._offsets = this._offsets.slice(-REMEMBERED);
    this._since = Math.max(this._since, this._offsets[0] - 1);
  }
}

// Whether a sorted list has a number.
function has(sorted, wanted) {
  let low = 0;
  let high = sorted.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] === wanted) return true;
    if (sorted[middle] < wanted) low = middle + 1;
    else high = middle - 1;
  }
  return false;
}
