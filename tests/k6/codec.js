// The codec of the load tests against the protocol's test vectors, which Python and TypeScript are held to as well.

import { CLIENT, eachEvent, EVENT_CHAT, EVENT_GIFT, frame, isEvents, read, SERVER } from '../../k6/protocol/frames.js';
import { decode, encode, Reader } from '../../k6/protocol/msgpack.js';
import { stamped, stampIn } from '../../k6/protocol/stamp.js';
import { claim, equal, refuses } from './claims.js';

export { handleSummary, options } from './claims.js';

const vectors = JSON.parse(open('../../shared/protocol/vectors.json'));
const accepted = vectors.accepted.filter(({ hex }) => hex);
const known = new Set(Object.values(SERVER).map(([name]) => name));
// What is no MessagePack of this protocol at all, whoever reads it. The rest of `refused` breaks rules of kinds that
// only a server reads.
const UNREADABLE = ['empty', 'not-an-array', 'number-over-53-bits', 'text-not-utf-8', 'truncated', 'trailing-bytes', 'nested-too-deep'];

function bytes(hex) {
  return new Uint8Array((hex.match(/../g) || []).map((pair) => parseInt(pair, 16)));
}

function hex(frame) {
  return Array.from(frame, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

// Structs inside a message are named in a vector and arrays on the wire; bytes are hexadecimal there.
function plain(value) {
  if (value instanceof Uint8Array) return [hex(value)];
  if (Array.isArray(value)) return value.map(plain);
  return value !== null && typeof value === 'object' ? Object.values(value).map(plain) : value;
}

function fieldsOf(message, names) {
  return names.map((name) => plain(message[name]));
}

export default function () {
  for (const { name, direction, hex: wanted, message } of accepted) {
    if (direction === 'client' && CLIENT[message.type]) {
      claim(`writes ${name}`, () => {
        const fields = fieldsOf(message, CLIENT[message.type].slice(1));
        equal(hex(frame(message.type, ...fields)), wanted);
      });
    }
    if (direction === 'server' && known.has(message.type) && message.type !== 'events') {
      claim(`reads ${name}`, () => {
        const found = read(bytes(wanted));
        equal(found.type, message.type);
        const names = Object.keys(found).filter((field) => field !== 'type');
        equal(fieldsOf(found, names), fieldsOf(message, names));
      });
    }
    if (message.type === 'events') claim(`reads ${name}`, () => readsEvents(bytes(wanted), message));
  }
  claim('every frame of the vectors is written as it was read', () => {
    for (const { name, hex: wanted } of accepted) equal(hex(encode(decode(bytes(wanted)))), wanted, name);
  });
  claim('every frame of the vectors can be skipped', () => {
    for (const { name, hex: wanted } of accepted) {
      const reader = new Reader(bytes(wanted));
      reader.skip();
      equal(reader.at, wanted.length / 2, name);
    }
  });
  claim('a frame cut short anywhere is refused', () => {
    for (const { name, hex: wanted } of accepted) {
      const whole = bytes(wanted);
      for (let end = 0; end < whole.length; end++) refuses(() => decode(whole.slice(0, end)), `${name} up to ${end}`);
    }
  });
  const refused = vectors.refused.filter(({ name }) => UNREADABLE.includes(name));
  for (const { name, hex: wrong } of refused) claim(`refuses ${name}`, () => refuses(() => decode(bytes(wrong))));
  for (const { name, hex: longer } of vectors.tolerated.filter((vector) => vector.hex)) {
    claim(`tolerates ${name}`, () => decode(bytes(longer)));
  }
  claim('fields of a later version are passed over', () => {
    equal(read(encode([34, 7, 'later'])).nonce, 7);
    const offsets = [];
    const later = [35, 100, [[0, [1, 'p', 'Ana', 4, 'hi', 'later'], 'later'], [9, [77, ['later']]]], 'later'];
    eachEvent(encode(later), (offset, type) => offsets.push([offset, type]) && 0);
    equal(offsets, [[100, 1], [109, 77]]);
  });
  claim('kinds that it does not know are passed over', () => equal(read(encode([63, 1])), null));
  claim('a stamp is read as it was written', () => {
    const reader = new Reader(encode(stamped(12, 3456, 1795352400123, 'good evening')));
    const [first, end] = reader.span();
    equal(stampIn(reader.bytes, first, end), [12, 3456, 1795352400123]);
  });
  claim('what somebody else says has no stamp', () => {
    for (const text of ['', '~', 'hello', '~1 2', '~1 2 three x', '~1 2 3']) {
      const reader = new Reader(encode(text));
      const [first, end] = reader.span();
      equal(stampIn(reader.bytes, first, end), null, text);
    }
  });
}

function readsEvents(batch, message) {
  equal(isEvents(batch), true);
  const found = [];
  eachEvent(batch, (offset, type, reader, fields) => {
    const values = [];
    if (type === EVENT_CHAT || type === EVENT_GIFT) for (let i = 0; i < fields; i++) values.push(reader.value());
    found.push([offset, values]);
    return values.length;
  });
  const wanted = message.events.map(([delta, { type, ...fields }]) => [
    message.base + delta,
    type === 'chat' || type === 'gift' ? Object.values(fields) : [],
  ]);
  equal(found, wanted);
}
