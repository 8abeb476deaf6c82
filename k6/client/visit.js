// One user's visit to a room: join, talk, react, give, lose the connection and come back, leave; and at the end say
// whether everything that should have come did, once and in order.

import { check } from 'k6';
import { clearTimeout, setTimeout } from 'k6/timers';

import { config } from '../config.js';
import * as metrics from '../metrics.js';
import { CLOSE, ERROR, EVENT_CHAT, EVENT_GIFT, SUBPROTOCOL } from '../protocol/frames.js';
import { stampIn } from '../protocol/stamp.js';
import { enterRoom, socketUrl } from './api.js';
import { readLog } from './audit.js';
import { Ledger } from './ledger.js';
import { Link, LOST } from './link.js';
import { Wishes } from './wish.js';

const ACKNOWLEDGED_WITHIN_MS = 10_000;
const REJOINED_WITHIN_MS = 10_000;
const LEAVE_WITHIN_MS = 6_000;
const BACKOFF_MS = { first: 200, most: 5_000 };
const TYPING_BEFORE_MS = 1_000;
const REACTIONS = ['❤️', '🔥', '👏', '😂', '😮'];
const GIFTS = ['rose', 'rocket', 'crown'];
const MAY_RETRY = new Set([ERROR.RATE_LIMITED, ERROR.UNAVAILABLE, ERROR.SLOW_MODE, ERROR.BACKED_OFF]);
const PASSING_AT_JOIN = new Set([ERROR.UNAVAILABLE, ERROR.TOO_MANY_CONNECTIONS, ERROR.BACKED_OFF, ERROR.TOKEN_EXPIRED]);

export class Visit {
  // user: {number, identity, base, outgoing}; room: id; supports: {react, typing, gift}; startedAt, endsAt: of the
  // run and of this visit, ms since 1970
  constructor({ profile, user, room, supports, random, startedAt, endsAt }) {
    this._profile = profile;
    this._user = user;
    this._room = room;
    this._supports = supports;
    this._random = random;
    const slowly = profile.slowNetwork && config.slowUrl !== '';
    this._measuring = { afterwards: startedAt + config.afterwards * 1000, slowly };
    this._endsAt = endsAt;
    this._ledger = new Ledger();
    this._wishes = new Wishes(random);
    this._timers = new Set();
    this._own = [];
    this._liveFrom = 0;
    this._attempts = 0;
    this._away = null;
    this._leaving = false;
    this._over = false;
    this._refusal = null;
    this._batch = { delivered: 0, caughtUp: 0 };
  }

  async run() {
    this._token = enterRoom(this._user.base, this._user.identity, this._room);
    const finished = new Promise((resolve) => (this._finish = resolve));
    this._away = Date.now();
    this._open();
    this._every(this._profile.chatMean, 1000 / this._profile.messagesPerSecond, (at) => this._say(at), true);
    if (this._supports.react) this._every(this._profile.reactMean, 500, () => this._react());
    if (this._supports.gift) this._every(this._profile.giftMean, 1000, (at) => this._give(at));
    if (this._supports.quality) this._every(this._profile.qualityMean, 3000, () => this._wishes.ask(this._link));
    this._every(this._profile.dropMean, 2000, () => this._drop());
    this._later(Math.max(0, this._endsAt - Date.now()), () => this._leave());
    const outcome = await finished;
    this._over = true;
    for (const timer of this._timers) clearTimeout(timer);
    this._wishes.interrupted();
    this._link.close();
    await this._conclude(outcome);
  }

  // What the user does

  // Calls act(intended) at times that are exponentially distributed, `least` ms apart at the least. The times do not
  // wait for what was done before: a platform that is slow gets no fewer messages for it.
  _every(meanSeconds, least, act, announces = false) {
    if (meanSeconds === null) return;
    const mean = (meanSeconds * 1000) / config.activity;
    const next = (before) => {
      const at = before + Math.max(least, this._random.exponential(mean));
      const types = announces && this._supports.typing && this._random.chance(this._profile.typesFirst);
      if (types) this._later(at - TYPING_BEFORE_MS - Date.now(), () => this._type());
      this._later(at - Date.now(), () => {
        if (this._leaving) return;
        act(Math.round(at));
        next(at);
      });
    };
    next(Date.now());
  }

  _say(intended) {
    metrics.generatorLateness.add(Math.max(0, Date.now() - intended));
    const words = this._random.words(this._random.lognormal(this._profile.length));
    if (!this._user.outgoing.chat(this._random.id(), intended, words)) metrics.failed('too much waits to be sent');
    this._flush();
  }

