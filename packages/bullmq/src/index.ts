export { guard } from './guard.ts';
export type {
  Guard,
  GuardedProcessor,
  GuardOptions,
  LineInfo,
  LineJob,
  LockedOutcome,
  OrderOptions,
  OrderQueue,
  OrderRedis,
  StrictGuardOptions,
} from './types.ts';
