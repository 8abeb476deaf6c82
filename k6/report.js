// The end of a run: summary.json for programs, report.html for people, a table for the terminal.

const LATENCIES = [
  ['headrace_message_latency', 'message, intended to delivered'],
  ['headrace_message_latency_afterwards', 'the same, after the worst'],
  ['headrace_message_latency_slow', 'the same, over a slow network'],
  ['headrace_delivery_latency', 'delivery, appended to delivered'],
  ['headrace_acknowledge_latency', 'acknowledgement'],
  ['headrace_join_latency', 'join'],
  ['headrace_quality_latency', 'quality, asked for to granted'],
  ['headrace_ping_latency', 'ping'],
  ['headrace_generator_lateness', 'how late k6 itself was to send'],
];
const COUNTS = [
  'visits', 'visits_cut_off', 'reconnects', 'sent', 'gifts', 'qualities', 'reacted', 'typed', 'delivered', 'caught_up',
  'ephemeral_frames', 'gaps', 'audited_events', 'lost', 'duplicated', 'misordered',
];
const STAGES = ['', 'users at most', 'from s', 'for s', 'deliveries', 'P50 ms', 'P95 ms', 'P99 ms', 'errors'];
const STATS = { p50: 'med', p90: 'p(90)', p95: 'p(95)', p99: 'p(99)', p999: 'p(99.9)', max: 'max', count: 'count' };

export function render(config, data, thresholds) {
  const summary = summarize(config, data, promised(thresholds));
  return {
    [`${config.results}/summary.json`]: `${JSON.stringify(summary, null, 1)}\n`,
    [`${config.results}/report.html`]: page(summary),
    stdout: `${lines(summary).join('\n')}\n`,
  };
}

// What thresholds.json promises of latency (ms) and errors, for the question at how many users it is no longer kept.
export function promised({ timing, functional }) {
  const bound = (expressions, what) => {
    const found = expressions.find((expression) => expression.startsWith(`${what}<`));
    if (!found) throw new Error(`nothing is promised of ${what}`);
    return Number(found.slice(what.length + 1));
  };
  const latency = timing.headrace_message_latency;
  return {
    p95: bound(latency, 'p(95)'), p99: bound(latency, 'p(99)'), errors: bound(functional.headrace_errors, 'rate'),
  };
}

// Each stage with what was sent and asked in it; `kept` is null where nothing was.
export function byStage(plan, values, bounds) {
  let from = 0;
  let before = 0;
  return plan.map(({ seconds, users }, number) => {
    const { med, 'p(95)': p95, 'p(99)': p99, count = 0 } = values(`headrace_stage_${number}_latency`);
    const { rate: errors = 0 } = values(`headrace_stage_${number}_errors`);
    const begin = from;
    from += seconds;
    // At most: what breaks while users leave breaks under those who are still there.
    const most = Math.max(before, users);
    before = users;
    const kept = p95 < bounds.p95 && p99 < bounds.p99 && errors < bounds.errors;
    const latency = count ? { p50_ms: round(med), p95_ms: round(p95), p99_ms: round(p99) } : {};
    return { from_s: begin, seconds, users: most, deliveries: count, ...latency, error_rate: errors, kept: count ? kept : null };
  });
}

// The users of the first stage in which it was not kept; null if it always was.
export function breakingPoint(stages) {
  const broken = stages.find(({ kept }) => kept === false);
  return broken ? broken.users : null;
}

export function summarize(config, data, bounds) {
  const values = (name) => (data.metrics[name] ? data.metrics[name].values : {});
  const latency = {};
  for (const [name] of LATENCIES) {
    const found = values(name).count ? values(name) : { count: 0 };
    latency[`${shortened(name)}_ms`] = Object.fromEntries(Object.entries(STATS).map(([key, stat]) => [key, round(found[stat])]));
  }
  const judged = [];
  for (const [metric, { thresholds }] of Object.entries(data.metrics)) {
    for (const [expression, { ok }] of Object.entries(thresholds || {})) judged.push({ metric, expression, ok });
  }
  const stages = byStage(config.plan, values, bounds);
  return {
    shape: config.shape,
    scale: config.scale,
    pace: config.pace,
    activity: config.activity,
    seed: config.seed,
    users: config.users,
    rooms: config.rooms,
    seconds: round(data.state.testRunDurationMs / 1000),
    machine: config.machine,
    supports: data.setup_data ? data.setup_data.supports : null,
    counts: Object.fromEntries(COUNTS.map((name) => [name, values(`headrace_${name}`).count || 0])),
    error_rate: values('headrace_errors').rate || 0,
    operations: (values('headrace_errors').passes || 0) + (values('headrace_errors').fails || 0),
    checks: checks(data.root_group),
    latency,
    stages,
    breaking_point_users: breakingPoint(stages),
    thresholds: judged,
    passed: judged.every(({ ok }) => ok),
  };
}

