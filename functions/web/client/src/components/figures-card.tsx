import { useEffect, useState, type ReactNode } from "react";

import { SPANS, type Analytics, type Figures, type Span, type Statistics } from "../api/figures.ts";
import { describeError } from "../api/problem.ts";
import { spanText, whenText } from "./when.ts";

const AGAIN_MS = 15_000;
const WIDTH = 600;
const HEIGHT = 150;

/** How the room does: its figures, the audience over time, and in which quality people watch. */
export function FiguresCard({ figures }: { readonly figures: Figures }): ReactNode {
  const [span, setSpan] = useState<Span>("hour");
  const [known, setKnown] = useState<{ span: Span; statistics: Statistics; analytics: Analytics } | null>(null);
  const [problem, setProblem] = useState<string | null>(null);

  useEffect(() => {
    let over = false;
    const look = async (): Promise<void> => {
      try {
        const [statistics, analytics] = await Promise.all([figures.statistics(), figures.analytics(span)]);
        if (over) return;
        setKnown({ span, statistics, analytics });
        setProblem(null);
      } catch (error) {
        if (!over) setProblem(describeError(error));
      }
    };
    void look();
    const again = setInterval(() => {
      if (document.visibilityState === "visible") void look();
    }, AGAIN_MS);
    return () => {
      over = true;
      clearInterval(again);
    };
  }, [figures, span]);

  return (
    <section className="card figures" aria-labelledby="figures-title" data-testid="figures">
      <div className="figures-head">
        <h2 id="figures-title">Audience</h2>
        <div className="chips" role="group" aria-label="Time">
          {(Object.keys(SPANS) as Span[]).map((name) => (
            <button
              key={name}
              type="button"
              className="chip"
              aria-pressed={span === name}
              onClick={() => {
                setSpan(name);
              }}
            >
              {SPANS[name].label}
            </button>
          ))}
        </div>
      </div>
      {problem !== null && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
      {known !== null && (
        <>
          <Tiles statistics={known.statistics} />
          <Chart analytics={known.analytics} />
          <Qualities qualities={known.analytics.qualities} />
        </>
      )}
    </section>
  );
}

function Tiles({ statistics }: { readonly statistics: Statistics }): ReactNode {
  const tiles = [
    ["Watching", statistics.viewers.toLocaleString("en")],
    ["Peak", statistics.peak.toLocaleString("en")],
    ["Visitors", statistics.visitors.toLocaleString("en")],
    ["Messages", statistics.messages.toLocaleString("en")],
    ["Watch time", spanText(statistics.watch_s)],
    ["Gifts", statistics.gifts.toLocaleString("en")],
  ] as const;
  return (
    <dl className="tiles">
      {tiles.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Chart({ analytics }: { readonly analytics: Analytics }): ReactNode {
  const { points, peak, start, end, step_s: step } = analytics;
  if (points.length === 0) return <p>Nobody was here in this time. The curve appears with the first viewers.</p>;
  const first = Date.parse(start);
  const whole = Date.parse(end) - first;
  const top = Math.max(peak, 1);
  const x = (at: number): number => ((at - first) / whole) * WIDTH;
  const y = (viewers: number): number => HEIGHT - (viewers / top) * (HEIGHT - 10);
  // A step without a point is one in which nobody was there.
  const corners: string[] = [];
  let before = -Infinity;
  for (const point of points) {
    const at = Date.parse(point.at);
    if (at - before > step * 1_000) {
      if (before !== -Infinity) corners.push(`${x(before + step * 1_000)},${HEIGHT}`);
      corners.push(`${x(at)},${HEIGHT}`);
    }
    corners.push(`${x(at)},${y(point.viewers)}`, `${x(at + step * 1_000)},${y(point.viewers)}`);
    before = at;
  }
  corners.push(`${x(before + step * 1_000)},${HEIGHT}`);
  return (
    <figure className="chart">
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Viewers over time, at most ${peak}`}
        data-testid="audience-chart"
      >
        <polygon points={corners.join(" ")} />
      </svg>
      <figcaption>
        <span>{whenText(start)}</span>
        <span>at most {peak.toLocaleString("en")}</span>
        <span>now</span>
      </figcaption>
    </figure>
  );
}

function Qualities({ qualities }: { readonly qualities: Analytics["qualities"] }): ReactNode {
  const known = Object.entries(qualities).sort(([a], [b]) => Number(b) - Number(a));
  const all = known.reduce((sum, [, viewers]) => sum + viewers, 0);
  if (all === 0) return null;
  return (
    <div className="qualities">
      <h3>Picture that viewers get</h3>
      <ul>
        {known.map(([height, viewers]) => {
          const share = Math.round((viewers / all) * 100);
          return (
            <li key={height}>
              <span>{height === "0" ? "No video" : `${height}p`}</span>
              <span className="quality-bar" aria-hidden="true">
                <span style={{ width: `${share}%` }} />
              </span>
              <span>{share} %</span>
            </li>
          );
        })}
      </ul>
    </div>
  );
}
