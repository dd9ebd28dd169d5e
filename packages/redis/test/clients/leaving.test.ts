import { expect } from 'vitest';
import { lingering } from '../lingering.ts';
import { useProgram } from '../program.ts';
import { test } from '../site.ts';
import { clientKind } from './index.ts';

const { name, canWait } = clientKind;
const program = useProgram('leave');

test.for(['locker', 'client', ...(canWait ? ['durability'] : [])])(
  `a process with ${name} ends when what it has is closed: %s`,
  async (how, { site }) => {
    const { host, port } = site.server;
    expect(await lingering(program.file, [host, String(port), how])).toBeLessThan(20_000);
  },
);
