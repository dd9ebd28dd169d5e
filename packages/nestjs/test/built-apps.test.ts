import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ModuleKind, ScriptTarget, transpileModule } from 'typescript';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { installPacked, MAJORS, runIn, type Consumer } from './kit/consumer.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

/** As `nest build` compiles. */
async function compiled(module: ModuleKind): Promise<string> {
  const source = await readFile(join(import.meta.dirname, 'consumer', 'app.ts'), 'utf8');
  const compilerOptions = {
    module,
    target: ScriptTarget.ES2022,
    experimentalDecorators: true,
    emitDecoratorMetadata: true,
  };
  return transpileModule(source, { compilerOptions }).outputText;
}

const ANSWERS = {
  free: ['200: 1 under order:1', '200: 1 under order:1', '200: under route', '200: ["values"]'],
  busy: ['423, retry after 1', '423, retry after 1', '200: 2 under order:2'],
  forgotten: 'LockModule.forRoot()',
};

describe.each(MAJORS.map((nest) => ({ nest })))(
  'the packed package, with Nest $nest,',
  ({ nest }) => {
    let consumer: Consumer;

    beforeAll(async () => {
      consumer = await installPacked(nest);
    });

    afterAll(() => consumer.remove());

    test('the packed package boots in an application of ES modules', async () => {
      const printed = await runIn(consumer, 'app.mjs', await compiled(ModuleKind.ESNext));
      expect(JSON.parse(printed)).toEqual(ANSWERS);
    });

    test('the packed package boots in a CommonJS application', async () => {
      const printed = await runIn(consumer, 'app.cjs', await compiled(ModuleKind.CommonJS));
      expect(JSON.parse(printed)).toEqual(ANSWERS);
    });

    test('the ESM and the CommonJS copy agree in one process', async () => {
      const printed = await runIn(
        consumer,
        'both.mjs',
        `
      import 'reflect-metadata';
      import { createRequire } from 'node:module';
      import { NestFactory } from '@nestjs/core';
      import * as esm from '@holdfast/nestjs';
      const cjs = createRequire(import.meta.url)('@holdfast/nestjs');

      class Base { async run() { return String(esm.currentLock('k')?.key); } }
      Reflect.decorate([cjs.WithLock('k')], Base.prototype, 'run',
        Object.getOwnPropertyDescriptor(Base.prototype, 'run'));
      const decorate = (type, property, decorator) => {
        const { value } = Object.getOwnPropertyDescriptor(type.prototype, property);
        const descriptor = { value, configurable: true, writable: true };
        decorator(type.prototype, property, descriptor);
        Object.defineProperty(type.prototype, property, descriptor);
      };
      class Library { async run() { return [esm.currentLock('k')?.key, cjs.currentLock('k')?.key]; } }
      decorate(Library, 'run', cjs.WithLock('k'));
      class App extends Library { async run() { return [await super.run(), cjs.assertLocked('k').state]; } }
      decorate(App, 'run', esm.WithLock('k'));

      const module = { module: class {}, imports: [esm.LockModule.forRoot()],
        providers: [Library, App, { provide: 'made', useFactory: () => new Library() }] };
      const app = await NestFactory.createApplicationContext(module, { logger: false });
      console.log(JSON.stringify([
        esm.WithLock === cjs.WithLock,
        esm.getLockerToken() === cjs.getLockerToken(),
        await app.get(Library).run(),
        await app.get(App).run(),
        await app.get('made').run(),
      ]));
      await app.close();
      `,
      );
      const keys = ['k', 'k'];
      expect(JSON.parse(printed)).toEqual([false, true, keys, [keys, 'held'], keys]);
    });
  },
);

describe('the packed package', () => {
  test('the packed package asks for nothing but its peers', async () => {
    const root = join(import.meta.dirname, '..');
    const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
      dependencies?: object;
      peerDependencies: Record<string, string>;
    };
    expect(manifest.dependencies).toBeUndefined();
    const peers = Object.keys(manifest.peerDependencies);
    for (const file of ['index.js', 'index.cjs', 'index.d.ts', 'index.d.cts']) {
      const source = await readFile(join(root, 'dist', file), 'utf8');
      const names = [...source.matchAll(/(?:from |require\(|^import )['"]([^'"]+)['"]/gm)];
      const others = names
        .map(([, name]) => name)
        .filter((name) => !String(name).startsWith('node:'));
      expect(others.filter((name) => !peers.includes(String(name)))).toEqual([]);
      expect(others).not.toEqual([]);
    }
  });
});
