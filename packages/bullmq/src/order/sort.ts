import type { Job } from 'bullmq';

const digits = (value: number, length: number): string =>
  String(Math.max(0, Math.trunc(value)))
    .padStart(length, '0')
    .slice(-length);

const LAST = 999_999_999_999_999;

/**
 * 24 characters that sort as BullMQ would start jobs: by priority, then those with `lifo`, the last added
 * first, then the others, the first added first.
 */
export function sortOf({ priority, opts, timestamp }: Job): string {
  const given = priority ?? opts?.priority ?? 0;
  const time = Number.isFinite(timestamp) ? timestamp : 0;
  const age = opts?.lifo === true ? `0${digits(LAST - time, 16)}` : `1${digits(time, 16)}`;
  return digits(given, 7) + age;
}
