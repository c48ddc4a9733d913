/** What happened in a day, a week, a month or a year: to read, to print, to keep. */
import { address, call } from '../api/client';
import type { NameCount, Report } from '../api/types';
import { bytes, count, duration, exact, percent } from '../lib/format';
import { useLoad } from '../lib/load';
import { useFilters } from '../lib/router';
import { Bar, Empty, Hostile, Panel, Shown, Stat, Target, Time } from '../ui/basic';
import { Chart } from '../ui/chart';
import { FilterBar, FilterSelect } from '../ui/filters';
import { Table, type Column } from '../ui/table';

const NO_FILTERS = { period: 'day' };
const PERIODS = [
  ['day', 'the last day'],
  ['week', 'the last week'],
  ['month', 'the last month'],
  ['year', 'the last year'],
] as const;

export function Reports() {
  const [{ period }, change] = useFilters(NO_FILTERS);
  const report = useLoad(period, (signal) => call('get', '/api/v1/reports', { query: { period }, signal }));
  const file = (format: string) => address('/api/v1/reports', {}, { period, format });
  return (
    <>
      <div className="page-head">
        <h1>Report</h1>
        {report.data !== undefined && (
          <span className="note">
            <Time at={report.data.from} /> to <Time at={report.data.until} />
          </span>
        )}
        <div className="actions">
          <button type="button" onClick={() => window.print()}>
            Print
          </button>
          <a className="button" href={file('csv')} download={`report-${period}.csv`}>
            CSV
          </a>
          <a className="button" href={file('json')} download={`report-${period}.json`}>
            JSON
          </a>
        </div>
      </div>
      <FilterBar onClear={undefined}>
        <FilterSelect label="Over" value={period} set={(period) => change({ period })} options={PERIODS} />
      </FilterBar>
      <Shown of={report}>{(told) => <Told report={told} />}</Shown>
    </>
  );
}

function Told({ report }: { report: Report }) {
  const step = report.step === 'day' ? 'day' : 'hour';
  const at = report.series.map((step) => Date.parse(step.at) / 1000);
  return (
    <>
      <dl className="stats">
        <Stat label="Bans by rules" value={exact(report.bans)} note={report.repeated > 0 ? `${exact(report.repeated)} by repeat offence` : undefined} />
        <Stat label="Bans by hand" value={exact(report.manual)} />
        <Stat label="Lifted" value={exact(report.lifted)} />
        <Stat
          label="Lifted share"
          value={report.lifted_share === undefined || report.lifted_share === null ? '–' : percent(report.lifted_share)}
          note="about as many hit the wrong ones"
        />
        <Stat label="Into the kernels" value={half(report.enforcement_p50_ms)} note={`95 %: ${half(report.enforcement_p95_ms)}`} />
        <Stat label="Packets spared" value={count(report.spared_packets)} note={bytes(report.spared_bytes)} />
      </dl>
      <Panel title="Bans" note={`by ${report.step}`} wide>
        <Chart
          label={`Bans by ${report.step}`}
          at={at}
          series={[
            { name: 'bans by rules', color: '--c1', values: report.series.map((step) => step.bans) },
            { name: 'lifted', color: '--c3', values: report.series.map((step) => step.lifted) },
          ]}
          bars
          step={step}
        />
      </Panel>
      <div className="grid two">
        <Panel title="Requests and errors" note={`${count(report.requests)} requests, ${count(report.errors)} errors`}>
          <Chart
            label={`Requests by ${report.step}`}
            at={at}
            series={[
              { name: 'requests', color: '--c1', values: report.series.map((step) => step.requests) },
              { name: 'errors', color: '--c2', values: report.series.map((step) => step.errors) },
            ]}
            step={step}
          />
        </Panel>
        <Panel title="Packets spared" note={`by ${report.step}`}>
          <Chart
            label={`Packets spared by ${report.step}`}
            at={at}
            series={[{ name: 'dropped packets', color: '--c4', values: report.series.map((step) => step.packets) }]}
            bars
            step={step}
          />
        </Panel>
        <Panel title="Rules">
          <Table caption="Rules" columns={ruleColumns} rows={report.rules} rowKey={(rule) => rule.rule} empty="No rule found anything." />
        </Panel>
        <Panel title="Repeat offenders" note="banned again, and how often">
          <Names names={report.offenders} isTarget empty="Nobody was banned twice." />
        </Panel>
        <Panel title="By hour of the day" note="bans by rules, UTC">
          <Hours hours={report.hours} />
        </Panel>
        <Panel title="From the decision into a kernel">
          <Enforcement report={report} />
        </Panel>
        <Panel title="By edge" note="that reported what led to bans">
          <Names names={report.edges} empty="No edge reported anything that led to a ban." />
        </Panel>
        <Panel title="Paths" note="of requests that led to bans">
          <Names names={report.paths} empty="None known." />
        </Panel>
        <Panel title="User agents" note="of requests that led to bans">
          <Names names={report.agents} empty="None known." />
        </Panel>
      </div>
    </>
  );
}

