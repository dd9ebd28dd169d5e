import { connect, type StoreFlags } from '../connect.ts';
import type { Finding } from '../doctor/check.ts';
import { skipped } from '../doctor/check.ts';
import { checkLocks } from '../doctor/locks.ts';
import { checkServers } from '../doctor/server.ts';
import { EXIT } from '../exit-codes.ts';

export interface DoctorFlags extends StoreFlags {
  readonly json?: boolean | undefined;
}

const SIGNS = { ok: '✔', warn: '!', fail: '✘', skipped: '-' } as const;

/** Checks the store, and says what to do about what is not as it should be. */
export async function doctor(flags: DoctorFlags): Promise<number> {
  const { locker, client, close } = await connect(flags);
  try {
    const servers =
      client === undefined
        ? [skipped('server', 'The server itself is checked only with --url or REDIS_URL.')]
        : await checkServers(client);
    const findings = [...servers, ...(await checkLocks(locker))];
    const healthy = findings.every(({ status }) => status !== 'fail');
    if (flags.json === true) {
      process.stdout.write(`${JSON.stringify({ ok: healthy, checks: findings })}\n`);
    } else {
      process.stdout.write(`${findings.map(text).join('\n')}\n`);
    }
    return healthy ? EXIT.ok : EXIT.failed;
  } finally {
    await close();
  }
}

function text({ check, status, message, advice }: Finding): string {
  const line = `${SIGNS[status]} ${check.padEnd(12)} ${message}`;
  return advice === undefined ? line : `${line}\n${' '.repeat(15)}→ ${advice}`;
}
