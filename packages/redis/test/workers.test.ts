import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect } from 'vitest';
import { useProgram } from './program.ts';
import { test } from './site.ts';

const run = promisify(execFile);
const program = useProgram('many-workers');

describe.concurrent('workers of one program exclude each other', () => {
  for (const kind of ['threads', 'cluster']) {
    test(`excludes each other as ${kind}`, async ({ site }) => {
      const url = `redis://${site.server.host}:${site.server.port}`;
      const { stdout } = await run(process.execPath, [program.file, url, kind]);
      expect(JSON.parse(stdout)).toEqual({ codes: [0, 0, 0, 0], count: 60, grew: true });
    });
  }
});
