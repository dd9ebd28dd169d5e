import { execFileSync } from 'node:child_process';

/**
 * Keeps a process on one CPU.
 *
 * @returns whether the machine has that CPU, and a tool for it
 */
export function pin(pid: number, cpu: number): boolean {
  try {
    execFileSync('taskset', ['-acp', String(cpu), String(pid)], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
