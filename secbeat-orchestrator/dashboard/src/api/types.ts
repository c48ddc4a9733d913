/** Names for what the API's description calls by its own. */
import type { Schemas } from './client';
import type { paths } from './schema';

export type Ban = Schemas['BanView'];
export type BanPage = Schemas['BanPage'];
export type BanEntry = Schemas['BanEntry'];
export type Imported = Schemas['Imported'];
export type Source = Schemas['SourceView'];
export type PastBan = Schemas['PastBan'];
export type SeenEvent = Schemas['SeenEvent'];
export type Window = Schemas['WindowCount'];
export type Edge = Schemas['FleetEdge'];
export type Rule = Schemas['RuleView'];
export type Stats = Schemas['ApiStats'];
export type Finding = Schemas['FindingView'];
export type Propagation = Schemas['PropagationView'];
export type Audited = Schemas['AuditView'];
export type Signature = Schemas['Signature'];
export type Session = Schemas['Session'];
export type Overview = Schemas['Overview'];
export type Alarm = Schemas['Alert'];
export type LatestBan = Schemas['LatestBan'];
export type Near = Schemas['NearSource'];
export type BanQuery = NonNullable<paths['/api/v1/bans']['get']['parameters']['query']>;
export type Change = Schemas['Happened'];
export type AlarmChange = Schemas['AlarmChange'];
export type Report = Schemas['Report'];
export type NameCount = Schemas['NameCount'];