const half = (ms: number | null | undefined): string => (ms === undefined || ms === null ? '–' : `≤ ${duration(ms)}`);

const ruleColumns: Column<Report['rules'][number]>[] = [
  { name: 'Rule', cell: (rule) => rule.rule },
  { name: 'Bans', cell: (rule) => exact(rule.banned), right: true },
  { name: 'Would ban', cell: (rule) => exact(rule.observed), right: true, minor: true },
  { name: 'Suppressed', cell: (rule) => exact(rule.suppressed), right: true, minor: true },
  { name: 'Lifted', cell: (rule) => exact(rule.lifted), right: true },
  {
    name: 'Lifted share',
    cell: (rule) => (rule.lifted_share === undefined || rule.lifted_share === null ? '–' : percent(rule.lifted_share)),
    right: true,
  },
];

function Names({ names, empty, isTarget = false }: { names: readonly NameCount[]; empty: string; isTarget?: boolean }) {
  const most = names[0]?.count ?? 0;
  if (most === 0) {
    return <Empty>{empty}</Empty>;
  }
  return names
    .slice(0, 10)
    .map(({ name, count }) => (
      <Bar
        key={name}
        label={isTarget ? <Target target={name} /> : name === '' ? <span className="note">none</span> : <Hostile text={name} />}
        value={count}
        max={most}
        text={exact(count)}
      />
    ));
}

function Hours({ hours }: { hours: readonly number[] }) {
  const most = Math.max(0, ...hours);
  if (most === 0) {
    return <Empty>No rule has banned a client.</Empty>;
  }
  const banned = hours.flatMap((bans, hour) => (bans > 0 ? [`${String(hour).padStart(2, '0')}:00 ${exact(bans)}`] : []));
  return (
    <>
      <ol className="hours" aria-label="Bans by hour of the day, UTC">
        {hours.map((bans, hour) => (
          <li key={hour} title={`${hour}:00 UTC: ${exact(bans)}`}>
            <span className="column" style={{ height: `${(bans / most) * 100}%` }} />
            <span className="unseen">
              {hour}:00: {exact(bans)}
            </span>
            {hour % 6 === 0 && <span aria-hidden="true">{String(hour).padStart(2, '0')}</span>}
          </li>
        ))}
      </ol>
      <p className="on-paper" aria-hidden="true">
        {banned.join(', ')}
      </p>
    </>
  );
}

function Enforcement({ report }: { report: Report }) {
  const most = Math.max(0, ...report.enforcement.map((bar) => bar.count));
  if (most === 0) {
    return <Empty>No edge acknowledged a ban.</Empty>;
  }
  const bars = report.enforcement.filter((bar) => bar.count > 0);
  return bars.map((bar) => {
    const name = bar.up_to_ms === undefined || bar.up_to_ms === null ? 'longer' : `≤ ${duration(bar.up_to_ms)}`;
    return <Bar key={name} label={name} value={bar.count} max={most} text={exact(bar.count)} />;
  });
}
