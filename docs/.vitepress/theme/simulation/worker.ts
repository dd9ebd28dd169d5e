// oxlint-disable-next-line import/no-unassigned-import -- it makes Node's globals
import './node.ts';
import { record } from '@holdfast/simulation';
import type { Report, RunRequest } from './run.ts';

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker has none
const report = (message: Report): void => globalThis.postMessage(message);

/** Runs seeds in turn, up to the first violation, and reports the last history. */
async function run({ seed, count, bug, processes, keys }: RunRequest): Promise<void> {
  for (let done = 1; ; done++) {
    const history = await record(seed + done - 1, { bug, processes, keys });
    if (history.violation !== undefined || done === count) {
      report({ kind: 'done', done, history });
      return;
    }
    report({ kind: 'progress', done });
  }
}

globalThis.addEventListener('message', ({ data }: MessageEvent<RunRequest>) => {
  run(data).catch((error: unknown) => report({ kind: 'failed', message: String(error) }));
});
