// MessagePack for frames of sub-protocol headrace.1: arrays of uint, str, bin, bool and nil, and nothing else.
// k6 has no TextDecoder, and every microsecond here is paid per delivery: strings are skipped unless somebody reads them.

const MAX_DEPTH = 16;
const BYTE = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code));

export class Malformed extends Error {}

export function encode(value) {
  const bytes = [];
  write(bytes, value);
  return new Uint8Array(bytes);
}

export function decode(bytes) {
  const reader = new Reader(bytes);
  const value = reader.value();
  reader.end();
  return value;
}

export class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  // All of the frame must have been read.
  end() {
    if (this.at !== this.bytes.length) throw new Malformed(`${this.bytes.length - this.at} bytes follow the frame`);
  }

  // The length of the array that begins here; its elements follow.
  array() {
    const head = this._byte();
    if ((head & 0xf0) === 0x90) return head & 0x0f;
    if (head === 0xdc) return this._unsigned(2);
    if (head === 0xdd) return this._unsigned(4);
    throw new Malformed(`expected an array, found 0x${head.toString(16)}`);
  }

  uint() {
    const head = this._byte();
    if (head < 0x80) return head;
    if (head >= 0xcc && head <= 0xcf) return this._unsigned(1 << (head - 0xcc));
    throw new Malformed(`expected a number, found 0x${head.toString(16)}`);
  }

  // Where the bytes of the string that begins here are: [first, after the last]. The string itself is skipped.
  span() {
    const length = this._stringLength(this._byte());
    const first = this.at;
    this._advance(length);
    return [first, this.at];
  }

  skip(depth = 0) {
    const head = this._byte();
    if (head < 0x80 || head >= 0xe0 || head === 0xc0 || head === 0xc2 || head === 0xc3) return;
    if (head >= 0xa0 && head < 0xc0) this._advance(head & 0x1f);
    else if (head >= 0xcc && head <= 0xcf) this._advance(1 << (head - 0xcc));
    else if (head >= 0xd0 && head <= 0xd3) this._advance(1 << (head - 0xd0));
    else if (head >= 0xd9 && head <= 0xdb) this._advance(this._stringLength(head));
    else if (head >= 0xc4 && head <= 0xc6) this._advance(this._unsigned(1 << (head - 0xc4)));
    else {
      this.at -= 1;
      const length = this.array();
      if (depth >= MAX_DEPTH) throw new Malformed('nested too deep');
      for (let i = 0; i < length; i++) this.skip(depth + 1);
    }
  }

  value(depth = 0) {
    const head = this._byte();
    if (head < 0x80) return head;
    if (head >= 0xe0) return head - 0x100;
    if (head === 0xc0) return null;
    if (head === 0xc2) return false;
    if (head === 0xc3) return true;
    if (head >= 0xcc && head <= 0xcf) return this._unsigned(1 << (head - 0xcc));
    if ((head >= 0xa0 && head < 0xc0) || (head >= 0xd9 && head <= 0xdb)) return this._text(this._stringLength(head));
    if (head >= 0xc4 && head <= 0xc6) return this._binary(this._unsigned(1 << (head - 0xc4)));
    this.at -= 1;
    const length = this.array();
    if (depth >= MAX_DEPTH) throw new Malformed('nested too deep');
    const items = [];
    for (let i = 0; i < length; i++) items.push(this.value(depth + 1));
    return items;
  }

  _byte() {
    if (this.at >= this.bytes.length) throw new Malformed('truncated');
    return this.bytes[this.at++];
  }

  _advance(length) {
    this.at += length;
    if (this.at > this.bytes.length) throw new Malformed('truncated');
  }

  _unsigned(size) {
    const first = this.at;
    this._advance(size);
    let number = 0;
    for (let i = first; i < this.at; i++) number = number * 256 + this.bytes[i];
    if (number > Number.MAX_SAFE_INTEGER) throw new Malformed('a number of more than 53 bits');
    return number;
  }

  _stringLength(head) {
    if (head >= 0xa0 && head < 0xc0) return head & 0x1f;
    if (head >= 0xd9 && head <= 0xdb) return this._unsigned(1 << (head - 0xd9));
    throw new Malformed(`expected a string, found 0x${head.toString(16)}`);
  }

  _binary(length) {
    const first = this.at;
    this._advance(length);
    return this.bytes.slice(first, this.at);
  }

  _text(length) {
    const first = this.at;
    this._advance(length);
    let text = '';
    for (let i = first; i < this.at; ) {
      const byte = this.bytes[i];
      if (byte < 0x80) {
        text += BYTE[byte];
        i += 1;
      } else {
        const [code, size] = this._codePoint(i, this.at);
        text += String.fromCodePoint(code);
        i += size;
      }
    }
    return text;
  }

  // A code point of more than one byte, refused unless its encoding is the only valid one (RFC 3629, section 4).
  _codePoint(at, end) {
    const lead = this.bytes[at];
    const size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || at + size > end) throw new Malformed('not UTF-8');
    let code = lead & (0xff >> (size + 1));
    for (let i = at + 1; i < at + size; i++) {
      if ((this.bytes[i] & 0xc0) !== 0x80) throw new Malformed('not UTF-8');
      code = code * 64 + (this.bytes[i] & 0x3f);
    }
    const smallest = size === 4 ? 0x10000 : size === 3 ? 0x800 : 0x80;
    if (code < smallest || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) throw new Malformed('not UTF-8');
    return [code, size];
  }
}

