import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { useMemcached, useRedis } from '@holdfast/test-servers';
import { expect, test } from 'vitest';
import { allBlocks, type Block } from './code.ts';
import { compile, completed } from './compile.ts';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

const redis = useRedis();
const memcached = useMemcached();

const blocks = allBlocks();
const typed = blocks.filter(({ language }) => language !== 'js');
const alone = compile(typed, [here('redlock.d.ts')]);

/** A block that compiles with nothing added can be copied, and run. */
function isComplete(block: Block): boolean {
  if (/ from '\.\.?\//.test(block.code)) return false;
  return block.language === 'js'
    ? block.code.startsWith('import ')
    : alone.get(block)?.length === 0;
}

test('every TypeScript block of the documentation compiles', () => {
  const fragments = completed(new Map([...alone].filter(([, errors]) => errors.length > 0)));
  const found = compile(fragments, [here('redlock.d.ts')]);
  expect([...found.values()].flat()).toEqual([]);
  expect(typed.filter(isComplete).length).toBeGreaterThan(30);
});

/** Run elsewhere: by the tests of the package, whose compiler writes the types of decorated parameters. */
const runsElsewhere = ({ page }: Block): boolean =>
  page.startsWith('packages/nestjs/') || page.startsWith('apps/');

/** Where a block runs: in the folder of its page, so that it finds what it imports. */
function folderOf({ page }: Block): string {
  const [, folder = 'docs'] = /^(packages\/[\w-]+)\//.exec(page) ?? [];
  return here(`../../${folder}/test/.blocks/`);
}

/** With the addresses of this run in the place of those that a page shows. */
function runnable({ code }: Block): string {
  const { port } = new URL(redis.url);
  return code
    .replaceAll(/redis:\/\/[\w.-]+(?::6379)?/g, redis.url)
    .replaceAll('new Redis()', `new Redis('${redis.url}')`)
    .replaceAll(/(['"])[\w.-]+:11211\1/g, `'${memcached.servers}'`)
    .replaceAll('port: 6379', `port: ${port}`)
    .replaceAll(/listen\(3000/g, 'listen(0')
    .replaceAll('?? 3000', '?? 0');
}

test('every complete block of the documentation runs', async () => {
  const files = new Map<string, string>();
  for (const block of blocks.filter((one) => isComplete(one) && !runsElsewhere(one))) {
    const folder = folderOf(block);
    mkdirSync(folder, { recursive: true });
    const file = `${folder}${block.page.replaceAll(/\W/g, '-')}-${block.line}.ts`;
    writeFileSync(file, runnable(block));
    files.set(file, `${block.page}:${block.line}`);
  }
  const args = ['--conditions=@holdfast/source', '--import', 'tsx', here('run-blocks.ts')];
  const { stdout } = await promisify(execFile)(process.execPath, [...args, ...files.keys()], {
    cwd: here('..'),
    env: { ...process.env, REDIS_URL: redis.url, PORT: '0' },
  });
  const results = [...stdout.matchAll(/^block (\S+): (.*)$/gm)];
  const failed = results.filter(([, , result]) => result !== 'ran');
  expect(failed.map(([, name, result]) => `${files.get(name as string)}: ${result}`)).toEqual([]);
  expect(results).toHaveLength(files.size);
});
