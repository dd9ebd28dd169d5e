import type { Service } from './services.ts';

/** What the lockers of all services told. */
export class Statistics {
  acquired = 0;
  waited = 0;
  handoffs = 0;
  lost = 0;
  longestWait = 0;

  constructor(services: readonly Service[]) {
    for (const { locker } of services) {
      locker.on('acquired', ({ waited }) => {
        this.acquired += 1;
        this.longestWait = Math.max(this.longestWait, waited);
      });
      locker.on('waiting', () => (this.waited += 1));
      locker.on('handoff', () => (this.handoffs += 1));
      locker.on('lost', () => (this.lost += 1));
    }
  }

  /** What a process of its own has counted. */
  add(other: Pick<Statistics, 'acquired' | 'waited' | 'handoffs' | 'lost' | 'longestWait'>): void {
    this.acquired += other.acquired;
    this.waited += other.waited;
    this.handoffs += other.handoffs;
    this.lost += other.lost;
    this.longestWait = Math.max(this.longestWait, other.longestWait);
  }
}
