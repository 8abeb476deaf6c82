// What one user has to say: in order, one at a time, each until it is acknowledged, over as many connections as that
// takes. The same message goes out with the same id and text again, so that the server can tell that it is the same.

import { stamped } from '../protocol/stamp.js';

const MAX_WAITING = 100;

export class Outgoing {
  constructor(sender) {
    this._sender = sender;
    this._number = 0;
    this._queue = [];
  }

  get empty() {
    return this._queue.length === 0;
  }

  // The message that is to be sent or acknowledged next.
  get head() {
    return this._queue[0];
  }

  // Queue a chat message that the user wants to send at `intended` (ms since 1970). False: too much waits already.
  chat(id, intended, words) {
    if (this._queue.length >= MAX_WAITING) return false;
    this._number += 1;
    const text = stamped(this._sender, this._number, intended, words);
    this._queue.push({ kind: 'chat', id, fields: [text], attempted: null, inFlight: false });
    return true;
  }

  gift(id, gift, quantity) {
    if (this._queue.length >= MAX_WAITING) return false;
    this._queue.push({ kind: 'gift', id, fields: [gift, quantity], attempted: null, inFlight: false });
    return true;
  }

  // It is in the log: the next one may go. Returns the message, undefined when nothing waited for this.
  acknowledge(id) {
    if (this.empty || this.head.id !== id) return undefined;
    return this._queue.shift();
  }

  // The server will never take it. The numbers of what follows would have a hole, so nothing of it is sent.
  drop() {
    const refused = this._queue.filter((message) => message.kind === 'chat').length;
    this._number -= refused;
    this._queue = [];
  }

  // The connection is gone: whether the message arrived is unknown, so it is sent again.
  interrupted() {
    if (!this.empty) this.head.inFlight = false;
  }
}
