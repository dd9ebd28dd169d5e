import { describe, expect, test } from 'vitest';
import { BUILT, NEVER, Service } from './service.ts';

interface Payment {
  readonly receipt: string;
}

describe('the service', () => {
  test('charges once, and gives everybody the same receipt', async () => {
    const service = await Service.start(NEVER, BUILT);
    const pay = () => service.ask('POST', '/payments/1', { amount: 1_999 });
    const answers = await Promise.all(Array.from({ length: 10 }, pay));
    expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(200));
    const receipts = answers.map(({ body }) => (body as Payment).receipt);
    expect(new Set(receipts).size).toBe(1);
    await expect(service.ask('GET', '/payments/1')).resolves.toMatchObject({
      status: 200,
      body: { order: '1', amount: 1_999, status: 'paid', charges: 1, receipt: receipts[0] },
    });
  });

  test('refunds once, and refuses whoever comes meanwhile', async () => {
    const service = await Service.start(NEVER);
    await service.ask('POST', '/payments/1', { amount: 1_999 });
    const refund = () => service.ask('POST', '/payments/1/refund');
    const answers = await Promise.all([refund(), refund(), refund()]);
    const others = answers.map(({ status }) => status).filter((status) => status !== 200);
    expect(others).toHaveLength(2);
    // One that came when the first was done is told that instead.
    expect(others.every((status) => status === 423 || status === 409)).toBe(true);
    const refused = answers.find(({ status }) => status === 423);
    expect(refused?.headers.get('retry-after') ?? '1').toBe('1');
    await expect(refund()).resolves.toMatchObject({ status: 409 });
    await expect(service.ask('GET', '/payments/1')).resolves.toMatchObject({
      body: { status: 'refunded', charges: 1 },
    });
  });

  test('captures one part after the other, and refuses whoever would wait for long', async () => {
    const service = await Service.start({ ...NEVER, BANK_DELAY: '100' });
    const capture = () => service.ask('POST', '/payments/1/captures', { amount: 5 });
    const answers = await Promise.all(Array.from({ length: 12 }, capture));
    const captured = answers.filter(({ status }) => status === 200).length;
    expect(captured).toBeGreaterThan(0);
    for (const { status, headers, body } of answers) {
      if (status === 200) continue;
      expect([status, headers.get('retry-after')]).toEqual([423, '1']);
      expect(headers.get('content-type')).toMatch(/^application\/problem\+json/);
      expect(body).toMatchObject({ status: 423, code: 'LOCK_NOT_ACQUIRED' });
    }
    await expect(capture()).resolves.toMatchObject({ body: { captured: (captured + 1) * 5 } });
    expect(service.output).not.toMatch(/ERROR|WARN/);
  });

  test('charges nobody who leaves before it is done, and is free for the next', async () => {
    const service = await Service.start({ ...NEVER, BANK_DELAY: '500' });
    const path = '/payments/1/captures';
    const running = new AbortController();
    const left = service.ask('POST', path, { amount: 5 }, running.signal);
    left.catch(() => {});
    const busy = async () => (await service.ask('POST', '/payments/1/refund')).status;
    await expect.poll(busy, { timeout: 30_000, interval: 10 }).toBe(423);
    const waiting = new AbortController();
    const alsoLeft = service.ask('POST', path, { amount: 7 }, waiting.signal);
    alsoLeft.catch(() => {});
    waiting.abort();
    running.abort();
    await expect(Promise.allSettled([left, alsoLeft])).resolves.toMatchObject([
      { status: 'rejected' },
      { status: 'rejected' },
    ]);
    await expect(service.ask('POST', path, { amount: 9 })).resolves.toMatchObject({
      status: 200,
      body: { captured: 9 },
    });
    expect(service.output).not.toMatch(/ERROR|WARN/);
  });

  test('refuses what it cannot take', async () => {
    const service = await Service.start(NEVER);
    await expect(service.ask('POST', '/payments/1', {})).resolves.toMatchObject({ status: 400 });
    await expect(service.ask('GET', '/payments/1')).resolves.toMatchObject({ status: 404 });
    await expect(service.ask('POST', '/payments/1/refund')).resolves.toMatchObject({ status: 404 });
  });

  test('answers its health check, and documents its routes', async () => {
    const service = await Service.start(NEVER);
    await expect(service.ask('GET', '/health')).resolves.toMatchObject({
      status: 200,
      body: { status: 'ok' },
    });
    const { body } = await service.ask('GET', '/docs-json');
    const { paths } = body as { paths: Record<string, Record<string, { responses: object }>> };
    expect(Object.keys(paths).toSorted()).toEqual([
      '/health',
      '/payments/{order}',
      '/payments/{order}/captures',
      '/payments/{order}/refund',
      '/reports',
    ]);
    // What is said below the decorators of the lock, and above them.
    expect(paths['/payments/{order}/refund']?.['post']?.responses).toMatchObject({
      200: {},
      423: { description: 'Something happens to this order right now' },
    });
  });

  test('finishes what it has begun when it shuts down', async () => {
    const service = await Service.start({ ...NEVER, BANK_DELAY: '2000' });
    const paid = service.ask('POST', '/payments/1', { amount: 5 });
    const refund = async () => (await service.ask('POST', '/payments/1/refund')).status;
    await expect.poll(refund, { timeout: 30_000, interval: 10 }).toBe(423);
    const [answer, code] = await Promise.all([paid, service.stop()]);
    expect(answer.status).toBe(200);
    // Nest ends the process with the signal it was sent.
    expect([0, null]).toContain(code);
  });

  test('makes one report for each tick', async () => {
    const service = await Service.start({ REPORT_CRON: '* * * * * *' });
    await service.ask('POST', '/payments/1', { amount: 5 });
    const reports = async () => {
      const { body } = await service.ask('GET', '/reports');
      return body as { tick: string; total: number }[];
    };
    await expect.poll(reports, { timeout: 30_000 }).toSatisfy((all: unknown[]) => all.length >= 3);
    const ticks = (await reports()).map(({ tick }) => tick);
    expect(new Set(ticks).size).toBe(ticks.length);
    await expect.poll(async () => (await reports()).at(-1)?.total, { timeout: 30_000 }).toBe(5);
  });
});
