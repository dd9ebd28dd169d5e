import { storedKey, type Key } from '@holdfast/core';
import type { Job } from 'bullmq';
import { randomBytes } from 'node:crypto';
import { delayOf, SHORTEST } from '../deferral.ts';
import { checkKey, type Settings } from '../options.ts';
import { inTime } from './in-time.ts';

/** What a run of a job registers with in the lines of its keys. */
export interface Registration {
  readonly id: string;
  /** Empty if somebody else registers the job. */
  readonly run: string;
  /** The start of its member in the lines: see {@link sortOf}. */
  readonly sort: string;
  /** How long the job keeps its place when its worker dies before it has its locks, in ms. */
  readonly ttl: number;
  /** The longest that the first job of a line is away without anyone looking after it, in ms. */
  readonly safety: number;
  readonly keys: readonly string[];
  /** Whether its lines wait for a job that fails and is tried again. */
  readonly holds: boolean;
}

const here = randomBytes(12).toString('base64url');
let runs = 0;

/** The name of a run: no other run has it, in whatever process. */
export const newRun = (): string => `${here}:${++runs}`;

export function namesOf(key: Key | null): readonly string[] {
  if (key === null) return [];
  return typeof key === 'string' ? [key] : [...new Set(key)];
}

/** ms after which a key that somebody else asks for is given up. */
const LONGEST_KEY = 2_000;

/**
 * The keys of a job that runs elsewhere, or does not run yet; nothing if they take too long.
 *
 * @throws LockArgumentError, and what the key function throws
 */
export async function namesOfOther(
  { key, maxKeys }: Settings,
  job: Job,
): Promise<readonly string[] | undefined> {
  let names: readonly string[] = [];
  const found = Promise.resolve(typeof key === 'function' ? key(job) : key).then((answer) => {
    names = namesOf(checkKey(answer, maxKeys));
  });
  return (await inTime(found, LONGEST_KEY)) ? names : undefined;
}

const A_DAY = 86_400_000;

/** What a line calls a key. */
export const lineName = (name: string): string => storedKey('', name);

export function registrationOf(
  settings: Settings,
  job: Job,
  names: readonly string[],
  run: string,
): Registration {
  return {
    id: job.id ?? '',
    run,
    sort: sortOf(job),
    ttl: Math.min(Math.ceil(settings.ttl + settings.wait), A_DAY),
    safety: safetyOf(settings, job),
    keys: names.map(lineName),
    holds: settings.order?.onFailure === 'hold',
  };
}

export function safetyOf(settings: Settings, job: Job): number {
  return Math.ceil(Math.max(delayOf(settings, job, 0), SHORTEST));
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
