/** What each rule finds, and how often people said that it was wrong. */
import { call } from '../api/client';
import type { Finding, Report, Rule, Signature, Stats } from '../api/types';
import { count, duration, exact, percent, plural, visible } from '../lib/format';
import { useLoad } from '../lib/load';
import { useFilters } from '../lib/router';
import { useMay } from '../lib/session';
import { useLive } from '../live/connect';
import { Ago, Badge, Empty, Hostile, Panel, Shown, Target, type Tone } from '../ui/basic';
import { Chart, type Series } from '../ui/chart';
import { FilterBar, FilterSelect } from '../ui/filters';
import { Nearest } from '../ui/nearest';
import { Table, type Column } from '../ui/table';
import { TryChange } from './rules-try';

const NO_FILTERS = { rule: '' };

export function Rules() {
  const mayTry = useMay('operate');
  const { version } = useLive();
  const [filters, change] = useFilters(NO_FILTERS);
  const rules = useLoad('rules', (signal) => call('get', '/api/v1/rules', { signal }), { version, everyMs: 10_000 });
  const stats = useLoad('stats', (signal) => call('get', '/api/v1/stats', { signal }), { version, everyMs: 10_000 });
  const findings = useLoad(
    filters.rule,
    (signal) => call('get', '/api/v1/findings', { query: { ...(filters.rule === '' ? {} : { rule: filters.rule }), limit: 1000 }, signal }),
    { version },
  );
  const report = useLoad('report', (signal) => call('get', '/api/v1/reports', { query: { period: 'week' }, signal }), { everyMs: 60_000 });
  const signatures = useLoad('signatures', (signal) => call('get', '/api/v1/signatures', { signal }), { version });
  return (
    <>
      <h1>Rules</h1>
      <Panel title="Rules in force" note="counts since the orchestrator's start; lifted bans of the last week" wide>
        <Shown of={rules}>
          {(all) => (
            <Table
              caption="Rules in force"
              columns={ruleColumns(stats.data, report.data)}
              rows={all}
              rowKey={(rule) => rule.name}
              empty="No rule is in force: no client is banned automatically. Enable one in the config."
            />
          )}
        </Shown>
      </Panel>
      <FilterBar onClear={filters.rule === '' ? undefined : () => change(NO_FILTERS)}>
        <FilterSelect
          label="Rule"
          value={filters.rule}
          set={(rule) => change({ rule })}
          options={[['', 'all rules'], ...(rules.data ?? []).map((rule) => [rule.name, rule.name] as const)]}
        />
      </FilterBar>
      <div className="grid two">
        <Panel title="Findings over time" note="the last week">
          <Shown of={report}>{(told) => <OverTime report={told} rule={filters.rule} />}</Shown>
        </Panel>
        <Panel title="Near misses" note="clients nearest to a threshold now">
          <Near rule={filters.rule} />
        </Panel>
      </div>
      <Panel title="Findings" note="the latest" wide>
        <Shown of={findings}>
          {(found) => (
            <Table
              caption="The latest findings"
              columns={findingColumns}
              rows={found.slice(0, 50)}
              rowKey={(finding, index) => `${finding.at_ms} ${finding.source} ${finding.rule} ${index}`}
              empty="No rule has found anything. If attacks are under way, look at the edges' logs: Fleet, telemetry."
            />
          )}
        </Shown>
      </Panel>
      {mayTry && rules.data !== undefined && <TryChange rules={rules.data} />}
      <Panel title="Signatures" note="that were hit, or whose bans were lifted" wide>
        <Shown of={signatures}>
          {(all) => (
            <Table
              caption="Signatures"
              columns={signatureColumns}
              rows={hit(all)}
              rowKey={(signature) => signature.id}
              empty={`None of ${plural(all.length, 'signature')} has been hit.`}
            />
          )}
        </Shown>
      </Panel>
    </>
  );
}

