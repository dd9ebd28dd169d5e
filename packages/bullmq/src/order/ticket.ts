import { storedKey, type Key } from '@holdfast/core';
import type { Job } from 'bullmq';
import type { Settings } from '../options.ts';

/** A run of a job, and its place. */
export interface Ticket {
  readonly id: string;
  /** Empty if the run itself has not asked yet. */
  readonly run: string;
  /** The start of its member in the lines. */
  readonly sort: string;
  /** How long it keeps its place when its worker dies at the start, in ms. */
  readonly ttl: number;
  readonly keys: readonly string[];
}

export function namesOf(key: Key | null): readonly string[] {
  if (key === null) return [];
  return typeof key === 'string' ? [key] : [...new Set(key)];
}

export function ticketOf(
  settings: Settings,
  job: Job,
  names: readonly string[],
  run: string,
): Ticket {
  const keys = names.map((name) => storedKey('', name));
  return { id: job.id ?? '', run, sort: sortOf(job), ttl: Math.ceil(settings.ttl), keys };
}

const digits = (value: number, length: number): string =>
  String(Math.max(0, Math.trunc(value)))
    .padStart(length, '0')
    .slice(-length);

const LAST = 999_999_999_999_999;

/**
 * 24 characters that sort as BullMQ would start jobs: by priority, then those with `lifo`, the last added
 * first, then the others, the first added first.
 */
function sortOf({ priority, opts, timestamp }: Job): string {
  const given = priority ?? opts?.priority ?? 0;
  const time = Number.isFinite(timestamp) ? timestamp : 0;
  const age = opts?.lifo === true ? `0${digits(LAST - time, 16)}` : `1${digits(time, 16)}`;
  return digits(given, 7) + age;
}
