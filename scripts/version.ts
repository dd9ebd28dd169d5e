/**
 * Gives the packages their next version and writes their changelogs, from the pending changesets.
 *
 * Changesets takes every new minor of 0.x for a break of those that name `@holdfast/core` as a peer, and
 * would make a major of all packages of it. All of them have one version, and are published together with
 * the range of that version, so nothing breaks: while versions are counted, the peers are wide.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

const PEER = /"(@holdfast\/[\w-]+)": "workspace:[^"]*"/g;

/** Replaces the ranges of workspace packages among the peers of every package. */
function setPeers(range: string): void {
  for (const folder of readdirSync('packages')) {
    const file = `packages/${folder}/package.json`;
    const text = readFileSync(file, 'utf8');
    const widened = text.replace(/"peerDependencies": \{[^}]*\}/, (peers) =>
      peers.replaceAll(PEER, `"$1": "workspace:${range}"`),
    );
    if (widened !== text) writeFileSync(file, widened);
  }
}

setPeers('>=0.0.0 <1.0.0');
try {
  execFileSync('changeset', ['version', ...process.argv.slice(2)], { stdio: 'inherit' });
} finally {
  setPeers('^');
}
