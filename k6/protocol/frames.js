// The message kinds that a load test needs, as shared/protocol/SPEC.md defines them. Kinds that are not listed here are
// passed over, as the specification asks of a client.

import { encode, Malformed, Reader } from './msgpack.js';

export const SUBPROTOCOL = 'headrace.1';

export const CLIENT = {
  join: [1, 'token', 'epoch', 'offset'],
  ping: [2, 'nonce'],
  chat: [3, 'message_id', 'text'],
  subscribe: [5, 'request', 'instead_of'],
  hangup: [7, 'request', 'session'],
  react: [10, 'reaction', 'count'],
  typing: [11],
  gift: [12, 'key', 'gift', 'quantity'],
  quality: [18, 'request', 'session', 'mode', 'layer'],
};

export const SERVER = {
  33: ['welcome', 'connection', 'participant', 'name', 'role', 'epoch', 'offset', 'live', 'viewers', 'ping_ms', 'instance'],
  34: ['pong', 'nonce'],
  35: ['events', 'base', 'events'],
  36: ['sent', 'message_id', 'offset'],
  37: ['gap', 'reason', 'epoch', 'offset'],
  38: ['error', 'code', 'message', 'reference', 'retry_after_ms'],
  39: ['offer', 'request', 'session', 'sdp'],
  41: ['viewers', 'count'],
  42: ['done', 'request'],
  43: ['move', 'delay_ms'],
  44: ['reactions', 'reactions'],
  45: ['typing_notice', 'names', 'count'],
  47: ['waiting', 'position'],
};

export const KIND_EVENTS = 35;

export const EVENT_CHAT = 1;
export const EVENT_GIFT = 4;

export const ERROR = {
  TOKEN_EXPIRED: 3,
  RATE_LIMITED: 6,
  UNAVAILABLE: 12,
  KIND_UNKNOWN: 16,
  SLOW_MODE: 18,
  TOO_MANY_CONNECTIONS: 20,
  BACKED_OFF: 21,
};

export const CLOSE = { TOKEN_REFUSED: 4401, FORBIDDEN: 4403, ROOM_UNKNOWN: 4404, MALFORMED: 4400, NORMAL: 1000 };

// The bytes of a frame to the server: `frame('chat', 7, 'hello')`.
export function frame(name, ...fields) {
  return encode([CLIENT[name][0], ...fields]);
}

// A frame from the server as {type, field: value, …}; null for a kind that is not listed above.
export function read(bytes) {
  const reader = new Reader(bytes);
  const [kind, ...fields] = reader.value();
  reader.end();
  if (typeof kind !== 'number') throw new Malformed('expected an array that begins with a kind');
  const known = SERVER[kind];
  if (!known) return null;
  const message = { type: known[0] };
  for (let i = 1; i < known.length; i++) message[known[i]] = i - 1 < fields.length ? fields[i - 1] : null;
  return message;
}

// Whether a frame is a batch of the room log, for `eachEvent`, without reading more of it than that.
export function isEvents(bytes) {
  return bytes.length > 1 && (bytes[0] & 0xf0) === 0x90 && bytes[1] === KIND_EVENTS;
}

// Calls visit(offset, type, reader, fields) for each event of a batch, oldest first. `visit` may read up to `fields`
// elements and returns how many it has read; the rest is skipped.
export function eachEvent(bytes, visit) {
  const reader = new Reader(bytes);
  const parts = reader.array();
  reader.skip();
  const base = reader.uint();
  const count = reader.array();
  for (let i = 0; i < count; i++) {
    const width = reader.array();
    const offset = base + reader.uint();
    const fields = reader.array() - 1;
    const type = reader.uint();
    for (let left = fields - visit(offset, type, reader, fields); left > 0; left--) reader.skip();
    for (let left = width - 2; left > 0; left--) reader.skip();
  }
  for (let left = parts - 3; left > 0; left--) reader.skip();
  reader.end();
}
