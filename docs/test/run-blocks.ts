/**
 * Runs blocks of the documentation, one after the other, in a process of their own: servers that they
 * start and clients that they leave open end with it. Prints a line for each.
 */
import { setTimeout } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { inspect } from 'node:util';

/** So long may a block take until its last statement. */
const LIMIT = 60_000;

let failure: unknown;
process.on('unhandledRejection', (error) => (failure = error));
process.on('uncaughtException', (error) => (failure = error));

for (const file of process.argv.slice(2)) {
  failure = undefined;
  const late = setTimeout(LIMIT).then(() => Promise.reject(new Error('it does not end')));
  try {
    await Promise.race([import(pathToFileURL(file).href), late]);
    // What it started and did not await has its say.
    await setTimeout(50);
  } catch (error) {
    failure = error;
  }
  const result = failure === undefined ? 'ran' : inspect(failure).replaceAll('\n', ' ');
  process.stdout.write(`block ${file}: ${result}\n`);
}
process.exit(0);