function shortened(name) {
  return name.replace(/^headrace_|_latency/g, '');
}

function checks(group) {
  const found = group.checks.map(({ name, passes, fails }) => ({ name, passes, fails }));
  return group.groups.reduce((all, inner) => all.concat(checks(inner)), found);
}

function round(number) {
  return number === undefined ? null : Math.round(number * 10) / 10;
}

function lines(summary) {
  const pad = (text, width) => String(text === null ? '–' : text).padStart(width);
  const rows = LATENCIES.map(([name, title]) => {
    const stats = summary.latency[`${shortened(name)}_ms`];
    return `  ${title.padEnd(34)}${Object.keys(STATS).map((key) => pad(stats[key], 9)).join('')}`;
  });
  return [
    `${summary.shape}, ${summary.users} users, ${summary.seconds} s, seed ${summary.seed}`,
    `  ${'ms'.padEnd(34)}${Object.keys(STATS).map((key) => pad(key, 9)).join('')}`,
    ...rows,
    `  ${Object.entries(summary.counts).map(([name, count]) => `${name} ${count}`).join(', ')}`,
    `  breaks at ${summary.breaking_point_users === null ? 'no' : summary.breaking_point_users} users of these stages`,
    `  errors ${(100 * summary.error_rate).toFixed(3)} % of ${summary.operations} operations`,
    ...summary.thresholds.map(({ metric, expression, ok }) => `  ${ok ? '✓' : '✗'} ${metric} ${expression}`),
  ];
}

function page(summary) {
  const cell = (value) => `<td>${escaped(value === null ? '–' : value)}</td>`;
  const table = (heads, rows) =>
    `<table><tr>${heads.map((head) => `<th>${escaped(head)}</th>`).join('')}</tr>${rows.join('')}</table>`;
  const latencies = LATENCIES.map(([name, title]) => {
    const stats = summary.latency[`${shortened(name)}_ms`];
    return `<tr>${cell(title)}${Object.keys(STATS).map((key) => cell(stats[key])).join('')}</tr>`;
  });
  const judged = summary.thresholds.map(
    ({ metric, expression, ok }) =>
      `<tr class="${ok ? 'ok' : 'no'}">${cell(ok ? 'kept' : 'broken')}${cell(metric)}${cell(expression)}</tr>`,
  );
  const counts = Object.entries(summary.counts).map(([name, count]) => `<tr>${cell(name)}${cell(count)}</tr>`);
  const checked = summary.checks.map(({ name, passes, fails }) => `<tr>${cell(name)}${cell(passes)}${cell(fails)}</tr>`);
  const staged = summary.stages.map((stage) => {
    const percent = stage.deliveries ? `${(100 * stage.error_rate).toFixed(2)} %` : null;
    const { from_s, seconds, users, deliveries, p50_ms = null, p95_ms = null, p99_ms = null, kept } = stage;
    const cells = [users, from_s, seconds, deliveries, p50_ms, p95_ms, p99_ms, percent].map(cell).join('');
    return `<tr class="${kept === false ? 'no' : 'ok'}">${cell(kept === null ? null : kept ? 'kept' : 'broken')}${cells}</tr>`;
  });
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Load test: ${escaped(summary.shape)}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 0.5rem 0 1.5rem; }
th, td { text-align: left; padding: 0.2rem 0.9rem 0.2rem 0; border-bottom: 1px solid #ccc; }
.ok td:first-child { color: #176b2c; } .no td:first-child { color: #b00020; font-weight: bold; }
</style>
<h1>${summary.passed ? 'Passed' : 'Not passed'}: ${escaped(summary.shape)}, ${summary.users} users</h1>
<p>${escaped(summary.machine)}</p>
<p>${summary.seconds} s, scale ${summary.scale}, pace ${summary.pace}, activity ${summary.activity}, rooms ${summary.rooms},
seed ${escaped(summary.seed)}; optional kinds: ${escaped(JSON.stringify(summary.supports))};
errors ${(100 * summary.error_rate).toFixed(3)} % of ${summary.operations} operations.
<a href="dashboard.html">Over time</a></p>
<h2>Thresholds</h2>${table(['', 'metric', 'threshold'], judged)}
<h2>Latency, ms</h2>${table(['', ...Object.keys(STATS)], latencies)}
<h2>Stages</h2>${table(STAGES, staged)}
<h2>Checks</h2>${table(['check', 'passes', 'fails'], checked)}
<h2>Counts</h2>${table(['what', 'count'], counts)}
</html>
`;
}

function escaped(value) {
  return String(value).replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
}
