import { expect } from 'vitest';
import { lingering } from '../lingering.ts';
import { test } from '../site.ts';
import { clientKind } from './index.ts';

const { name, canWait } = clientKind;

test.for(['locker', 'client', ...(canWait ? ['durability'] : [])])(
  `a process with ${name} ends when what it has is closed: %s`,
  async (how, { site }) => {
    const { host, port } = site.server;
    const program = new URL('../programs/leave.ts', import.meta.url);
    expect(await lingering(program, [host, String(port), how])).toBeLessThan(20_000);
  },
);