function write(bytes, value) {
  if (value === null || value === undefined) bytes.push(0xc0);
  else if (value === false) bytes.push(0xc2);
  else if (value === true) bytes.push(0xc3);
  else if (typeof value === 'number') writeNumber(bytes, value);
  else if (typeof value === 'string') writeText(bytes, value);
  else if (value instanceof Uint8Array) writeLong(bytes, [0xc4, 0xc5, 0xc6], value);
  else if (Array.isArray(value)) writeArray(bytes, value);
  else throw new TypeError(`no frame holds a ${typeof value}`);
}

function writeNumber(bytes, value) {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not a number of at most 53 bits: ${value}`);
  if (value < 0x80) bytes.push(value);
  else if (value < 0x100) bytes.push(0xcc, value);
  else if (value < 0x10000) bytes.push(0xcd, value >>> 8, value & 0xff);
  else if (value < 0x100000000) {
    bytes.push(0xce);
    writeWord(bytes, value);
  } else {
    bytes.push(0xcf);
    writeWord(bytes, Math.floor(value / 0x100000000));
    writeWord(bytes, value % 0x100000000);
  }
}

function writeWord(bytes, value) {
  bytes.push((value >>> 24) & 0xff, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);
}

function writeText(bytes, text) {
  const encoded = utf8(text);
  if (encoded.length < 32) bytes.push(0xa0 | encoded.length, ...encoded);
  else writeLong(bytes, [0xd9, 0xda, 0xdb], encoded);
}

function writeLong(bytes, heads, content) {
  const length = content.length;
  if (length < 0x100) bytes.push(heads[0], length);
  else if (length < 0x10000) bytes.push(heads[1], length >>> 8, length & 0xff);
  else {
    bytes.push(heads[2]);
    writeWord(bytes, length);
  }
  for (let i = 0; i < length; i++) bytes.push(content[i]);
}

function writeArray(bytes, items) {
  if (items.length < 16) bytes.push(0x90 | items.length);
  else if (items.length < 0x10000) bytes.push(0xdc, items.length >>> 8, items.length & 0xff);
  else throw new RangeError('no frame holds so long an array');
  for (const item of items) write(bytes, item);
}

function utf8(text) {
  const bytes = [];
  for (const character of text) {
    const code = character.codePointAt(0);
    if (code < 0x80) bytes.push(code);
    else if (code < 0x800) bytes.push(0xc0 | (code >> 6), 0x80 | (code & 0x3f));
    else if (code < 0x10000) bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f));
    else {
      const low = [0x80 | ((code >> 12) & 0x3f), 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f)];
      bytes.push(0xf0 | (code >> 18), ...low);
    }
  }
  return bytes;
}
