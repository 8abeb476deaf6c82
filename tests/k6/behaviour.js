// The parts of the load tests that judge: they must notice what they are there to notice.

import { Ledger } from '../../k6/client/ledger.js';
import { Outgoing } from '../../k6/client/outgoing.js';
import { apportion, PROFILES } from '../../k6/mix.js';
import { Random } from '../../k6/random.js';
import { breakingPoint, byStage, promised } from '../../k6/report.js';
import { afterwards, GRACE_S, most, NAMES, nextFall, roomsFor, seconds, stageAt, stages } from '../../k6/shapes.js';
import { claim, equal, refuses } from './claims.js';

export { handleSummary, options } from './claims.js';

const THRESHOLDS = {
  timing: { headrace_message_latency: ['p(95)<100', 'p(99)<250'] },
  functional: { headrace_errors: ['rate<0.01'] },
};

function joined(offset = 100) {
  const ledger = new Ledger();
  ledger.welcome('epoch', offset);
  return ledger;
}

function wrong({ lost, duplicated, misordered }) {
  return { lost, duplicated, misordered };
}

export default function () {
  ledger();
  outgoing();
  randomness();
  load();
}

function ledger() {
  claim('a log received whole has no fault', () => {
    const found = joined();
    for (let number = 1; number <= 5000; number++) {
      found.event(100 + number);
      found.message(number % 3, Math.ceil(number / 3));
    }
    equal(wrong(found), { lost: 0, duplicated: 0, misordered: 0 });
  });
  claim('a skipped number of a sender is a loss', () => {
    const found = joined();
    for (const [offset, number] of [[101, 7], [102, 8], [103, 11]]) found.event(offset) && found.message(1, number);
    equal(wrong(found), { lost: 2, duplicated: 0, misordered: 0 });
  });
  claim('an offset that comes again is a duplicate, also after a resume', () => {
    const found = joined();
    found.event(101);
    found.welcome('epoch', 101);
    equal(found.event(101), false);
    equal(wrong(found), { lost: 0, duplicated: 1, misordered: 0 });
  });
  claim('a message that was appended twice is a duplicate', () => {
    const found = joined();
    found.event(101) && found.message(1, 1);
    found.event(102) && found.message(1, 1);
    equal(wrong(found), { lost: 0, duplicated: 1, misordered: 0 });
  });
  claim('an older offset that was not there before is out of order', () => {
    const found = joined();
    found.event(103);
    found.event(102);
    equal(wrong(found), { lost: 0, duplicated: 0, misordered: 1 });
  });
  claim('what a gap announces is no loss', () => {
    const found = joined();
    found.event(101) && found.message(1, 1);
    found.gap('trimmed', 'epoch', 150);
    found.event(150) && found.message(1, 40);
    equal(wrong(found), { lost: 0, duplicated: 0, misordered: 0 });
    equal(found.compare({ offsets: [120, 150], since: 100, until: 150 }), { compared: 1, missing: 0, unheard: 0 });
  });
  claim('a new epoch begins anew', () => {
    const found = joined(500);
    found.event(501) && found.message(1, 9);
    found.gap('epoch', 'other', 0);
    found.event(300) && found.message(1, 2);
    equal(wrong(found), { lost: 0, duplicated: 0, misordered: 0 });
    equal([found.epoch, found.offset], ['other', 300]);
  });
  claim('the comparison with the log finds the last message of one who fell silent', () => {
    const found = joined();
    for (const offset of [101, 103, 104]) found.event(offset);
    const log = { offsets: [101, 102, 103, 104, 105], since: 100, until: 105 };
    equal(found.compare(log), { compared: 4, missing: 1, unheard: 0 });
  });
  claim('the comparison with the log finds what was never in it', () => {
    const found = joined();
    for (const offset of [101, 102]) found.event(offset);
    equal(found.compare({ offsets: [102], since: 100, until: 102 }), { compared: 1, missing: 0, unheard: 1 });
  });
  claim('history from before the first join is not expected to be whole', () => {
    const found = joined(100);
    found.event(90);
    equal(found.compare({ offsets: [80, 90], since: 70, until: 100 }), { compared: 0, missing: 0, unheard: 0 });
  });
  claim('a long visit is compared as far back as it is remembered', () => {
    const found = joined(0);
    for (let offset = 1; offset <= 9000; offset++) found.event(offset);
    const offsets = Array.from({ length: 9000 }, (_, i) => i + 1);
    const { compared, missing, unheard } = found.compare({ offsets, since: 0, until: 9000 });
    equal([compared >= 2000, missing, unheard], [true, 0, 0]);
  });
}

