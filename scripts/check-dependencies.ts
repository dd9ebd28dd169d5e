/**
 * Checks what the repository depends on: known vulnerabilities (where the registry can be asked),
 * licences, install scripts, and where each package comes from.
 *
 * Prints what it found and exits with 1 if anything is not as it must be.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** Licences that may be used anywhere in the repository, as SPDX identifiers. */
const LICENCES = new Set([
  '0BSD',
  'Apache-2.0',
  'BlueOak-1.0.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'CC0-1.0',
  'CC-BY-4.0',
  'ISC',
  'MIT',
  'MIT-0',
  'MPL-2.0',
  'Python-2.0',
  'Unlicense',
  'Zlib',
]);

/** Packages whose `package.json` does not name the licence that their LICENSE file holds. */
const LICENCE_BY_FILE: Readonly<Record<string, string>> = { spawndamnit: 'MIT' };

const problems: string[] = [];

function pnpm(...args: string[]): string {
  // The pnpm that runs this script: a program, or a script for Node.
  const { npm_execpath: self = 'pnpm' } = process.env;
  const isScript = /\.[cm]?js$/.test(self);
  const [command, first] = isScript ? [process.execPath, [self]] : [self, []];
  try {
    return execFileSync(command, [...first, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  } catch (error) {
    // An audit that finds something exits with 1 and still prints its report.
    return (error as { stdout?: string }).stdout ?? '';
  }
}

/** Vulnerabilities of what users install with us. Not every registry answers that question. */
function checkAdvisories(): void {
  const output = pnpm('audit', '--prod', '--json');
  const start = output.indexOf('{');
  let report: { advisories?: Record<string, { module_name: string; severity: string }> } = {};
  try {
    report = JSON.parse(output.slice(start)) as typeof report;
  } catch {
    // Not a report: the registry refused or could not be reached.
  }
  if (report.advisories === undefined) {
    console.log('advisories: not checked, the registry did not answer the audit request');
    return;
  }
  const found = Object.values(report.advisories);
  console.log(`advisories: ${found.length} for production dependencies`);
  for (const { module_name: name, severity } of found) {
    if (severity === 'high' || severity === 'critical') problems.push(`${name}: ${severity}`);
  }
}

/** `(MIT OR GPL-3.0)` is allowed if one of its parts is, `A AND B` if all are. */
function isAllowed(expression: string): boolean {
  return expression
    .replaceAll(/[()]/g, '')
    .split(/ OR |\//)
    .some((option) => option.split(' AND ').every((licence) => LICENCES.has(licence.trim())));
}

function checkLicences(): void {
  const output = pnpm('--recursive', 'licenses', 'list', '--json');
  const byLicence = JSON.parse(output) as Record<string, { name: string }[]>;
  const counts: string[] = [];
  for (const [licence, packages] of Object.entries(byLicence)) {
    counts.push(`${packages.length} ${licence}`);
    for (const { name } of packages) {
      const known = LICENCE_BY_FILE[name] ?? licence;
      if (!isAllowed(known)) problems.push(`${name}: licence ${known}`);
    }
  }
  console.log(`licences: ${counts.join(', ')}`);
}

function checkInstallScripts(): void {
  const workspace = readFileSync('pnpm-workspace.yaml', 'utf8');
  const [, section = ''] = /^allowBuilds:\n((?: .*\n)*)/m.exec(workspace) ?? [];
  const entries = section.trim().split('\n');
  const allowed = entries.filter((line) => !line.trim().endsWith(': false'));
  for (const line of allowed) problems.push(`install script allowed: ${line.trim()}`);
  console.log(`install scripts: ${entries.length} packages have one, ${allowed.length} may run it`);
}

/** Everything comes from the registry and is pinned by its hash. */
function checkSources(): void {
  const lockfile = readFileSync('pnpm-lock.yaml', 'utf8');
  const resolutions = [...lockfile.matchAll(/^ {4}resolution: \{(.*)\}$/gm)].map(
    ([, text]) => text,
  );
  const odd = resolutions.filter((text) => !/^integrity: sha512-[\w+/=]+$/.test(text ?? ''));
  for (const text of odd) problems.push(`not pinned by a hash: ${text}`);
  console.log(`sources: ${resolutions.length} packages from the registry, pinned by their hashes`);
}

/** What is published depends on as little as possible. */
function checkPublished(): void {
  for (const folder of readdirSync('packages')) {
    const manifest = JSON.parse(readFileSync(`packages/${folder}/package.json`, 'utf8')) as {
      name: string;
      private?: boolean;
      dependencies?: Record<string, string>;
    };
    if (manifest.private === true) continue;
    const names = Object.keys(manifest.dependencies ?? {});
    console.log(`${manifest.name}: ${names.length === 0 ? 'no dependency' : names.join(', ')}`);
    const isTool = ['@holdfast/cli', '@holdfast/board', '@holdfast/testing'].includes(
      manifest.name,
    );
    if (names.length > 0 && !isTool)
      problems.push(`${manifest.name} depends on ${names.join(', ')}`);
  }
}

checkAdvisories();
checkLicences();
checkInstallScripts();
checkSources();
checkPublished();
for (const problem of problems) console.error(`problem: ${problem}`);
process.exitCode = problems.length === 0 ? 0 : 1;
