import { Cluster, type Redis } from 'ioredis';
import { messageOf } from '../exit-codes.ts';
import { fail, ok, skipped, warn, type Finding } from './check.ts';

/** What INFO answers, by name. */
type Info = ReadonlyMap<string, string>;

const ROUND_TRIPS = 20;

/** Looks at the servers themselves; of a Cluster, at every primary. */
export async function checkServers(client: Redis | Cluster): Promise<Finding[]> {
  if (!(client instanceof Cluster)) return checkServer(client, '');
  const nodes = client.nodes('master');
  const found = await Promise.all(
    nodes.map(async (node) => checkServer(node, ` (${node.options.host}:${node.options.port})`)),
  );
  return found.flat();
}

async function checkServer(client: Redis, at: string): Promise<Finding[]> {
  const findings = [await checkRoundTrip(client), await checkClock(client)];
  try {
    const info = parse(await client.info());
    findings.push(checkRole(info), checkEviction(info), checkMemory(info), checkPersistence(info));
  } catch (error) {
    findings.push(
      skipped(
        'server',
        `The user may not ask for INFO (${messageOf(error)}): settings are not checked.`,
      ),
    );
  }
  return at === '' ? findings : findings.map((finding) => located(finding, at));
}

function located(finding: Finding, at: string): Finding {
  return { ...finding, message: finding.message + at };
}

function parse(text: string): Info {
  const lines = text.split(/\r?\n/).filter((line) => line.includes(':'));
  return new Map(
    lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
  );
}

async function checkRoundTrip(client: Redis): Promise<Finding> {
  const times: number[] = [];
  for (let count = 0; count < ROUND_TRIPS; count++) {
    const sentAt = performance.now();
    await client.ping();
    times.push(performance.now() - sentAt);
  }
  times.sort((a, b) => a - b);
  const median = times[ROUND_TRIPS / 2] as number;
  const worst = times.at(-1) as number;
  const text = `A round trip takes ${median.toFixed(1)} ms, ${worst.toFixed(1)} ms at worst.`;
  if (worst < 100) return ok('round trip', text);
  return warn(
    'round trip',
    text,
    'Choose a ttl of at least a hundred round trips: 10 s is the default.',
  );
}

/** Leases are counted by the server's clock: it must not jump. That it differs from ours does no harm. */
async function checkClock(client: Redis): Promise<Finding> {
  const look = async (): Promise<{ server: number; here: number; wall: number }> => {
    const [seconds, micros] = (await client.time()) as unknown as [
      string | number,
      string | number,
    ];
    const server = Number(seconds) * 1_000 + Number(micros) / 1_000;
    return { server, here: performance.now(), wall: Date.now() };
  };
  try {
    const first = await look();
    await new Promise((resolve) => setTimeout(resolve, 300));
    const last = await look();
    const gone = last.here - first.here;
    const jump = Math.abs(last.server - first.server - gone);
    const skew = last.server - last.wall;
    if (jump > 100) {
      return fail(
        'clock',
        `The server’s clock jumped by ${Math.round(jump)} ms within ${Math.round(gone)} ms.`,
        'Let NTP slew the clock of the server, never step it: leases end by it.',
      );
    }
    const text = `The server’s clock runs evenly, ${Math.abs(Math.round(skew))} ms ${skew < 0 ? 'behind' : 'ahead of'} this machine’s.`;
    if (Math.abs(skew) < 60_000) return ok('clock', text);
    return warn(
      'clock',
      text,
      'One of the two is wrong. Leases do not mind, people who read ages do.',
    );
  } catch (error) {
    return skipped('clock', `The user may not ask for TIME (${messageOf(error)}).`);
  }
}

function checkRole(info: Info): Finding {
  const version = info.get('valkey_version') ?? info.get('redis_version') ?? '?';
  const name = info.has('valkey_version') ? 'Valkey' : 'Redis';
  if (info.get('role') === 'slave') {
    return fail(
      'server',
      `${name} ${version}, a replica.`,
      'Give the address of the primary, or of Sentinel.',
    );
  }
  const replicas = Number(info.get('connected_slaves') ?? 0);
  const text = `${name} ${version}, a primary with ${replicas} replica${replicas === 1 ? '' : 's'}.`;
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const old = !info.has('valkey_version') && (major < 6 || (major === 6 && minor < 2));
  return old ? fail('server', text, 'Use Redis 6.2 or later, or Valkey.') : ok('server', text);
}

function checkEviction(info: Info): Finding {
  const policy = info.get('maxmemory_policy') ?? '?';
  if (policy === 'noeviction') return ok('eviction', 'maxmemory-policy is noeviction.');
  const text = `maxmemory-policy is ${policy}: locks that are held may be evicted.`;
  const advice = 'Set maxmemory-policy noeviction, or give locks a Redis of their own.';
  // Without a limit nothing is evicted, until somebody sets one.
  return info.get('maxmemory') === '0'
    ? warn('eviction', `${text} There is no maxmemory, so nothing is yet.`, advice)
    : fail('eviction', text, advice);
}

function checkMemory(info: Info): Finding {
  const limit = Number(info.get('maxmemory') ?? 0);
  const used = Number(info.get('used_memory') ?? 0);
  if (limit === 0) return ok('memory', `${megabytes(used)} used, without a limit.`);
  const text = `${megabytes(used)} of ${megabytes(limit)} used.`;
  if (used < limit * 0.9) return ok('memory', text);
  return warn(
    'memory',
    text,
    'At maxmemory new locks are refused; those that are held are renewed.',
  );
}

function megabytes(bytes: number): string {
  return `${(bytes / 1_048_576).toFixed(1)} MB`;
}

function checkPersistence(info: Info): Finding {
  const advice =
    'After a crash locks that were held are forgotten, and may be granted again before their holders ' +
    'hear of it: only fencing tokens protect then. appendonly yes narrows this, appendfsync always closes it.';
  if (info.get('aof_enabled') === '1') {
    return info.get('aof_last_write_status') === 'err'
      ? fail('persistence', 'The append-only file cannot be written.', 'Is the disk full?')
      : ok('persistence', 'There is an append-only file.');
  }
  if (info.get('rdb_last_bgsave_status') === 'err') {
    return fail(
      'persistence',
      'The last snapshot failed: the server may refuse to write.',
      'Is the disk full? See stop-writes-on-bgsave-error.',
    );
  }
  return warn('persistence', 'There is no append-only file, snapshots at most.', advice);
}