function outgoing() {
  claim('a message goes out again as it was until it is acknowledged', () => {
    const queue = new Outgoing(5);
    queue.chat(77, 1000, 'hi');
    queue.chat(78, 2000, 'there');
    const first = queue.head;
    first.inFlight = true;
    queue.interrupted();
    equal([queue.head === first, first.inFlight, first.id, first.fields], [true, false, 77, ['~5 1 1000 hi']]);
    equal(queue.acknowledge(78), undefined);
    equal(queue.acknowledge(77).id, 77);
    equal(queue.head.fields, ['~5 2 2000 there']);
  });
  claim('what will never be sent leaves no hole in the numbers', () => {
    const queue = new Outgoing(5);
    queue.chat(1, 1, 'a');
    queue.acknowledge(1);
    queue.chat(2, 2, 'b');
    queue.gift(3, 'rose', 1);
    queue.chat(4, 3, 'c');
    queue.drop();
    queue.chat(5, 4, 'd');
    equal(queue.head.fields, ['~5 2 4 d']);
  });
  claim('what waits is bounded', () => {
    const queue = new Outgoing(1);
    let taken = 0;
    while (queue.chat(taken, 0, '') && taken < 1000) taken += 1;
    equal(taken, 100);
  });
}

function randomness() {
  const drawn = (...seeds) => {
    const random = new Random(...seeds);
    return Array.from({ length: 5 }, () => random.word());
  };
  claim('the same seed draws the same users', () => equal(drawn('1', 'regular', 3, 0), drawn('1', 'regular', 3, 0)));
  claim('another seed, user or visit draws others', () => {
    const draws = [['1', 'regular', 3, 0], ['2', 'regular', 3, 0], ['1', 'regular', 4, 0], ['1', 'regular', 3, 1]];
    equal(new Set(draws.map((seeds) => drawn(...seeds).join())).size, 4);
  });
  claim('the distributions are those that are stated', () => {
    const random = new Random('distributions');
    const sample = (draw) => Array.from({ length: 4000 }, draw).sort((a, b) => a - b);
    const near = (found, wanted, what) => {
      if (Math.abs(found / wanted - 1) > 0.08) throw new Error(`${what}: ${found} is not near ${wanted}`);
    };
    const gaps = sample(() => random.exponential(10));
    near(gaps.reduce((sum, gap) => sum + gap) / gaps.length, 10, 'mean of an exponential');
    const visits = sample(() => random.lognormal({ median: 60, sigma: 0.6, low: 1, high: 1e9 }));
    near(visits[2000], 60, 'median of a log-normal');
    near(visits[3364], 60 * Math.exp(0.6), 'its 84th percentile');
    near(sample(() => random.unit())[2000], 0.5, 'median of the unit interval');
  });
  claim('an id has at most 53 bits', () => {
    const random = new Random('ids');
    for (let i = 0; i < 1000; i++) equal(Number.isSafeInteger(random.id()), true);
  });
}

