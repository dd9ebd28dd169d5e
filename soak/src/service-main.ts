// A service in a process of its own: `service-main.ts <name> <port of Redis> [leaks]`. Tells its port, and
// when asked what it uses.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Sample, Service, ServiceName, ServiceOptions } from './protocol.ts';

const [name, redisPort, leaks] = process.argv.slice(2) as [ServiceName, string, string?];
const starts: Record<ServiceName, (options: ServiceOptions) => Promise<Service>> = {
  express: async (options) => (await import('./services/express.ts')).startExpress(options),
  nest: async (options) => (await import('./services/nest.ts')).startNest(options),
  bullmq: async (options) => (await import('./services/bullmq.ts')).startBullmq(options),
};

const service = await starts[name]({ redisPort: Number(redisPort), leaks: leaks === 'leaks' });

async function sample(): Promise<Sample> {
  // Finalizers run in turns of their own, and free more.
  for (let round = 0; round < 2; round++) {
    globalThis.gc?.();
    await sleep(1);
  }
  globalThis.gc?.();
  return {
    heap: process.memoryUsage().heapUsed,
    handles: process.getActiveResourcesInfo().length,
  };
}

process.on('message', (message) => {
  if (message === 'sample') void sample().then((taken) => process.send?.(taken));
  else void service.stop().finally(() => process.disconnect());
});
process.on('disconnect', () => setTimeout(() => process.exit(), 1_000).unref());
process.send?.({ port: service.port });
