// Claims about a module of k6/, tried inside k6 itself: `claim(name, body)` counts as a check that fails when the body
// throws. The script's summary is one JSON line: {claim: [passes, fails]}.

import { check } from 'k6';

export const options = { vus: 1, iterations: 1, thresholds: { checks: ['rate==1'] } };

export function claim(name, body) {
  let problem = null;
  try {
    body();
  } catch (error) {
    problem = error;
    console.error(`${name}: ${error}`);
  }
  check(problem, { [name]: (found) => found === null });
}

export function equal(found, wanted, what = '') {
  const [left, right] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (left !== right) throw new Error(`${what} expected ${right}, found ${left}`);
}

export function refuses(body, what = '') {
  try {
    body();
  } catch (_) {
    return;
  }
  throw new Error(`${what} was not refused`);
}

export function handleSummary(data) {
  const claims = Object.fromEntries(data.root_group.checks.map(({ name, passes, fails }) => [name, [passes, fails]]));
  return { stdout: `${JSON.stringify(claims)}\n` };
}
