// The load shapes: how many users are there at which time. Written for 1,000 users; scale and pace make them smaller and
// shorter. Each stage is [seconds, users at its end].

const FULL = {
  // Step by step, each held long enough to see it settle.
  progressive: [
    [20, 100], [40, 100], [20, 250], [40, 250], [20, 500], [40, 500], [20, 750], [40, 750], [20, 1000], [60, 1000], [20, 0],
  ],
  // A whole evening's worth of growing.
  sustained: [[60, 1000], [1800, 1000], [30, 0]],
  // A raid: a full room within a minute, and away again.
  spike: [[60, 1500], [60, 1500], [30, 100], [60, 100], [10, 0]],
  // Beyond what is planned for, until it breaks; then what was well at first must be well again.
  stress: [
    [30, 500], [60, 500], [30, 1000], [60, 1000], [30, 1500], [60, 1500], [30, 2000], [60, 2000], [30, 2500], [60, 2500],
    [30, 500], [60, 500], [30, 0],
  ],
  // Full load, in the middle of which the runner kills a function process, hardly any, full load again.
  recovery: [[30, 800], [60, 800], [10, 100], [40, 100], [20, 800], [60, 800], [20, 0]],
  // For CI: proves that the tests work, not how fast anything is.
  smoke: [[4, 25], [14, 25], [2, 0]],
};

// The stage, counted from 0, in which all must be as good again as it was before the worst was over.
const AFTERWARDS = { spike: 3, stress: 11, recovery: 5 };

// People who fit into a room and still leave some of its 1,500 places, since users choose their room by lot.
const PER_ROOM = 1300;

// The smoke size is the same everywhere, or it would prove something else each time.
const FIXED = new Set(['smoke']);

export const GRACE_S = 30;
// What a user still does after the end of a visit: wait for acknowledgements, compare with the log.
const AFTERWARDS_S = 12;

export const NAMES = Object.keys(FULL);

// The stages of a shape as [{seconds, users}].
export function stages(name, { scale, pace }) {
  if (!FULL[name]) throw new Error(`no such shape: ${name}; there are ${NAMES.join(', ')}`);
  const fixed = FIXED.has(name);
  return FULL[name].map(([seconds, users]) => ({
    seconds: fixed ? seconds : Math.max(1, Math.round(seconds * pace)),
    users: users === 0 ? 0 : fixed ? users : Math.max(SMALLEST, Math.round(users * scale)),
  }));
}

// Fewer could not be of five kinds.
const SMALLEST = 5;

export function seconds(list) {
  return list.reduce((sum, stage) => sum + stage.seconds, 0);
}

// When the stage begins that shows whether all is well again, in seconds; Infinity for a shape without one.
export function afterwards(name, list) {
  return name in AFTERWARDS ? seconds(list.slice(0, AFTERWARDS[name])) : Infinity;
}

export function most(list) {
  return Math.max(...list.map((stage) => stage.users));
}

// How many rooms it takes: one for all users if it holds them, which is the hardest case.
export function roomsFor(name, users, wanted) {
  return name === 'stress' ? Math.max(wanted, Math.ceil(users / PER_ROOM)) : wanted;
}

// The number, from 0, of the stage that is on `at` seconds after the start.
export function stageAt(list, at) {
  let end = 0;
  for (let number = 0; number < list.length; number++) {
    end += list[number].seconds;
    if (at < end) return number;
  }
  return list.length - 1;
}

// When a visit must end that is going on or begins at `at` (seconds since the start): {falling, first, last}. k6 takes
// users away while their number falls, and cuts off whoever is still there GRACE_S later. Who is cut off can check
// nothing, so a visit ends at some time between `first` and `last`, and none begins while the number is `falling`.
export function nextFall(list, at) {
  let begin = 0;
  let users = 0;
  for (const stage of list) {
    const end = begin + stage.seconds;
    if (stage.users < users && end > at) {
      return { falling: begin <= at, first: begin, last: begin + Math.min(stage.seconds, GRACE_S - AFTERWARDS_S), end };
    }
    users = stage.users;
    begin = end;
  }
  return { falling: true, first: begin, last: begin, end: begin };
}
