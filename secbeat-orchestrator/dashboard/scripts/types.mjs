// Writes src/api/schema.d.ts from the API's description: the copy that a test of the orchestrator compares with what it serves.
import { readFile, readdir, writeFile } from 'node:fs/promises';
import openapiTS, { astToString } from 'openapi-typescript';

const folder = new URL('../../src/api/snapshots/', import.meta.url);
const name = (await readdir(folder)).find((name) => name.includes('openapi') && name.endsWith('.snap'));
if (name === undefined) {
  throw new Error(`${folder.pathname}: no snapshot of the API's description`);
}
const snapshot = await readFile(new URL(name, folder), 'utf8');
// A snapshot begins with a head between two lines of dashes.
const document = JSON.parse(snapshot.slice(snapshot.indexOf('\n---\n') + 5));
const types = astToString(await openapiTS(document, { defaultNonNullable: false }));
await writeFile(new URL('../src/api/schema.d.ts', import.meta.url), types);
