// Posts the same 2,000 transfers three times through a queue: without a lock, with one, and with a worker
// that is killed.
import { parseArgs } from 'node:util';
import { clientNames, isClientName, type ClientName } from './client.ts';
import { findRedis, Advice } from './redis.ts';
import { run, type Result } from './run.ts';
import { readAccounts, readTransfers } from './transfers.ts';

const WORKERS = 3;
/** How many of them to post, if not all. */
const most = Number(process.env['LEDGER_TRANSFERS'] ?? Infinity);
const transfers = readTransfers().slice(0, most);
const accounts = readAccounts().size;
const terminal = process.stdout.isTTY;

const say = (text = ''): void => void process.stdout.write(`${text}\n`);
const count = (number: number): string => number.toLocaleString('en-US');

/** A line that is rewritten in a terminal, and one for each fifth of the work elsewhere. */
function progressLine(): (done: number, killed: boolean) => void {
  const begun = performance.now();
  let shown = '';
  return (done, killed) => {
    const share = Math.floor((done / transfers.length) * 5);
    const note = killed ? ' (one worker was killed)' : '';
    const text = `   ${count(done)} of ${count(transfers.length)} posted${note}`;
    const seconds = (performance.now() - begun) / 1_000;
    if (terminal)
      process.stdout.write(`\r${text}, ${count(Math.round(done / seconds))} a second  `);
    else if (`${share}${note}` !== shown) say(text);
    shown = `${share}${note}`;
    if (terminal && done === transfers.length) say();
  };
}

const rateOf = ({ ms }: Result): number => transfers.length / (ms / 1_000);

function report(result: Result): boolean {
  const { missing, wrongAccounts, offCents, disordered } = result.audit;
  const balanced = missing === 0 && wrongAccounts === 0;
  const balance = balanced
    ? '✔ the books balance to the cent'
    : `✘ ${missing} transfers missing, ${wrongAccounts} accounts off by ${count(offCents / 100)} in all`;
  const order =
    disordered === 0
      ? `✔ the transfers of each of ${accounts} accounts are in order`
      : `✘ the transfers of ${disordered} of ${accounts} accounts are not in order`;
  say(`   ${balance}\n   ${order}`);
  const seconds = (result.ms / 1_000).toFixed(1);
  const rate = `${count(Math.round(rateOf(result)))} transfers a second`;
  say(`   ${seconds} s, ${rate}, ${result.starts.toFixed(2)} starts per job`);
  return balanced && disordered === 0;
}

const TITLES = {
  plain: 'BullMQ without a lock, for comparison',
  guarded: 'Each job locks both of its accounts',
  killed: 'The same, and one worker is killed',
} as const;

/** @throws Advice */
function clientOf(args: readonly string[]): ClientName {
  const options = { client: { type: 'string', default: 'ioredis' } } as const;
  try {
    const { client } = parseArgs({ args: [...args], options }).values;
    if (isClientName(client)) return client;
  } catch {
    // Whatever it is, the same advice is of use.
  }
  throw new Advice(`There is one option: --client ${clientNames.join('|')}.`);
}

/** @returns the code to exit with */
async function main(signal: AbortSignal): Promise<number> {
  const client = clientOf(process.argv.slice(2));
  const { url, own } = await findRedis();
  say(`${count(transfers.length)} transfers between ${accounts} accounts, ${WORKERS} workers`);
  say(`on ${own ? 'a redis-server of its own' : 'the Redis of REDIS_URL'}, by ${client}`);
  const results = new Map<string, Result>();
  const good: boolean[] = [];
  for (const [index, way] of (['plain', 'guarded', 'killed'] as const).entries()) {
    say(`\n${index + 1}. ${TITLES[way]}`);
    const plan = {
      client,
      url,
      transfers,
      workers: WORKERS,
      way,
      progress: progressLine(),
      signal,
    };
    const result = await run(plan);
    results.set(way, result);
    const right = report(result);
    if (way !== 'plain') good.push(right);
  }
  const [plain, guarded] = ['plain', 'guarded'].map((way) => rateOf(results.get(way) as Result));
  const share = Math.round(((guarded ?? 0) / (plain ?? 1)) * 100);
  say(`\nWith every account in order: ${share} % of the throughput without a lock.`);
  const all = good.every(Boolean);
  say(all ? 'Nothing was lost, and nothing out of order.' : 'That should not have happened.');
  return all ? 0 : 1;
}

const stop = new AbortController();
const codes = { SIGINT: 130, SIGTERM: 143 } as const;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => stop.abort(codes[signal]));
}
main(stop.signal).then(
  (code) => process.exit(code),
  (error: unknown) => {
    // What it has written is removed by now.
    if (stop.signal.aborted) process.exit(stop.signal.reason as number);
    console.error(error instanceof Advice ? error.message : error);
    process.exit(1);
  },
);
