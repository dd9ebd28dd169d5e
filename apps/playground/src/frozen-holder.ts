import { createLocker, type Lock, type Locker, type LockStore } from '@holdfast/core';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { FencedBalance } from './fenced-balance.ts';
import { frozenLink } from './frozen-link.ts';
import { paint, seconds } from './screen.ts';
import type { Stage } from './stage.ts';

const TTL = 1_500;
/** ms after the grant: between two renewals. */
const FREEZES_AT = 800;
/** A character of a bar, in ms. */
const STEP = 50;
const NAME = 9;

/** What has happened so far, and when: ms from the start. */
interface Story {
  readonly startedAt: number;
  froze?: number;
  signalled?: number;
  passed?: number;
  over?: number;
  tokens: [number, number?];
  refused?: string;
}

/**
 * What an ordinary mutex cannot do. A holder is cut off from the store. It is told before its lock can be
 * another's, though no answer reaches it; the next holder's token is larger; and what the first still
 * writes, late, is refused.
 */
export async function frozenHolder(
  stage: Stage,
  store: LockStore,
  watch: (lockers: readonly Locker[]) => void = () => {},
): Promise<void> {
  const link = frozenLink(store);
  const billing = createLocker({ store: link.store, name: 'billing', label: 'billing', ttl: TTL });
  const orders = createLocker({ store, name: 'orders', label: 'orders', ttl: TTL });
  watch([billing, orders]);
  const balance = new FencedBalance();
  const lock = await billing.lock('account:A07');
  const story: Story = { startedAt: performance.now(), tokens: [lock.fencingToken] };
  const at = (): number => performance.now() - story.startedAt;
  const redraw = setInterval(() => stage.show('frozen', picture(story, at())), STEP);
  stage.tell(`\n${TITLE}`);
  stage.tell(`${stamp(0)} billing holds account A07, token ${lock.fencingToken}`);
  const next = orders.lock('account:A07');
  const signalled = once(lock.signal, 'abort');

  await sleep(FREEZES_AT);
  link.freeze();
  story.froze = at();
  stage.tell(
    `${stamp(story.froze)} billing is cut off from the store: nothing fails, nothing answers`,
  );

  await signalled;
  story.signalled = at();
  stage.tell(
    `${stamp(story.signalled)} billing's signal: ${(lock.signal.reason as Error).message}`,
  );

  const taken = await next;
  story.passed = at();
  story.tokens = [lock.fencingToken, taken.fencingToken];
  balance.write(taken.fencingToken, 'orders');
  stage.tell(
    `${stamp(story.passed)} orders holds it, ${ms(story.passed - story.signalled)} after that signal, with a larger token ${taken.fencingToken}`,
  );

  await sleep(STEP * 6);
  story.refused = writeLate(balance, lock);
  story.over = at();
  stage.tell(`${stamp(story.over)} billing writes all the same, late: ${story.refused}`);
  clearInterval(redraw);
  stage.show('frozen', picture(story, story.over));
  await taken.release();
  link.thaw();
  await Promise.all([billing.close(), orders.close()]);
}

/** As code does that does not listen, or that was paused by its machine. */
function writeLate(balance: FencedBalance, lock: Lock): string {
  try {
    balance.write(lock.fencingToken, 'billing');
    return 'it was written, and must not have been';
  } catch (error) {
    return (error as Error).message;
  }
}

const TITLE = paint('bold', '1. A holder is cut off from the store');

function ms(duration: number): string {
  return `${Math.round(duration)} ms`;
}

function stamp(at: number): string {
  return paint('dim', `  ${seconds(at).padStart(6)}`);
}

/** Two bars over the same time, and what there is to say of them. */
function picture(story: Story, now: number): string[] {
  const { froze = Infinity, signalled = Infinity, passed = Infinity } = story;
  const steps = Math.ceil(now / STEP);
  let [holder, waiter] = ['', ''];
  for (let step = 0; step < steps; step++) {
    const time = step * STEP;
    if (time < froze) holder += paint('green', '█');
    else if (time < signalled) holder += paint('yellow', '▓');
    else holder += paint('red', '░');
    waiter += time < passed ? paint('dim', '·') : paint('green', '█');
  }
  const [first, second] = story.tokens;
  const name = (text: string): string => `   ${text.padEnd(NAME)}`;
  const lines = [TITLE, name('billing') + holder, name('orders') + waiter];
  if (froze < Infinity) {
    lines.push(
      name('') + paint('yellow', `${' '.repeat(froze / STEP)}▲ cut off: nothing answers any more`),
    );
  }
  if (signalled < Infinity) {
    lines.push(name('') + paint('red', `${' '.repeat(signalled / STEP)}▲ its signal fires`));
  }
  if (passed < Infinity) {
    const after = `${ms(passed - signalled)} later`;
    lines.push(
      name('') +
        paint('green', `${' '.repeat(Math.min(passed / STEP, 30))}▲ ${after} orders may have it`),
    );
    lines.push(`   tokens ${first} < ${second}`);
  }
  if (story.refused !== undefined) {
    lines.push(`   billing writes late: ${paint('green', `✔ ${story.refused}`)}`);
  }
  return lines;
}
