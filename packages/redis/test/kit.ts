/** What the store must say of itself wherever it runs. */
export const capabilities = {
  fencing: 'strict',
  wakeUp: 'notify',
  minTtl: 50,
  sharedClock: false,
  exactLoss: true,
} as const;
