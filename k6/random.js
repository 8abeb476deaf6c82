// Seeded random numbers and the distributions that users are drawn from. The same seed draws the same users; what the
// network and the scheduler do with them is another matter.

const WORDS = 'lovely that was close again please what song is this good evening from Lyon here did you see it'.split(' ');

// A generator (sfc32, PractRand-clean and four words of state) for one user's one session.
export class Random {
  constructor(...seeds) {
    // FNV-1a over the seeds gives the state; the first numbers are dropped, so that near seeds have parted by then.
    this._state = [0x811c9dc5, 0x9e3779b9, 0x243f6a88, 1];
    for (const character of seeds.join('/')) {
      this._state[0] = Math.imul(this._state[0] ^ character.charCodeAt(0), 0x01000193);
      this._state[1] = Math.imul(this._state[1] ^ this._state[0], 0x85ebca6b);
    }
    for (let i = 0; i < 12; i++) this.word();
  }

  // 32 bits.
  word() {
    let [a, b, c, d] = this._state;
    const sum = (a + b + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    this._state = [a, b, c, d];
    return sum >>> 0;
  }

  // Uniform in [0, 1).
  unit() {
    return this.word() / 0x100000000;
  }

  // Uniform in [low, high).
  between(low, high) {
    return low + this.unit() * (high - low);
  }

  // Uniform over the whole numbers from 0 to below `count`.
  below(count) {
    return Math.floor(this.unit() * count);
  }

  chance(probability) {
    return this.unit() < probability;
  }

  // Exponential: what lies between two events that know nothing of each other.
  exponential(mean) {
    return -Math.log(1 - this.unit()) * mean;
  }

  // Log-normal by its median, cut to [low, high]: lengths of visits and of texts.
  lognormal({ median, sigma, low, high }) {
    const normal = Math.sqrt(-2 * Math.log(1 - this.unit())) * Math.cos(2 * Math.PI * this.unit());
    return Math.min(high, Math.max(low, median * Math.exp(sigma * normal)));
  }

  // A message id or idempotency key: 53 bits.
  id() {
    return this.below(0x200000) * 0x100000000 + this.word();
  }

  pick(items) {
    return items[this.below(items.length)];
  }

  // Words of about `length` characters.
  words(length) {
    let text = this.pick(WORDS);
    while (text.length < length) text += ` ${this.pick(WORDS)}`;
    return text;
  }
}
