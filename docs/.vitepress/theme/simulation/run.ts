import type { History, HistoryOptions } from '@holdfast/simulation';
import { onBeforeUnmount, readonly, shallowRef, type DeepReadonly, type ShallowRef } from 'vue';

/** What a worker is to run: `count` seeds from `seed` on. */
export interface RunRequest extends HistoryOptions {
  readonly seed: number;
  readonly count: number;
}

/** What a worker says. */
export type Report =
  | { readonly kind: 'progress'; readonly done: number }
  | { readonly kind: 'done'; readonly done: number; readonly history: History }
  | { readonly kind: 'failed'; readonly message: string };

export type RunState =
  | { readonly kind: 'idle' }
  | { readonly kind: 'running'; readonly request: RunRequest; readonly done: number }
  | { readonly kind: 'done'; readonly request: RunRequest; readonly done: number }
  | { readonly kind: 'failed'; readonly message: string };

/** Runs simulations beside the page, so that the page can be used meanwhile. */
export function useRun(show: (history: History) => void): {
  state: DeepReadonly<ShallowRef<RunState>>;
  start: (request: RunRequest) => void;
  stop: () => void;
} {
  const state = shallowRef<RunState>({ kind: 'idle' });
  let worker: Worker | undefined;

  const stop = (): void => {
    worker?.terminate();
    worker = undefined;
    state.value = { kind: 'idle' };
  };

  const start = (request: RunRequest): void => {
    stop();
    state.value = { kind: 'running', request, done: 0 };
    const mine = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
    worker = mine;
    const end = (last: RunState): void => {
      mine.terminate();
      state.value = last;
    };
    mine.addEventListener('message', ({ data }: MessageEvent<Report>) => {
      if (worker !== mine) return;
      if (data.kind === 'progress') state.value = { kind: 'running', request, done: data.done };
      else if (data.kind === 'failed') end(data);
      else {
        show(data.history);
        end({ kind: 'done', request, done: data.done });
      }
    });
    mine.addEventListener('error', ({ message }) => end({ kind: 'failed', message }));
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker has none
    mine.postMessage(request);
  };

  onBeforeUnmount(stop);
  return { state: readonly(state), start, stop };
}
