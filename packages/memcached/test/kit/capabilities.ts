/** What the store is to say of itself. */
export const capabilities = {
  fencing: 'best-effort',
  wakeUp: 'poll',
  minTtl: 2_000,
  granularity: 1_000,
  sharedClock: false,
  exactLoss: false,
  checkEvery: 2_000,
} as const;
