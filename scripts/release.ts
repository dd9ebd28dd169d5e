/**
 * `pnpm release` publishes every package whose version is new. With `--dry-run` it does all the same, but
 * looks into what would be published instead of publishing it.
 */
import { execSync } from 'node:child_process';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { 'dry-run': { type: 'boolean', default: false } } });
const run = (command: string): unknown => execSync(command, { stdio: 'inherit' });

run('turbo run build check:package --output-logs=errors-only');
if (values['dry-run']) {
  run('tsx scripts/readme-links.ts --check');
  await import('./release-check.ts');
} else {
  run('tsx scripts/readme-links.ts');
  run('changeset publish');
}