  _give() {
    this._user.outgoing.gift(this._random.id(), this._random.pick(GIFTS), 1 + this._random.below(10));
    this._flush();
  }

  _react() {
    const count = 1 + this._random.below(this._profile.reactBurst);
    if (this._link.send('react', this._random.pick(REACTIONS), count)) metrics.reacted.add(1);
  }

  _type() {
    if (!this._leaving && this._link.send('typing')) metrics.typed.add(1);
  }

  // The connection goes, as on the way into a tunnel.
  _drop() {
    if (!this._link.joined) return;
    this._pause = this._random.exponential(500);
    this._link.close();
  }

  _leave() {
    this._leaving = true;
    this._later(LEAVE_WITHIN_MS, () => this._finish({ complete: false }));
    this._maybeFinish();
  }

  // All is said, acknowledged, and has come back.
  _maybeFinish() {
    if (!this._leaving || !this._link.joined || !this._user.outgoing.empty) return;
    if (this._own.length && this._ledger.offset < this._own[this._own.length - 1]) return;
    this._finish({ complete: true });
  }

  // Sending

  _flush() {
    const message = this._user.outgoing.head;
    if (!message || message.inFlight || this._holding) return;
    if (!this._link.send(message.kind, message.id, ...message.fields)) return;
    message.inFlight = true;
    message.attempted = message.attempted || Date.now();
    this._acknowledgement = this._later(ACKNOWLEDGED_WITHIN_MS, () => {
      metrics.failed(`${message.kind} not acknowledged`);
      this._link.close(LOST);
    });
  }

  _sent(message) {
    const mine = this._user.outgoing.acknowledge(message.message_id);
    if (!mine) return;
    this._cancel(this._acknowledgement);
    metrics.succeeded();
    metrics.acknowledgeLatency.add(message.at - mine.attempted);
    (mine.kind === 'gift' ? metrics.gifts : metrics.sent).add(1);
    this._own.push(message.offset);
    this._flush();
    this._maybeFinish();
  }

  _refused(message) {
    const head = this._user.outgoing.head;
    metrics.failed(`error ${message.code}`);
    this._wishes.refused(message);
    if (!head || message.reference !== head.id) return;
    this._cancel(this._acknowledgement);
    if (!MAY_RETRY.has(message.code)) {
      this._user.outgoing.drop();
      return;
    }
    head.inFlight = false;
    this._holding = true;
    this._later(message.retry_after_ms || 1000, () => {
      this._holding = false;
      this._flush();
    });
  }

  // Connection

  _open() {
    if (this._over) return;
    const { epoch, offset } = this._ledger;
    const url = socketUrl(this._user.base, this._room);
    this._link = new Link(url, { token: this._token, epoch, offset, handler: this });
  }

  welcome(message) {
    metrics.succeeded();
    check(this._link, { 'the server speaks headrace.1': (link) => link.protocol === SUBPROTOCOL });
    this._ledger.welcome(message.epoch, message.offset);
    this._liveFrom = message.offset;
    this._attempts = 0;
    this._away = null;
    this._keepAlive(this._link, message.ping_ms);
    this._flush();
    this._maybeFinish();
  }

  _keepAlive(link, interval) {
    const ping = () => {
      if (link === this._link && link.send('ping', Date.now())) this._later(interval, ping);
    };
    this._later(this._random.between(0, Math.min(interval, 5000)), ping);
  }

  message(message) {
    if (message.type === 'sent') this._sent(message);
    else if (message.type === 'offer') this._wishes.offered(message);
    else if (message.type === 'done') this._wishes.done(message);
    else if (message.type === 'error') {
      if (this._link.joined) this._refused(message);
      else this._refusal = message;
    } else if (message.type === 'pong') metrics.pingLatency.add(message.at - message.nonce);
    else if (message.type === 'reactions' || message.type === 'typing_notice') metrics.ephemeral.add(1);
    else if (message.type === 'move') this._later(message.delay_ms, () => this._link.close());
    else if (message.type === 'gap') {
      metrics.gaps.add(1);
      this._ledger.gap(message.reason, message.epoch, message.offset);
    }
  }