function load() {
  claim('a thousand users are 700, 200, 50, 30 and 20', () => {
    equal(apportion(1000), { regular: 700, premium: 200, streamer: 50, mobile: 30, anonymous: 20 });
  });
  claim('any number of users from five is divided without a rest, with each kind there', () => {
    for (let users = 5; users <= 1500; users++) {
      const counts = Object.values(apportion(users));
      equal([counts.reduce((sum, count) => sum + count), Math.min(...counts) >= 1], [users, true], users);
    }
  });
  claim('the shares add up to everybody', () => {
    const sum = Object.values(PROFILES).reduce((total, { share }) => total + share, 0);
    equal(Math.round(sum * 1000), 1000);
  });
  claim('nobody means to say more than the tier allows', () => {
    for (const { kind, chatMean, messagesPerSecond } of Object.values(PROFILES)) {
      equal(1 / chatMean < messagesPerSecond / 4, true, kind);
    }
  });
  claim('the five shapes scale in users and seconds, and end with nobody', () => {
    for (const name of NAMES.filter((shape) => shape !== 'smoke')) {
      const [full, tenth] = [stages(name, { scale: 1, pace: 1 }), stages(name, { scale: 0.1, pace: 0.5 })];
      equal(most(tenth), Math.round(most(full) / 10), name);
      equal(Math.abs(seconds(tenth) - seconds(full) / 2) <= full.length, true, name);
      equal(tenth[tenth.length - 1].users, 0, name);
    }
    equal(NAMES.slice(0, 5), ['progressive', 'sustained', 'spike', 'stress', 'recovery']);
    refuses(() => stages('flat', { scale: 1, pace: 1 }));
  });
  claim('the shapes are those that were promised', () => {
    const full = (name) => stages(name, { scale: 1, pace: 1 });
    equal([most(full('progressive')), most(full('sustained')), most(full('spike'))], [1000, 1000, 1500]);
    equal([full('sustained')[1], full('spike')[0]], [{ seconds: 1800, users: 1000 }, { seconds: 60, users: 1500 }]);
  });
  claim('more users than a room holds have more rooms', () => {
    equal([roomsFor('stress', 1000, 1), roomsFor('stress', 2500, 1), roomsFor('stress', 2500, 5)], [1, 2, 5]);
    equal(roomsFor('spike', 1500, 1), 1);
  });
  claim('each second is in one stage', () => {
    const plan = stages('spike', { scale: 1, pace: 1 });
    equal([0, 59.9, 60, 149, 150, 1e6].map((at) => stageAt(plan, at)), [0, 0, 1, 2, 3, 4]);
  });
  claim('the breaking point is where the first promise is broken, and a stage without deliveries keeps none', () => {
    const plan = [[10, 100], [10, 200], [10, 300], [10, 0]].map(([seconds, users]) => ({ seconds, users }));
    const good = { med: 5, 'p(95)': 20, 'p(99)': 40, count: 9 };
    const found = (latencies, errors = {}) => byStage(plan, (name) => {
      const [, number, what] = /stage_(\d+)_(\w+)/.exec(name);
      return (what === 'latency' ? latencies[number] : { rate: errors[number] || 0 }) || {};
    }, promised(THRESHOLDS));
    equal(breakingPoint(found([good, good, good])), null);
    equal(found([good, good, good]).map(({ kept }) => kept), [true, true, true, null]);
    equal(breakingPoint(found([good, { ...good, 'p(95)': 100 }, good])), 200);
    equal(breakingPoint(found([good, good, { ...good, 'p(99)': 250 }])), 300);
    equal(breakingPoint(found([good, good, good], { 1: 0.01 })), 200);
    equal(found([good])[0].from_s + found([good])[2].from_s, 20);
  });
  claim('a promise that thresholds.json does not make is missed, not kept', () => {
    refuses(() => promised({ ...THRESHOLDS, functional: { headrace_errors: ['count==0'] } }));
  });
  claim('the smoke size is the same at every scale, and short', () => {
    const smoke = stages('smoke', { scale: 0.01, pace: 9 });
    equal([most(smoke), seconds(smoke)], [25, 20]);
  });
  claim('no visit is cut off: all end before k6 would end them, and none begins while users are taken away', () => {
    for (const name of NAMES) {
      const plan = stages(name, { scale: 0.3, pace: 0.4 });
      for (let at = 0; at < seconds(plan); at += 0.5) {
        const { falling, first, last, end } = nextFall(plan, at);
        equal([first <= last, last <= end, last - first < GRACE_S], [true, true, true], `${name} at ${at}`);
        equal(falling, at >= first, `${name} at ${at}`);
      }
    }
  });
  claim('after a spike and after a recovery there is a stage in which all must be well again', () => {
    for (const name of ['spike', 'stress', 'recovery']) {
      const plan = stages(name, { scale: 1, pace: 1 });
      const at = afterwards(name, plan);
      equal([at > 0, at < seconds(plan) - 30], [true, true], name);
    }
    equal(afterwards('sustained', []), Infinity);
  });
}
