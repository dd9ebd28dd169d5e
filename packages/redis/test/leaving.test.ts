import { redisBinary, startRedis, type TestServer } from '@holdfast/test-servers';
import { expect, test } from 'vitest';
import { lingering } from './lingering.ts';
import { useProgram } from './program.ts';
import { useServers } from './quorum-kit.ts';

const servers = useServers(3);
const program = useProgram('leave-others');

async function leave(kind: string, ports: readonly number[]): Promise<void> {
  expect(await lingering(program.file, [kind, ...ports.map(String)])).toBeLessThan(20_000);
}

const portsOf = (all: readonly TestServer[]): number[] => all.map(({ port }) => port);

test('a quorum keeps no process alive', async () => {
  await leave('quorum', portsOf(servers));
});

test('a quorum that owes releases to an absent server keeps no process alive', async () => {
  const dead = await startRedis(redisBinary());
  await dead.kill();
  await leave('quorum', portsOf([...servers.slice(0, 2), dead]));
  await dead.stop();
});

test('a quorum with a frozen server keeps no process alive', async () => {
  const frozen = await startRedis(redisBinary());
  frozen.freeze();
  await leave('quorum', portsOf([...servers.slice(0, 2), frozen]));
  await frozen.stop();
});

test('the connection that waits for replicas keeps no process alive', async () => {
  await leave('durability', portsOf(servers.slice(0, 1)));
});