  event(offset, type, reader, fields, at) {
    if (!this._ledger.event(offset)) return 0;
    const live = offset > this._liveFrom;
    if (live) this._batch.delivered += 1;
    else this._batch.caughtUp += 1;
    if (live && (type === EVENT_CHAT || type === EVENT_GIFT)) metrics.deliveryLatency.add(at - offset / 1000);
    if (type !== EVENT_CHAT || fields < 4) return 0;
    reader.skip();
    reader.skip();
    reader.skip();
    const [first, end] = reader.span();
    const stamp = stampIn(reader.bytes, first, end);
    if (stamp) {
      this._ledger.message(stamp[0], stamp[1]);
      if (live) metrics.measured(stamp[2], at, this._measuring);
    }
    return 4;
  }

  frameEnd() {
    if (this._batch.delivered) metrics.delivered.add(this._batch.delivered);
    if (this._batch.caughtUp) metrics.caughtUp.add(this._batch.caughtUp);
    this._batch = { delivered: 0, caughtUp: 0 };
    this._maybeFinish();
  }

  broken(error) {
    metrics.failed('frame that cannot be read');
    console.error(`a frame cannot be read: ${error}`);
  }

  closed(code) {
    if (this._over) return;
    this._wishes.interrupted();
    this._user.outgoing.interrupted();
    this._cancel(this._acknowledgement);
    const refusal = this._refusal;
    this._refusal = null;
    if (refusal && !PASSING_AT_JOIN.has(refusal.code)) {
      metrics.failed(`join refused: error ${refusal.code}`);
      this._finish({ complete: false });
      return;
    }
    if ([CLOSE.FORBIDDEN, CLOSE.ROOM_UNKNOWN, CLOSE.MALFORMED].includes(code)) {
      metrics.failed(`closed with ${code}`);
      this._finish({ complete: false });
      return;
    }
    this._away = this._away || Date.now();
    if (Date.now() - this._away > REJOINED_WITHIN_MS) {
      metrics.failed('not joined in time');
      this._away = Date.now();
    }
    const why = refusal ? `${code} after error ${refusal.code}` : String(code);
    metrics.reconnected(code === CLOSE.NORMAL && !refusal ? 'planned' : `${this._profile.kind}: ${why}`);
    this._later(this._backoff(code, refusal), () => this._reopen(code));
  }

  _reopen(code) {
    try {
      if (code === CLOSE.TOKEN_REFUSED) {
        this._token = enterRoom(this._user.base, this._user.identity, this._room);
      }
      this._open();
    } catch (error) {
      this._later(BACKOFF_MS.most, () => this._reopen(code));
    }
  }

  // Full jitter, so that those who lost the same server do not come back in step.
  _backoff(code, refusal) {
    if (code === CLOSE.NORMAL && this._pause) {
      const pause = this._pause;
      this._pause = null;
      return pause;
    }
    if (refusal && refusal.retry_after_ms) return refusal.retry_after_ms;
    this._attempts += 1;
    return this._random.between(0, Math.min(BACKOFF_MS.most, BACKOFF_MS.first * 2 ** this._attempts));
  }

  // The end

  async _conclude({ complete }) {
    const ledger = this._ledger;
    if (!complete && !this._user.outgoing.empty) metrics.failed('not acknowledged before leaving');
    const unheard = this._own.filter((offset) => ledger.expects(offset) && !ledger.has(offset)).length;
    let audit = null;
    if (ledger.epoch !== null && ledger.offset !== null && this._random.chance(config.audit)) {
      const url = socketUrl(this._user.base, this._room);
      audit = await readLog(url, this._token, ledger.epoch, ledger.since);
    }
    const found = audit ? ledger.compare(audit) : { compared: 0, missing: 0, unheard: 0 };
    metrics.audited.add(found.compared);
    // The same loss may show in both ways: the greater number is the count.
    const missing = Math.max(ledger.lost, found.missing, unheard);
    metrics.lost.add(missing);
    metrics.duplicated.add(ledger.duplicated);
    metrics.misordered.add(ledger.misordered);
    check(ledger, {
      'joined the room': () => ledger.epoch !== null,
      'nothing was lost': () => missing === 0,
      'nothing came that is not in the log': () => found.unheard === 0,
      'nothing came twice': () => ledger.duplicated === 0,
      'events came in order': () => ledger.misordered === 0,
      'everything sent was acknowledged and came back': () => complete,
    });
  }

  _later(delay, act) {
    const timer = setTimeout(() => {
      this._timers.delete(timer);
      if (!this._over) act();
    }, Math.max(0, delay));
    this._timers.add(timer);
    return timer;
  }

  _cancel(timer) {
    if (timer === undefined) return;
    clearTimeout(timer);
    this._timers.delete(timer);
  }
}
