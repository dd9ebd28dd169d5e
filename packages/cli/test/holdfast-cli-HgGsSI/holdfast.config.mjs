
    import { createLocker, memoryStore } from '@holdfast/core';
    import { appendFileSync } from 'node:fs';
    const store = memoryStore();
    const app = createLocker({ store, label: 'web-1:17' });
    
  await app.lock('order:42');
  await app.lock('order:43', { label: 'web-2:18' });
  await app.lock('report:nightly');
  // Of another process, as it were: only those are seen from elsewhere.
  createLocker({ store, label: 'worker-7' }).lock('order:42').catch(() => {});

    export default createLocker({ store, label: 'operator' });
  