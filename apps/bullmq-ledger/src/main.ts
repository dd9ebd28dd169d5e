// Posts the same 2,000 transfers twice through a queue: undisturbed, and with a worker that is killed.
import { findRedis, Advice } from './redis.ts';
import { run, type Result } from './run.ts';
import { readAccounts, readTransfers } from './transfers.ts';

const WORKERS = 3;
const transfers = readTransfers();
const accounts = readAccounts().size;
const terminal = process.stdout.isTTY;

const say = (text = ''): void => void process.stdout.write(`${text}\n`);
const count = (number: number): string => number.toLocaleString('en-US');

/** A line that is rewritten in a terminal, and one for each fifth of the work elsewhere. */
function progressLine(): (done: number, killed: boolean) => void {
  let shown = '';
  return (done, killed) => {
    const share = Math.floor((done / transfers.length) * (terminal ? 50 : 5));
    const note = killed ? ' (one worker was killed)' : '';
    const text = `   ${count(done)} of ${count(transfers.length)} posted${note}`;
    if (terminal) process.stdout.write(`\r${text}`);
    else if (`${share}${note}` !== shown) say(text);
    shown = `${share}${note}`;
    if (terminal && done === transfers.length) say();
  };
}

function report({ audit, ms, starts }: Result): boolean {
  const { missing, wrongAccounts, offCents, disordered } = audit;
  const balanced = missing === 0 && wrongAccounts === 0;
  const balance = balanced
    ? '✔ the books balance to the cent'
    : `✘ ${missing} transfers missing, ${wrongAccounts} accounts off by ${offCents / 100} in all`;
  const order =
    disordered === 0
      ? `✔ the transfers of each of ${accounts} accounts are in order`
      : `✘ the transfers of ${disordered} of ${accounts} accounts are not in order`;
  say(`   ${balance}\n   ${order}`);
  const rate = count(Math.round(transfers.length / (ms / 1_000)));
  say(
    `   ${(ms / 1_000).toFixed(1)} s, ${rate} transfers a second, ${starts.toFixed(2)} starts per job`,
  );
  return balanced && disordered === 0;
}

async function main(): Promise<void> {
  const { url, own } = await findRedis();
  say(`${count(transfers.length)} transfers between ${accounts} accounts, ${WORKERS} workers`);
  say(own ? 'on a redis-server of its own' : 'on the Redis of REDIS_URL');
  const results: boolean[] = [];
  for (const kill of [false, true]) {
    say(`\n${kill ? '2. The same, and one worker is killed' : '1. Each job locks both accounts'}`);
    const plan = { url, transfers, workers: WORKERS, kill, progress: progressLine() };
    results.push(report(await run(plan)));
  }
  const good = results.every(Boolean);
  say(good ? '\nNothing was lost, and nothing out of order.' : '\nThat should not have happened.');
  process.exit(good ? 0 : 1);
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
main().catch((error: unknown) => {
  console.error(error instanceof Advice ? error.message : error);
  process.exit(1);
});
