import { expect, test } from 'vitest';
import { createLocker, memoryStore, type EncodeKeyRequest } from '../src/index.ts';

test('a store is told whether a key is for an acquisition, and by which owner', async () => {
  const asked: EncodeKeyRequest[] = [];
  const store = Object.assign(memoryStore(), {
    encodeKey: (request: EncodeKeyRequest) => {
      asked.push(request);
      return request.key;
    },
  });
  const locker = createLocker({ store, namespace: 'ns' });
  await locker.withLock('key', { owner: 'me' }, () => {});
  await locker.withLock(['a', 'b'], () => {});
  await locker.tryLock('key');
  await locker.inspect('key');
  await locker.forceRelease('key');
  const request = { namespace: 'ns', key: 'key', owner: undefined };
  expect(asked).toEqual([
    { ...request, owner: 'me', acquiring: true },
    { ...request, key: 'a', acquiring: true },
    { ...request, key: 'b', acquiring: true },
    { ...request, acquiring: true },
    { ...request, acquiring: false },
    { ...request, acquiring: false },
  ]);
});
