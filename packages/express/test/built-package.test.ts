// The built package: what it loads, and from where.
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { installed, projectWith } from './built.ts';

const run = promisify(execFile);

async function output(folder: string, file: string, code: string): Promise<string> {
  writeFileSync(join(folder, file), code);
  const { stdout } = await run(process.execPath, [file], { cwd: folder });
  return stdout.trim();
}

describe('the built package', () => {
  test('loads without Express, by import and by require', async () => {
    const folder = projectWith(installed(['@holdfast/core']));
    const names = 'Object.keys(holdfast).join()';
    const required = `const holdfast = require('@holdfast/express'); console.log(${names});`;
    const imported = `import * as holdfast from '@holdfast/express'; console.log(${names});`;
    expect(await output(folder, 'required.cjs', required)).toBe('getLock,lockRoute');
    expect(await output(folder, 'imported.mjs', imported)).toBe('getLock,lockRoute');
  });

  test.each(['index.js', 'index.cjs'])('%s names nothing but core and Node', (file) => {
    const folder = projectWith(installed(['@holdfast/core']));
    const code = readFileSync(join(folder, 'node_modules/@holdfast/express/dist', file), 'utf8');
    const named = [...code.matchAll(/(?:from |require\()["']([^"']+)["']/g)].map(
      ([, name]) => name,
    );
    const others = named.filter((name) => name?.startsWith('node:') === false);
    expect(new Set(others)).toEqual(new Set(['@holdfast/core']));
  });

  test.each(['.', 'test/on-express4'])('locks a CommonJS application (%s)', async (from) => {
    const folder = projectWith({
      ...installed(['@holdfast/core']),
      ...installed(['express'], from),
    });
    const app = `
      const { createLocker, LockMissingError } = require('@holdfast/core');
      const { lockRoute, getLock } = require('@holdfast/express');
      const app = require('express')();
      const locker = createLocker();
      const lock = lockRoute({ locker, key: (req) => 'order:' + req.params.id });
      app.post('/:id', lock, (req, res) => setTimeout(() => res.send(getLock(req).key), 50));
      const server = app.listen(0, async () => {
        const url = 'http://127.0.0.1:' + server.address().port;
        const ask = () => fetch(url + '/7', { method: 'POST' }).then((reply) => reply.status);
        console.log((await Promise.all([ask(), ask()])).sort().join());
        try { getLock({}); } catch (error) { console.log(error instanceof LockMissingError); }
        server.close();
        server.closeAllConnections();
      });`;
    expect(await output(folder, 'app.cjs', app)).toBe('200,423\ntrue');
  });
});
