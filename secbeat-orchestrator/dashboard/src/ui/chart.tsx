/** Charts over time, each with its table behind. */
import { useEffect, useRef, useState } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { clock, count, date, day, hour, time, utc } from '../lib/format';
import { useShownTheme } from '../lib/theme';

export interface Series {
  name: string;
  /** The custom property with its colour. */
  color: '--c1' | '--c2' | '--c3' | '--c4';
  values: readonly (number | null)[];
}

interface Props {
  /** What is shown, for screen readers and as the table's caption. */
  label: string;
  /** Seconds since the Unix epoch, rising. */
  at: readonly number[];
  series: readonly Series[];
  /** Pixels. */
  height?: number;
  /** Bars for numbers of a time, lines for rates. */
  bars?: boolean;
  /** What a point stands for; times are named accordingly. */
  step?: 'second' | 'hour' | 'day';
}

export function Chart({ label, at, series, height = 160, bars = false, step = 'second' }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const theme = useShownTheme();
  const [asTable, setAsTable] = useState(false);
  const data = useRef<uPlot.AlignedData>([[]]);
  data.current = [at as number[], ...series.map((line) => line.values as (number | null)[])];
  const names = series.map((line) => `${line.name} ${line.color}`).join();

  useEffect(() => {
    const element = place.current;
    if (element === null || asTable) {
      return undefined;
    }
    const styles = getComputedStyle(document.documentElement);
    const color = (name: string) => styles.getPropertyValue(name).trim();
    const drawn = new uPlot(options(element.clientWidth, height, series, color, bars, step), data.current, element);
    plot.current = drawn;
    const watch = new ResizeObserver(() => drawn.setSize({ width: element.clientWidth, height }));
    watch.observe(element);
    return () => {
      watch.disconnect();
      drawn.destroy();
      plot.current = null;
    };
    // The lines are drawn anew when their names change; their values come by `setData`.
  }, [asTable, theme, names, height, bars, step]);
  useEffect(() => {
    plot.current?.setData(data.current);
  }, [at, series]);

  return (
    <figure className="chart">
      <figcaption className="legend">
        {series.map((line) => (
          <span key={line.name} className="legend-item">
            <span className={`dot ${line.color.slice(2)}`} aria-hidden="true" /> {line.name}
          </span>
        ))}
        <button type="button" className="quiet" aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
          Table<span className="unseen"> of {label}</span>
        </button>
      </figcaption>
      {asTable ? (
        <Numbers label={label} at={at} series={series} step={step} />
      ) : (
        <div ref={place} className="plot" role="img" aria-label={`${label}: ${summary(series)}`} />
      )}
    </figure>
  );
}

function Numbers({ label, at, series, step }: Required<Pick<Props, 'label' | 'at' | 'series' | 'step'>>) {
  const rows = at.map((second, index) => ({ second, index })).reverse();
  return (
    <div className="scroll numbers" role="group" aria-label={label} tabIndex={0}>
      <table>
        <caption className="unseen">{label}</caption>
        <thead>
          <tr>
            <th scope="col">{step === 'day' ? 'Day (UTC)' : 'Time'}</th>
            {series.map((line) => (
              <th scope="col" className="right" key={line.name}>
                {line.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ second, index }) => (
            <tr key={second}>
              <td>
                <time dateTime={new Date(second * 1000).toISOString()} title={utc(second * 1000)}>
                  {step === 'day' ? date(second * 1000) : time(second * 1000)}
                </time>
              </td>
              {series.map((line) => (
                <td className="right" key={line.name}>
                  {count(line.values[index] ?? 0)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function summary(series: readonly Series[]): string {
  return series
    .map((line) => {
      const known = line.values.filter((value) => value !== null);
      const last = known[known.length - 1] ?? 0;
      return `${line.name} ${count(last)} now, at most ${count(Math.max(0, ...known))}`;
    })
    .join('; ');
}

/** Seconds. */
const STEPS = { second: 1, hour: 3600, day: 86_400 };
// Days are those of UTC, as the daemon counts them.
const NAMES = { second: clock, hour, day: (ms: number) => day(ms, 'UTC') };

/** Room for the halves of the first and the last bar. */
function widened(min: number, max: number, step: number): [number, number] {
  return [min - step / 2, max + Math.max(step / 2, max === min ? 1 : 0)];
}

function options(
  width: number,
  height: number,
  series: readonly Series[],
  color: (name: string) => string,
  bars: boolean,
  step: NonNullable<Props['step']>,
): uPlot.Options {
  const axis = {
    stroke: color('--muted'),
    grid: { stroke: color('--line'), width: 1 },
    ticks: { show: false },
    font: '11px system-ui, sans-serif',
  };
  const { bars: drawBars } = uPlot.paths;
  return {
    width,
    height,
    ...(step === 'day' ? { tzDate: (second: number) => uPlot.tzDate(new Date(second * 1000), 'UTC') } : {}),
    legend: { show: false },
    cursor: { y: false, points: { size: 6 } },
    padding: [8, 24, 0, 0],
    scales: { x: { time: true, range: (_, min, max) => widened(min, max, bars ? STEPS[step] : 0) }, y: { range: (_, __, max) => [0, Math.max(max * 1.1, 1)] } },
    axes: [
      { ...axis, size: 24, space: 70, values: (_, splits) => splits.map((second) => NAMES[step](second * 1000)) },
      { ...axis, size: 44, values: (_, splits) => splits.map(count) },
    ],
    series: [
      {},
      ...series.map((line) => ({
        label: line.name,
        stroke: color(line.color),
        fill: `${color(line.color)}${bars ? 'cc' : '22'}`,
        width: 1.5,
        points: { show: false },
        ...(bars && drawBars !== undefined ? { paths: drawBars({ size: [0.7, 40] }) } : {}),
      })),
    ],
  };
}
