// One socket: join, then frames in both directions. Who uses it decides when to open the next one.

import exec from 'k6/execution';
import { WebSocket } from 'k6/experimental/websockets';
import { clearTimeout, setTimeout } from 'k6/timers';

import { failed, joinLatency } from '../metrics.js';
import { CLOSE, eachEvent, frame, isEvents, read, SUBPROTOCOL } from '../protocol/frames.js';
import { addressed } from './api.js';

const WELCOME_S = 10;
const ANSWERED_WITHIN_MS = 5000;
const CONNECTING = 0;

// Close codes that no server sends.
export const LOST = 1006;
export const NO_WELCOME = 3000;

// handler: welcome(message), message(message), event(offset, type, reader, fields, receivedAt), frameEnd(),
// broken(reason) for a frame that cannot be read, closed(code)
export class Link {
  constructor(url, { token, epoch = null, offset = null, handler }) {
    this._handler = handler;
    this._opened = Date.now();
    this._closed = false;
    this._leaving = false;
    this._code = LOST;
    this.joined = false;
    const headers = addressed(exec.vu.idInTest);
    this._socket = new WebSocket(url, SUBPROTOCOL, { headers, tags: { name: 'GET /v1/rooms/{id}/socket' } });
    this._socket.binaryType = 'arraybuffer';
    this._socket.onopen = () => {
      if (this._leaving) this._hangUp();
      else this._send(frame('join', token, epoch, offset));
    };
    this._socket.onmessage = (event) => this._received(event);
    this._socket.onclose = () => {
      clearTimeout(this._unanswered);
      this._over(this._code);
    };
    this._socket.onerror = (event) => this._failed(String(event.error));
    this._deadline = setTimeout(() => this.close(NO_WELCOME), WELCOME_S * 1000);
  }

  get protocol() {
    return this._socket.protocol;
  }

  send(name, ...fields) {
    if (this._closed || this._leaving || !this.joined) return false;
    return this._send(frame(name, ...fields));
  }

  // Say goodbye; the handler hears of it as `code`. The peer may have gone, so its answer is waited for only shortly.
  close(code = CLOSE.NORMAL) {
    if (this._closed || this._leaving) return;
    this._leaving = true;
    this._code = code;
    // k6 1.1.0 blocks the user for ever that closes a socket which is not open yet: `onopen` does it then.
    if (this._socket.readyState !== CONNECTING) this._hangUp();
    setTimeout(() => this._over(code), 200);
  }

  // A close that is never answered keeps k6 from ending, even when its time is up (1.1.0): that must not go unsaid.
  _hangUp() {
    this._unanswered = setTimeout(() => failed('close not answered'), ANSWERED_WITHIN_MS);
    this._socket.close(CLOSE.NORMAL);
  }

  // k6 tells the code of a close in the text of an error that precedes the close event, and nowhere else.
  _failed(text) {
    const code = /close (\d{4})/.exec(text);
    if (code && !this._leaving) this._code = Number(code[1]);
    // After a handshake that failed no close event comes.
    setTimeout(() => {
      clearTimeout(this._unanswered);
      this._over(this._code);
    }, 100);
  }

  _send(bytes) {
    // Between the end of a socket and the event that tells of it, sending throws.
    try {
      this._socket.send(bytes.buffer);
      return true;
    } catch (_) {
      return false;
    }
  }

  _received(event) {
    if (this._closed) return;
    const bytes = new Uint8Array(event.data);
    try {
      if (isEvents(bytes)) {
        const at = event.timestamp;
        eachEvent(bytes, (offset, type, reader, fields) => this._handler.event(offset, type, reader, fields, at));
        this._handler.frameEnd();
        return;
      }
      const message = read(bytes);
      if (message === null) return;
      message.at = event.timestamp;
      if (message.type === 'welcome') this._welcomed(message);
      else this._handler.message(message);
    } catch (error) {
      this._handler.broken(error);
    }
  }

  _welcomed(message) {
    clearTimeout(this._deadline);
    this.joined = true;
    joinLatency.add(message.at - this._opened);
    this._handler.welcome(message);
  }

  _over(code) {
    if (this._closed) return;
    this._closed = true;
    clearTimeout(this._deadline);
    this._handler.closed(code);
  }
}