function ruleColumns(stats: Stats | undefined, report: Report | undefined): Column<Rule>[] {
  const lifted = (rule: Rule) => report?.rules.find((told) => told.rule === rule.name)?.lifted_share;
  const of = (rule: Rule) => stats?.rules?.[rule.name];
  const number = (value: number | undefined) => (value === undefined ? '–' : count(value));
  return [
    { name: 'Rule', cell: (rule) => <strong>{rule.name}</strong> },
    { name: 'Threshold', cell: (rule) => `${exact(rule.threshold)} ${rule.counts} in ${rule.window}` },
    { name: 'First ban', cell: (rule) => rule.ban, minor: true },
    {
      name: 'What follows',
      cell: (rule) => <Badge tone={rule.action === 'ban' ? 'bad' : 'info'}>{rule.action === 'ban' ? 'ban' : 'dry run'}</Badge>,
    },
    { name: 'Bans', cell: (rule) => number(of(rule)?.banned), right: true },
    { name: 'Would ban', cell: (rule) => number(of(rule)?.observed), right: true, minor: true },
    { name: 'Banned already', cell: (rule) => number(of(rule)?.already_banned), right: true, minor: true },
    { name: 'Suppressed', cell: (rule) => number(of(rule)?.suppressed), right: true, minor: true },
    { name: 'Lifted share', cell: (rule) => percent(lifted(rule) ?? NaN), right: true },
  ];
}

const OUTCOMES: Record<Finding['outcome'], { tone: Tone; name: string }> = {
  banned: { tone: 'bad', name: 'banned' },
  'already-banned': { tone: 'plain', name: 'banned already' },
  observed: { tone: 'info', name: 'dry run' },
  suppressed: { tone: 'warn', name: 'suppressed' },
};

const findingColumns: Column<Finding>[] = [
  { name: 'Found', cell: (finding) => <Ago at={finding.at_ms} /> },
  { name: 'Client', cell: (finding) => <Target target={finding.source} /> },
  { name: 'Rule', cell: (finding) => finding.rule },
  { name: 'Events', cell: (finding) => `${exact(finding.count)} in ${duration(finding.window_ms)}`, minor: true },
  { name: 'Times', cell: (finding) => exact(finding.times), right: true, minor: true },
  {
    name: 'What followed',
    cell: (finding) => (
      <>
        <Badge tone={OUTCOMES[finding.outcome].tone}>{OUTCOMES[finding.outcome].name}</Badge>{' '}
        {finding.outcome === 'suppressed' && <Hostile text={finding.why} />}
      </>
    ),
  },
];

const COLORS = ['--c1', '--c2', '--c3', '--c4'] as const;

/** The findings of the rules with the most of them, hour by hour. */
function OverTime({ report, rule }: { report: Report; rule: string }) {
  const sum = (values: readonly number[]) => values.reduce((all, value) => all + value, 0);
  const found = report.rules
    .filter((told) => sum(told.findings) > 0 && (rule === '' || told.rule === rule))
    .sort((a, b) => sum(b.findings) - sum(a.findings));
  const at = report.series.map((step) => Date.parse(step.at) / 1000);
  const series = found.slice(0, COLORS.length).map((told, index): Series => ({
    name: told.rule,
    color: COLORS[index] ?? '--c1',
    values: told.findings,
  }));
  if (series.length === 0) {
    return <Empty>Nothing was found within the last week.</Empty>;
  }
  const others = found.length - series.length;
  return (
    <>
      <Chart label="Findings per hour" at={at} series={series} step="hour" height={150} />
      {others > 0 && <p className="note">These have the most. Choose one of {plural(others, 'other rule')} with findings above.</p>}
    </>
  );
}

function Near({ rule }: { rule: string }) {
  const { overview } = useLive();
  const near = (overview?.nearest ?? []).filter((client) => rule === '' || client.rule === rule);
  return <Nearest nearest={near} />;
}

/** Those with something to say, the most hits first. */
function hit(signatures: readonly Signature[]): Signature[] {
  return signatures.filter((signature) => signature.hits + signature.bans + signature.lifted > 0).sort((a, b) => b.hits - a.hits);
}

const signatureColumns: Column<Signature>[] = [
  { name: 'Signature', cell: (signature) => visible(signature.id) },
  { name: 'What', cell: (signature) => <Hostile text={signature.title} />, minor: true },
  { name: 'Severity', cell: (signature) => signature.severity ?? '' },
  { name: 'Hits', cell: (signature) => exact(signature.hits), right: true },
  { name: 'Bans', cell: (signature) => exact(signature.bans), right: true },
  { name: 'Lifted', cell: (signature) => exact(signature.lifted), right: true },
  { name: 'Lifted share', cell: (signature) => (signature.bans > 0 ? percent(signature.lifted / signature.bans) : '–'), right: true },
];
