import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect } from 'vitest';
import { test } from './site.ts';

const run = promisify(execFile);
const program = fileURLToPath(new URL('programs/many-workers.ts', import.meta.url));

describe.concurrent('workers of one program exclude each other', () => {
  for (const kind of ['threads', 'cluster']) {
    test(`excludes each other as ${kind}`, async ({ site }) => {
      const url = `redis://${site.server.host}:${site.server.port}`;
      const node = ['--conditions=@holdfast/source', '--import', 'tsx', program, url, kind];
      const { stdout } = await run(process.execPath, node);
      expect(JSON.parse(stdout)).toEqual({ codes: [0, 0, 0, 0], count: 60, grew: true });
    });
  }
});
