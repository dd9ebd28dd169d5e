import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { KEYS } from './protocol.ts';

/** Callers of one service. */
const CALLERS = 10;
/** Every so many ms at most one of them calls. */
const PAUSE = 30;
/** A client that leaves does so within so many ms: before it has the lock, with it, or in the answer. */
const LEAVES_WITHIN = 30;

/** Bounded load on a service, by clients of which some leave before they are answered. */
export class Load {
  readonly answered: Record<number, number> = {};
  left = 0;
  private readonly agent = new Agent({ keepAlive: true, maxSockets: CALLERS });
  private stopped = false;
  private readonly callers: Promise<void>[];

  constructor(private readonly port: number) {
    this.callers = Array.from({ length: CALLERS }, () => this.callOnAndOn());
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.callers);
    this.agent.destroy();
  }

  private async callOnAndOn(): Promise<void> {
    while (!this.stopped) {
      await this.call(Math.random() < 0.3);
      await sleep(Math.random() * PAUSE * 2);
    }
  }

  private call(leaves: boolean): Promise<void> {
    const form = Math.random() < 0.5 ? 'middleware' : 'handler';
    // Few of the keys are wanted by many.
    const id = Math.floor(Math.random() ** 3 * KEYS);
    return new Promise((resolve) => {
      const sent = request({
        host: '127.0.0.1',
        port: this.port,
        path: `/${form}/${id}`,
        method: 'POST',
        agent: leaves ? false : this.agent,
      });
      const gone = setTimeout(
        () => {
          this.left += 1;
          sent.destroy();
        },
        leaves ? Math.random() * LEAVES_WITHIN : 30_000,
      );
      sent.on('error', () => {});
      sent.on('close', () => {
        clearTimeout(gone);
        resolve();
      });
      sent.on('response', (response) => {
        const { statusCode = 0 } = response;
        this.answered[statusCode] = (this.answered[statusCode] ?? 0) + 1;
        response.resume();
      });
      sent.end();
    });
  }
}
