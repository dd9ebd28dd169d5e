import type { Locker } from '@holdfast/core';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createJiti } from 'jiti';
import { UnavailableError, UsageError } from './exit-codes.ts';
import { within } from './within.ts';

/** ms until a file, or its function, that has not answered counts as waiting for a server that is away. */
const START_TIMEOUT = 10_000;

const NAMES = ['ts', 'mts', 'cts', 'js', 'mjs', 'cjs'].map((end) => `holdfast.config.${end}`);

/** The file that exports the application's locker, if there is one here. */
export function findConfig(folder = process.cwd()): string | undefined {
  return NAMES.map((name) => resolve(folder, name)).find((file) => existsSync(file));
}

/**
 * The locker that a file exports, as its default or as `locker`: itself, or a function that makes it.
 *
 * @throws UsageError, UnavailableError where it finds no server
 */
export async function loadLocker(file: string): Promise<Locker> {
  const path = resolve(file);
  if (!existsSync(path)) throw new UsageError(`There is no file ${path}.`);
  const module = await inTime(load(path), `${path} was not loaded in time.`);
  const found = module['default'] ?? module['locker'];
  // A CommonJS file's exports come as the default.
  const exported =
    isRecord(found) && !isLocker(found) ? (found['locker'] ?? found['default']) : found;
  const locker =
    typeof exported === 'function'
      ? await inTime(
          madeBy(exported as () => unknown, path),
          `${path} exports a function that made no locker in time.`,
        )
      : exported;
  if (!isLocker(locker)) {
    throw new UsageError(
      `${path} must export a locker, or a function that makes one, as its default or as \`locker\`.`,
    );
  }
  return locker;
}

/** Whatever it waits for, it would keep the program waiting for ever. */
function inTime<T>(started: Promise<T>, message: string): Promise<T> {
  return within(START_TIMEOUT, started, (cause) => new UnavailableError(message, { cause }));
}

async function load(path: string): Promise<Record<string, unknown>> {
  try {
    return await imported(path);
  } catch (error) {
    throw failed(`${path} cannot be loaded.`, error);
  }
}

async function imported(path: string): Promise<Record<string, unknown>> {
  try {
    return (await import(pathToFileURL(path).href)) as Record<string, unknown>;
  } catch (error) {
    // Node before 22.18 knows no TypeScript.
    if ((error as { code?: string }).code !== 'ERR_UNKNOWN_FILE_EXTENSION') throw error;
    return createJiti(import.meta.url).import(path);
  }
}

async function madeBy(make: () => unknown, path: string): Promise<unknown> {
  try {
    return await make();
  } catch (error) {
    throw failed(`${path} exports a function that made no locker.`, error);
  }
}

/** Of Node, where no connection is made. */
const NO_SERVER: ReadonlySet<unknown> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
]);

/** A file may connect to its server before it exports its locker. */
function failed(message: string, error: unknown): Error {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (NO_SERVER.has((cause as { code?: unknown }).code)) {
      return new UnavailableError(message, { cause: error });
    }
  }
  return new UsageError(message, { cause: error });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function isLocker(value: unknown): value is Locker {
  return (
    isRecord(value) &&
    ['lock', 'list', 'inspect', 'forceRelease', 'close'].every(
      (verb) => typeof value[verb] === 'function',
    )
  );
}
