import { execFile } from 'node:child_process';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { inject } from 'vitest';

declare module 'vitest' {
  interface ProvidedContext {
    /** The folder with the archives of all packages, where `packed-setup` is a global setup. */
    packed: string;
  }
}

const run = promisify(execFile);

/** Unpacks a package of ours, as `packed-setup` has packed it, into a folder as an installation would. */
export async function unpack(name: string, into: string): Promise<void> {
  const packed = inject('packed');
  const ofPackage = new RegExp(`^holdfast-${name}-\\d`);
  const file = (await readdir(packed)).find((one) => ofPackage.test(one));
  if (file === undefined) throw new Error(`${name} is not packed in ${packed}`);
  await mkdir(into, { recursive: true });
  await run('tar', ['-xzf', join(packed, file), '-C', into, '--strip-components=1']);
}
