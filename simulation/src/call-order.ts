import type { Task } from './schedule.ts';
import { violated } from './violation.ts';

/** The calls of one process that wait, in their order: those for one key are served in it. */
export class CallOrder {
  /** With the token of the first that was served before it, though it came later. */
  private readonly waiting = new Map<Task, number>();

  asked(task: Task): void {
    if (queues(task)) this.waiting.set(task, Infinity);
  }

  /** @param token of what it got */
  settled(task: Task, token?: number): void {
    const overtaken = this.waiting.get(task);
    if (overtaken === undefined) return;
    if (token !== undefined) {
      // Callers may hear of it in another order than that of the grants, which their tokens tell.
      if (token > overtaken) violated('overtaking', `${token} is served after ${overtaken}`);
      for (const [other, first] of this.waiting) {
        if (other === task) break;
        if (other.keys[0] === task.keys[0]) this.waiting.set(other, Math.min(first, token));
      }
    }
    this.waiting.delete(task);
  }
}

/** Whether it stands in line: nobody takes several keys at once, and an owner takes over what is its own. */
function queues({ keys, owner, wait }: Task): boolean {
  return keys.length === 1 && owner === undefined && wait > 0;
}
