import type { TestProject } from 'vitest/node';
import { ensureBinaries, MEMCACHED, REDIS, type ServerKind } from './binaries.ts';

/** What a test is told of a kind of server: where one is, or how to start one. */
export interface GivenServer {
  /** From the environment. */
  readonly address?: string | undefined;
  readonly binary?: string | undefined;
}

/** Servers named in the environment are used as they are; for the others a binary is found. */
async function given(kind: ServerKind): Promise<GivenServer> {
  const address = process.env[kind.variable];
  if (address !== undefined && address !== '') {
    const [binary] = await ensureBinaries([kind]).catch(() => []);
    return { address, binary };
  }
  const [binary] = await ensureBinaries([kind]);
  return { binary };
}

export async function setup(project: TestProject): Promise<void> {
  project.provide('redis', await given(REDIS));
  project.provide('memcached', await given(MEMCACHED));
}
